use std::borrow::Cow;
use std::fmt;

use crate::base64url;
use crate::error::Error;
use crate::header::{Accepted, Header, KeyId};
use crate::key::VerifyingKey;
use crate::mac;
use crate::members::Members;

/// A JWS in the flattened JSON serialization, parsed but **not verified**. RFC 7515 section 7.2.2.
///
/// Its payload is out of reach until it is verified; its header can be read, to find the key with.
pub struct Jws {
    header: Header,
    /// `protected`, a dot and `payload`, as they came.
    signing_input: String,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

impl Jws {
    /// Parses a JWS that is signed with a private key, as all requests are. RFC 8555 section 6.2.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] for anything but exactly the members `protected`, `payload` and `signature`, all
    /// base64url, with a header as [`Header`] describes it; [`Error::UnsupportedAlgorithm`] for `none`, MACs
    /// and whatever is not in [`Algorithm::SIGNATURES`](crate::Algorithm::SIGNATURES); [`Error::BadKey`]
    /// for a `jwk` that is well-formed, but not a key that is taken here.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        Self::parse_accepting(body, Accepted::Signatures)
    }

    /// Parses a JWS that is authenticated by a MAC, as external account bindings are. RFC 8555 section 7.3.4.
    ///
    /// # Errors
    ///
    /// As [`Jws::parse`], except that MACs are the only algorithms, and that there has to be a `kid`.
    pub fn parse_mac(body: &[u8]) -> Result<Self, Error> {
        Self::parse_accepting(body, Accepted::Macs)
    }

    /// The protected header. Until the JWS is verified, this is only what somebody claims.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The payload, if it was signed with this key.
    ///
    /// # Errors
    ///
    /// [`Error::BadSignature`] if it was not; also if the header has a `jwk` and `key` is another.
    pub fn verify(self, key: &VerifyingKey) -> Result<Vec<u8>, Error> {
        if matches!(&self.header.key, KeyId::Jwk(jwk) if **jwk != *key.jwk()) {
            return Err(Error::BadSignature);
        }
        if !key.verify(self.header.algorithm, self.signing_input.as_bytes(), &self.signature) {
            return Err(Error::BadSignature);
        }
        Ok(self.payload)
    }

    /// The payload, if its MAC was made with this secret. The comparison takes constant time.
    ///
    /// # Errors
    ///
    /// [`Error::BadSignature`] if it was not; also for a JWS that did not come from [`Jws::parse_mac`].
    /// [`Error::BadKey`] if the secret is empty.
    pub fn verify_mac(self, secret: &[u8]) -> Result<Vec<u8>, Error> {
        let algorithm = self.header.algorithm;
        if !algorithm.is_mac()
            || !mac::verify(algorithm, secret, self.signing_input.as_bytes(), &self.signature)?
        {
            return Err(Error::BadSignature);
        }
        Ok(self.payload)
    }

    fn parse_accepting(body: &[u8], accepted: Accepted) -> Result<Self, Error> {
        let Envelope { protected, payload, signature } = Envelope::parse(body)?;
        let header = decode(&protected, "the protected header is not base64url")?;
        let header = Header::parse(&header, accepted)?;
        let decoded_payload = decode(&payload, "the payload is not base64url")?;
        let signature = decode(&signature, "the signature is not base64url")?;
        if signature.is_empty() {
            return Err(Error::Malformed("the signature is empty"));
        }
        let signing_input = [&*protected, &*payload].join(".");
        Ok(Self { header, signing_input, payload: decoded_payload, signature })
    }
}

impl fmt::Debug for Jws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jws").field("header", &self.header).finish_non_exhaustive()
    }
}

/// The outer JSON object.
struct Envelope<'a> {
    protected: Cow<'a, str>,
    payload: Cow<'a, str>,
    signature: Cow<'a, str>,
}

impl<'a> Envelope<'a> {
    fn parse(body: &'a [u8]) -> Result<Self, Error> {
        let mut members = Members::parse(body)?;
        if members.has("header") {
            return Err(Error::Malformed("the JWS has an unprotected header"));
        }
        if members.has("signatures") {
            return Err(Error::Malformed("the JWS is in the general, not in the flattened serialization"));
        }
        let mut take = |name, missing| {
            members.take_text(name, "a member of the JWS is not a string")?.ok_or(Error::Malformed(missing))
        };
        let envelope = Self {
            protected: take("protected", "the JWS has no protected header")?,
            payload: take("payload", "the JWS has no payload")?,
            signature: take("signature", "the JWS has no signature")?,
        };
        // One who names further members expects them to mean something.
        if !members.is_empty() {
            return Err(Error::Malformed("the JWS has an unknown member"));
        }
        Ok(envelope)
    }
}

fn decode(text: &str, complaint: &'static str) -> Result<Vec<u8>, Error> {
    base64url::decode(text).map_err(|_| Error::Malformed(complaint))
}
