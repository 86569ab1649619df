//! A TLS server that answers tls-alpn-01 challenges, rightly or wrongly. RFC 8737.

use std::{
    collections::HashMap,
    io::Read,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use openssl::{
    hash::MessageDigest,
    pkey::{PKey, Private},
    sha::sha256,
    sign::Signer,
    ssl::{AlpnError, Ssl, SslContext, SslContextBuilder, SslMethod, select_next_proto},
    x509::X509,
};

use crate::{
    Key,
    der::{attribute, bit_string, extension, integer, oid, sequence, tlv},
};

const SUBJECT_ALT_NAME: &str = "2.5.29.17";
const ACME_IDENTIFIER: &str = "1.3.6.1.5.5.7.1.31";

/// A TLS server on a free port of the loopback. A client that asks for a name that it was told nothing of is hung up on.
///
/// It runs until the test process ends.
pub struct TlsResponder {
    port: u16,
    answers: Arc<Mutex<HashMap<String, TlsAnswer>>>,
}

/// What is done with a connection, from the first byte on.
#[derive(Clone)]
pub struct TlsAnswer(Arc<dyn Fn(TcpStream) + Send + Sync>);

impl TlsAnswer {
    /// Something particular.
    #[must_use]
    pub fn of(answer: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        Self(Arc::new(answer))
    }

    /// A handshake with this certificate, and an agreement on `acme-tls/1`.
    #[must_use]
    pub fn showing(certificate: &ChallengeCertificate) -> Self {
        Self::with(certificate, |context| {
            context.set_alpn_select_callback(|_, offered| {
                select_next_proto(b"\x0aacme-tls/1", offered).ok_or(AlpnError::ALERT_FATAL)
            });
        })
    }

    /// A handshake with this certificate, set up in a particular way.
    ///
    /// # Panics
    ///
    /// If the certificate is too wrong to be shown.
    #[must_use]
    pub fn with(certificate: &ChallengeCertificate, set_up: impl FnOnce(&mut SslContextBuilder)) -> Self {
        let mut context = SslContext::builder(SslMethod::tls_server()).expect("a context");
        context.set_certificate(&certificate.to_x509()).expect("a certificate");
        context.set_private_key(&certificate.key).expect("its key");
        set_up(&mut context);
        let context = context.build();
        Self::of(move |stream| {
            let ssl = Ssl::new(&context).expect("TLS");
            if let Ok(mut stream) = ssl.accept(stream) {
                let _ = stream.read(&mut [0]);
            }
        })
    }
}

impl TlsResponder {
    /// A server on a free port.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[must_use]
    pub fn start() -> Self {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into())
    }

    /// A server at this address.
    ///
    /// # Panics
    ///
    /// If it is taken.
    #[must_use]
    pub fn start_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).unwrap_or_else(|error| panic!("{address}: {error}"));
        let port = listener.local_addr().expect("an address").port();
        let answers = Arc::<Mutex<HashMap<String, TlsAnswer>>>::default();
        let accepting = answers.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let answers = accepting.clone();
                thread::spawn(move || serve(&answers, stream));
            }
        });
        Self { port, answers }
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Answers clients that ask for this server name so.
    pub fn answer(&self, server_name: &str, answer: TlsAnswer) {
        self.answers.lock().unwrap().insert(server_name.to_owned(), answer);
    }
}

/// The name that is asked for is in the first message in clear, with its length before it: it is looked for rather than
/// parsed, and the message stays where it is for whoever answers.
fn serve(answers: &Mutex<HashMap<String, TlsAnswer>>, stream: TcpStream) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(30)));
    let mut hello = [0; 4096];
    let Ok(length) = stream.peek(&mut hello) else { return };
    let asks_for = |name: &str| {
        let length_octets = u16::try_from(name.len()).expect("a short name").to_be_bytes();
        let wanted = [&length_octets, name.as_bytes()].concat();
        hello[..length].windows(wanted.len()).any(|window| window == wanted)
    };
    let answer =
        answers.lock().unwrap().iter().find(|(name, _)| asks_for(name)).map(|(_, answer)| answer.clone());
    if let Some(answer) = answer {
        (answer.0)(stream);
    }
}

/// A certificate for a challenge. Each extension is DER and can be anything.
#[derive(Clone)]
pub struct ChallengeCertificate {
    /// The subjectAltName, if any.
    pub names: Option<Vec<u8>>,
    /// The acmeIdentifier, if any.
    pub acme_identifier: Option<Vec<u8>>,
    /// Further extensions.
    pub extensions: Vec<Vec<u8>>,
    /// The key that it is for.
    pub key: PKey<Private>,
    /// The key that signs, if it is another.
    pub issuer: Option<PKey<Private>>,
}

impl ChallengeCertificate {
    /// The right one for this GeneralName and this key authorization.
    #[must_use]
    pub fn new(name: &[u8], key_authorization: &str) -> Self {
        Self {
            names: None,
            acme_identifier: Some(acme_identifier(true, &digest(key_authorization))),
            extensions: Vec::new(),
            key: Key::new().private().clone(),
            issuer: None,
        }
        .with_names(&[name.to_vec()])
    }

    /// With these GeneralNames.
    #[must_use]
    pub fn with_names(self, names: &[Vec<u8>]) -> Self {
        Self { names: Some(extension(SUBJECT_ALT_NAME, false, &sequence(names))), ..self }
    }

    /// The certificate. RFC 5280 section 4.1.
    ///
    /// # Panics
    ///
    /// If it is too wrong to be a certificate.
    #[must_use]
    pub fn to_x509(&self) -> X509 {
        let ecdsa = sequence(&[oid("1.2.840.10045.4.3.2")]);
        let name = |text: &str| sequence(&[attribute("2.5.4.3", 0x0c, text.as_bytes())]);
        let issuer = name(if self.issuer.is_some() { "a CA" } else { "a challenge" });
        let validity = sequence(&[tlv(0x17, b"200101000000Z"), tlv(0x17, b"490101000000Z")]);
        let extensions: Vec<_> =
            self.names.iter().chain(&self.acme_identifier).chain(&self.extensions).cloned().collect();
        let content = sequence(&[
            tlv(0xa0, integer(2)),
            integer(1),
            ecdsa.clone(),
            issuer,
            validity,
            name("a challenge"),
            self.key.public_key_to_der().expect("a public key"),
            tlv(0xa3, sequence(&extensions)),
        ]);
        let mut signer =
            Signer::new(MessageDigest::sha256(), self.issuer.as_ref().unwrap_or(&self.key)).expect("a key");
        let signature = signer.sign_oneshot_to_vec(&content).expect("a signature");
        X509::from_der(&sequence(&[content, ecdsa, bit_string(&signature)])).expect("a certificate")
    }
}

/// The acmeIdentifier extension with this value.
#[must_use]
pub fn acme_identifier(critical: bool, value: &[u8]) -> Vec<u8> {
    extension(ACME_IDENTIFIER, critical, value)
}

/// The right value of an acmeIdentifier extension. RFC 8737 section 3.
#[must_use]
pub fn digest(key_authorization: &str) -> Vec<u8> {
    tlv(0x04, sha256(key_authorization.as_bytes()))
}
