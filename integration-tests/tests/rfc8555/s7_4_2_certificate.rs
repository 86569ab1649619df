//! RFC 8555 sections 7.4.2 and 9.1: downloading the certificate.

use integration_tests::Response;
use openssl::x509::X509;

use crate::{
    expect::Expect,
    promise::{Promise, must, not_applicable, should},
    server::{Issued, Server},
};

const CHAIN: &str = "application/pem-certificate-chain";

/// A single certificate. RFC 2585.
const DER: &str = "application/pkix-cert";

pub(crate) const PROMISES: &[Promise] = &[
    must("7.4.2", "a certificate is a PEM chain unless asked for otherwise", |server| {
        let answer = download(server, None).expect(200);
        assert_eq!(answer.media_type(), CHAIN);
        assert!(!X509::stack_from_pem(&answer.body).expect("PEM").is_empty());
    }),
    must("7.4.2", "a certificate is a PEM chain when asked for that", |server| {
        let answer = download(server, Some(CHAIN)).expect(200);
        assert_eq!(answer.media_type(), CHAIN);
    }),
    must("7.4.2", "a certificate is the same at each reading", |server| {
        let issued = server.issued(server.owner());
        let again = server.owner().post_as_get(&issued.order.text("certificate")).expect(200).text();
        assert_eq!(again, issued.chain);
    }),
    must(
        "7.4.2",
        "what is served in another format is what was asked for, or else the PEM chain",
        |server| {
            for format in [DER, "application/pkcs7-mime", "image/png"] {
                let answer = download(server, Some(format));
                if answer.status == 200 {
                    assert!([format, CHAIN].contains(&&*answer.media_type()), "got {answer}");
                } else {
                    let _ = answer.refused();
                }
            }
        },
    ),
    must("7.4.2", "who takes any format gets one", |server| {
        let answer = download(server, Some("text/html, */*;q=0.1")).expect(200);
        assert!([CHAIN, DER].contains(&&*answer.media_type()), "got {answer}");
    }),
    must("7.4.2", "a single certificate is the one that heads the chain", |server| {
        let account = server.owner();
        let issued = server.issued(account);
        let single = X509::from_der(&single(server, &issued).body).expect("DER");
        assert_eq!(single.to_der().expect("DER"), chain(&issued.chain)[0].to_der().expect("DER"));
    }),
    should("7.4.2", "a single certificate leads up to its issuer's", |server| {
        let account = server.owner();
        let issued = server.issued(account);
        let answer = single(server, &issued);
        let up = answer.links("up");
        assert!(!up.is_empty(), "got {answer}");
        let single = X509::from_der(&answer.body).expect("DER");
        for url in up {
            let request = account.signed_bytes(&url, Vec::new()).request().with("Accept", DER);
            let issuer = server.client.send(&request).expect(200);
            let key = X509::from_der(&issuer.body).expect("DER").public_key().expect("a key");
            assert!(single.verify(&key).expect("a signature"), "{url}");
        }
    }),
    should("7.4.2", "alternate chains begin with the same certificate", |server| {
        let issued = server.issued(server.owner());
        let answer = server.owner().post_as_get(&issued.order.text("certificate")).expect(200);
        let alternates = answer.links("alternate");
        if alternates.is_empty() {
            not_applicable("it has no alternate chains");
        }
        for url in alternates {
            let other = server.owner().post_as_get(&url).expect(200).text();
            assert_eq!(
                chain(&other)[0].to_der().expect("DER"),
                chain(&issued.chain)[0].to_der().expect("DER")
            );
        }
    }),
    must("9.1", "the first certificate of the chain is the one for the order's names", |server| {
        let Issued { order, chain: text, .. } = server.issued(server.owner());
        let names = chain(&text)[0].subject_alt_names().expect("names");
        assert_eq!(names[0].dnsname(), Some(&*order.names()[0]));
    }),
    should("9.1", "each certificate of the chain certifies the one before it", |server| {
        let issued = server.issued(server.owner());
        let certificates = chain(&issued.chain);
        assert!(certificates.len() > 1, "an issuer");
        for pair in certificates.windows(2) {
            let key = pair[1].public_key().expect("a key");
            assert!(pair[0].verify(&key).expect("a signature"), "{}", issued.chain);
        }
    }),
    must("9.1", "the chain is strict PEM without explanatory text", |server| {
        let issued = server.issued(server.owner());
        let mut inside = false;
        for line in issued.chain.lines() {
            match line {
                "-----BEGIN CERTIFICATE-----" => {
                    assert!(!inside, "{}", issued.chain);
                    inside = true;
                }
                "-----END CERTIFICATE-----" => inside = false,
                "" => assert!(!inside, "an empty line: {}", issued.chain),
                base64 => assert!(inside && base64.len() <= 64, "{base64:?} in {}", issued.chain),
            }
        }
        assert!(!inside && !issued.chain.contains("\n\n\n"));
    }),
    must("9.1", "there is one end of line between two certificates, and no empty line", |server| {
        let issued = server.issued(server.owner());
        let text = issued.chain.replace("\r\n", "\n");
        assert!(!text.contains("\n\n") && !text.starts_with('\n'), "{text:?}");
    }),
];

/// A new certificate, asked for in this format.
fn download(server: &Server, format: Option<&str>) -> Response {
    let issued = server.issued(server.owner());
    read(server, &issued, format)
}

/// A certificate of the owner's, without its chain.
fn single(server: &Server, issued: &Issued) -> Response {
    let answer = read(server, issued, Some(DER));
    if answer.status != 200 || answer.media_type() != DER {
        not_applicable("it has no format for a single certificate");
    }
    answer
}

fn read(server: &Server, issued: &Issued, format: Option<&str>) -> Response {
    let request = server.owner().signed_bytes(&issued.order.text("certificate"), Vec::new()).request();
    server.client.send(&match format {
        Some(format) => request.with("Accept", format),
        None => request,
    })
}

fn chain(text: &str) -> Vec<X509> {
    X509::stack_from_pem(text.as_bytes()).expect("PEM")
}
