//! DNS over TLS and HTTPS, against servers of a few lines.

use std::sync::Arc;
use std::time::Duration;

use coyote_protocol::DnsName;
use coyote_storage::RequestId;
use hickory_resolver::proto::op::OpCode;
use hickory_resolver::proto::rr::{RData, Record, rdata};
use openssl::asn1::Asn1Time;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::ssl::{Ssl, SslContext, SslMethod};
use openssl::x509::extension::SubjectAlternativeName;
use openssl::x509::{X509, X509NameBuilder};
use tokio::net::TcpListener;

use super::*;
use crate::trace::Trace;
use crate::validate::{DnsResolver, ResolveError, Resolver};

/// A server that speaks TLS with a certificate for 127.0.0.1 and dns.test.
struct Server {
    address: SocketAddr,
    authority: Vec<u8>,
}

impl Server {
    /// One that answers with these bytes, once for each connection, made from what was read until then.
    async fn new(answer: impl Fn(&[u8]) -> Option<Vec<u8>> + Send + Sync + 'static) -> Self {
        let (context, certificate) = tls();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answer = Arc::new(answer);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, ssl) = (answer.clone(), Ssl::new(&context).unwrap());
                tokio::spawn(async move {
                    let mut stream = SslStream::new(ssl, stream).unwrap();
                    if Pin::new(&mut stream).accept().await.is_err() {
                        return;
                    }
                    let mut read = Vec::new();
                    while stream.read_buf(&mut read).await.is_ok_and(|count| count > 0) {
                        if let Some(bytes) = answer(&read) {
                            let _gone = stream.write_all(&bytes).await;
                            return;
                        }
                    }
                });
            }
        });
        Self { address, authority: certificate.to_pem().unwrap() }
    }

    async fn texts(&self, text: &str) -> Result<Vec<Vec<u8>>, ResolveError> {
        let server = text.replace("HERE", &self.address.to_string()).parse::<NameServer>().unwrap();
        let resolver = DnsResolver::of_name_servers([server]).unwrap();
        let resolver = resolver.trusting(Authorities::of_pem(&self.authority).unwrap());
        let trace = Trace::new(RequestId::from_bytes([0; 16]), "a test");
        resolver.timeout(Duration::from_secs(5)).texts("_acme-challenge.a.test", &trace).await
    }
}

fn tls() -> (SslContext, X509) {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_text("CN", "a name server").unwrap();
    let name = name.build();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    builder.set_subject_name(&name).unwrap();
    builder.set_issuer_name(&name).unwrap();
    builder.set_pubkey(&key).unwrap();
    builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
    let names = SubjectAlternativeName::new()
        .ip("127.0.0.1")
        .dns("dns.test")
        .build(&builder.x509v3_context(None, None));
    builder.append_extension(names.unwrap()).unwrap();
    builder.sign(&key, MessageDigest::sha256()).unwrap();
    let certificate = builder.build();
    let mut context = SslContext::builder(SslMethod::tls_server()).unwrap();
    context.set_private_key(&key).unwrap();
    context.set_certificate(&certificate).unwrap();
    (context.build(), certificate)
}

/// The answer to a query, with one text.
fn respond(query: &[u8], truncated: bool) -> Vec<u8> {
    let query = Message::from_vec(query).unwrap();
    let mut response = Message::response(query.metadata.id, OpCode::Query);
    response.metadata.recursion_available = true;
    response.metadata.truncation = truncated;
    let question = query.queries[0].clone();
    let data = RData::TXT(rdata::TXT::new(vec!["there".into()]));
    response.add_answer(Record::from_rdata(question.name.clone(), 60, data));
    response.add_query(question);
    response.to_vec().unwrap()
}

/// After its length.
fn framed(message: &[u8]) -> Vec<u8> {
    [&u16::try_from(message.len()).unwrap().to_be_bytes(), message].concat()
}

fn over_tls(read: &[u8], truncated: bool) -> Option<Vec<u8>> {
    let (length, query) = read.split_first_chunk::<2>()?;
    (query.len() == usize::from(u16::from_be_bytes(*length))).then(|| framed(&respond(query, truncated)))
}

/// The body of a request that has arrived whole.
fn body(read: &[u8]) -> Option<&[u8]> {
    let head = read.windows(4).position(|window| window == b"\r\n\r\n")?;
    let text = String::from_utf8_lossy(&read[..head]).to_ascii_lowercase();
    assert!(text.starts_with("post /dns-query http/1.1"), "{text}");
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let body = &read[head + 4..];
    (body.len() == length.parse::<usize>().unwrap()).then_some(body)
}

fn field(read: &[u8], name: &str) -> Option<String> {
    let text = String::from_utf8_lossy(read);
    let mut fields = text.lines().filter_map(|line| line.split_once(": "));
    fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
}

fn response(status: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

#[tokio::test]
async fn a_server_over_tls_is_believed_if_its_certificate_is_for_it() {
    let server = Server::new(|read| over_tls(read, false)).await;
    assert_eq!(server.texts("tls://HERE").await.unwrap(), [b"there"], "for the address");
    assert_eq!(server.texts("tls://HERE#dns.test").await.unwrap(), [b"there"], "for the name");
    let error = server.texts("tls://HERE#other.test").await.unwrap_err();
    assert!(matches!(error, ResolveError::Failed(_)), "{error:?}");

    let stranger = Server { authority: tls().1.to_pem().unwrap(), address: server.address };
    let error = stranger.texts("tls://HERE").await.unwrap_err();
    assert!(matches!(error, ResolveError::Failed(_)), "nobody vouches for it: {error:?}");
}

#[tokio::test]
async fn a_server_over_https_answers_in_the_body_of_a_response() {
    let server = Server::new(|read| Some(response("200 OK", &respond(body(read)?, false)))).await;
    assert_eq!(server.texts("https://HERE/dns-query#dns.test").await.unwrap(), [b"there"]);
    assert_eq!(server.texts("https://HERE").await.unwrap(), [b"there"]);

    let server = Server::new(|read| Some(response("403 Forbidden", &respond(body(read)?, false)))).await;
    let error = server.texts("https://HERE").await.unwrap_err();
    assert!(matches!(error, ResolveError::Failed(_)), "{error:?}");
    let server = Server::new(|read| body(read).map(|_| response("200 OK", &[0; 70_000]))).await;
    let error = server.texts("https://HERE").await.unwrap_err();
    assert!(matches!(error, ResolveError::Failed(_)), "{error:?}");
}

#[tokio::test]
async fn the_host_field_says_which_server_and_port_is_asked() {
    let (seen, heads) = std::sync::mpsc::channel();
    let server = Server::new(move |read| {
        let answer = response("200 OK", &respond(body(read)?, false));
        seen.send(field(read, "host")).unwrap();
        Some(answer)
    })
    .await;
    let port = server.address.port();
    for (text, host) in [("https://HERE", "127.0.0.1"), ("https://HERE#dns.test", "dns.test")] {
        assert_eq!(server.texts(text).await.unwrap(), [b"there"]);
        assert_eq!(heads.recv().unwrap(), Some(format!("{host}:{port}")));
    }
}

#[tokio::test]
async fn an_answer_that_is_truncated_where_there_is_room_is_an_error() {
    let server = Server::new(|read| over_tls(read, true)).await;
    let error = server.texts("tls://HERE").await.unwrap_err();
    assert!(matches!(error, ResolveError::Failed(_)), "{error:?}");
}

#[tokio::test]
async fn an_answer_to_another_question_is_an_error() {
    let server = Server::new(|read| {
        let mut answer = over_tls(read, false)?;
        answer[3] ^= 1;
        Some(answer)
    })
    .await;
    let error = server.texts("tls://HERE").await.unwrap_err();
    assert!(matches!(error, ResolveError::Failed(_)), "{error:?}");
    let name = DnsName::parse("a.test").unwrap();
    let trace = Trace::new(RequestId::from_bytes([0; 16]), "a test");
    let nobody: NameServer = "tls://127.0.0.1:1".parse().unwrap();
    let error = DnsResolver::of_name_servers([nobody]).unwrap().addresses(&name, &trace).await.unwrap_err();
    assert!(matches!(error, ResolveError::Failed(_)), "nobody is there: {error:?}");
}
