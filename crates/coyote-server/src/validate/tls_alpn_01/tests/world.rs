//! What the tests of tls-alpn-01 share: certificates, right and wrong, and servers that show them.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use openssl::asn1::{Asn1Object, Asn1OctetString, Asn1Time};
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{AlpnError, NameType, Ssl, SslContext, SslContextBuilder, SslMethod};
use openssl::x509::{X509, X509Extension, X509Name};
use tokio::io::AsyncReadExt;
use tokio_openssl::SslStream;

use crate::validate::TlsAlpn01;
pub(super) use crate::validate::testing::{DENIED, Outcome, Stranger, World, key_authorization};

pub(super) const SUBJECT_ALT_NAME: &str = "2.5.29.17";
pub(super) const ACME_IDENTIFIER: &str = "1.3.6.1.5.5.7.1.31";

/// The protocol, as on the wire.
pub(super) const ACME_TLS: &[u8] = b"\x0aacme-tls/1";

/// A DER value of less than 128 bytes.
pub(super) fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).unwrap();
    assert!(length < 128, "a short value");
    [&[tag, length], content].concat()
}

/// A subjectAltName with these names.
pub(super) fn names(names: &[Vec<u8>]) -> Vec<u8> {
    der(0x30, &names.concat())
}

pub(super) fn dns(name: &str) -> Vec<u8> {
    der(0x82, name.as_bytes())
}

pub(super) fn ip(address: &str) -> Vec<u8> {
    match address.parse().unwrap() {
        IpAddr::V4(address) => der(0x87, &address.octets()),
        IpAddr::V6(address) => der(0x87, &address.octets()),
    }
}

/// The acmeIdentifier that is right.
pub(super) fn digest() -> Vec<u8> {
    der(0x04, &key_authorization().digest())
}

pub(super) fn new_key() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

/// A certificate to be.
pub(super) struct Certificate {
    /// By object identifier, whether critical, and DER.
    pub(super) extensions: Vec<(&'static str, bool, Vec<u8>)>,
    pub(super) key: PKey<Private>,
    pub(super) issuer: &'static str,
    pub(super) issuer_key: PKey<Private>,
    pub(super) days: [u32; 2],
}

impl Certificate {
    /// The right one for this name.
    pub(super) fn right_for(name: Vec<u8>) -> Self {
        let key = new_key();
        let extensions = vec![(SUBJECT_ALT_NAME, false, names(&[name])), (ACME_IDENTIFIER, true, digest())];
        Self { extensions, issuer_key: key.clone(), key, issuer: "challenge", days: [0, 1] }
    }

    /// The right one for `a.test`.
    pub(super) fn right() -> Self {
        Self::right_for(dns("a.test"))
    }

    /// With this in the place of an extension.
    pub(super) fn replacing(mut self, id: &str, by: &[(&'static str, bool, Vec<u8>)]) -> Self {
        self.extensions.retain(|extension| extension.0 != id);
        self.extensions.extend_from_slice(by);
        self
    }

    pub(super) fn build(&self) -> X509 {
        let mut builder = X509::builder().unwrap();
        builder.set_version(2).unwrap();
        builder.set_subject_name(&common_name("challenge")).unwrap();
        builder.set_issuer_name(&common_name(self.issuer)).unwrap();
        builder.set_pubkey(&self.key).unwrap();
        let [start, end] = self.days.map(|days| Asn1Time::days_from_now(days).unwrap());
        builder.set_not_before(&start).unwrap();
        builder.set_not_after(&end).unwrap();
        for (id, critical, value) in &self.extensions {
            let (id, value) = (Asn1Object::from_str(id), Asn1OctetString::new_from_bytes(value));
            let extension = X509Extension::new_from_der(&id.unwrap(), *critical, &value.unwrap());
            builder.append_extension(extension.unwrap()).unwrap();
        }
        builder.sign(&self.issuer_key, MessageDigest::sha256()).unwrap();
        builder.build()
    }
}

fn common_name(text: &str) -> X509Name {
    let mut name = X509Name::builder().unwrap();
    name.append_entry_by_nid(Nid::COMMONNAME, text).unwrap();
    name.build()
}

/// A server's side of TLS that shows this certificate, and agrees to nothing but acme-tls/1.
pub(super) fn showing(certificate: &Certificate) -> SslContextBuilder {
    let mut context = silent(certificate);
    context.set_alpn_select_callback(|_, offered| {
        openssl::ssl::select_next_proto(ACME_TLS, offered).ok_or(AlpnError::ALERT_FATAL)
    });
    context
}

/// One that shows this certificate and knows nothing of ALPN.
pub(super) fn silent(certificate: &Certificate) -> SslContextBuilder {
    let mut context = SslContext::builder(SslMethod::tls_server()).unwrap();
    context.set_certificate(&certificate.build()).unwrap();
    context.set_private_key(&certificate.key).unwrap();
    context
}

/// A stranger who answers with TLS.
pub(super) async fn stranger(context: SslContextBuilder) -> Stranger {
    let context = context.build();
    Stranger::handling(move |stream| {
        let ssl = Ssl::new(&context).unwrap();
        async move {
            let mut stream = SslStream::new(ssl, stream).unwrap();
            if Pin::new(&mut stream).accept().await.is_ok() {
                // Until the client hangs up, however it does.
                let _end = stream.read_to_end(&mut Vec::new()).await;
            }
        }
    })
    .await
}

/// What a client says: the name and, as on the wire, the protocols that it asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Greeting {
    pub(super) name: Option<String>,
    pub(super) protocols: Vec<u8>,
}

/// A stranger who shows this certificate, and what its clients say.
pub(super) async fn listening(certificate: &Certificate) -> (Stranger, Arc<Mutex<Vec<Greeting>>>) {
    let heard = Arc::<Mutex<Vec<Greeting>>>::default();
    let greetings = heard.clone();
    let mut context = silent(certificate);
    context.set_alpn_select_callback(move |ssl, protocols| {
        let name = ssl.servername(NameType::HOST_NAME).map(str::to_owned);
        greetings.lock().unwrap().push(Greeting { name, protocols: protocols.to_vec() });
        openssl::ssl::select_next_proto(ACME_TLS, protocols).ok_or(AlpnError::ALERT_FATAL)
    });
    (stranger(context).await, heard)
}

/// Tries to validate `a.test`, which is this stranger.
pub(super) async fn validate(stranger: &Stranger) -> Outcome {
    World::at(1, stranger.port).ask(&TlsAlpn01, "dns", "a.test").await
}

/// Tries to validate `a.test`, which shows this certificate.
pub(super) async fn shown(certificate: &Certificate) -> Outcome {
    validate(&stranger(showing(certificate)).await).await
}
