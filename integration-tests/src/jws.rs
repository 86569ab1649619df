//! Signed requests, in parts that can each be wrong. RFC 8555 section 6.2.

use coyote_jose::base64url;
use serde_json::{Value, json};

use crate::{Key, Request};

/// A request before it is signed.
#[derive(Clone)]
pub struct Signed {
    /// The request target that it goes to.
    pub target: String,
    /// The protected header: anything, as long as it can be written as JSON.
    pub protected: Value,
    /// The payload: any bytes.
    pub payload: Vec<u8>,
    /// The key that signs.
    pub key: Key,
}

impl Signed {
    /// With this parameter in the protected header, whether it was there before or not.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.protected[name] = value.into();
        self
    }

    /// Without this parameter in the protected header.
    ///
    /// # Panics
    ///
    /// If the protected header is not an object.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.protected.as_object_mut().expect("an object").remove(name);
        self
    }

    /// With this payload.
    #[must_use]
    pub fn with_payload(self, payload: impl Into<Vec<u8>>) -> Self {
        Self { payload: payload.into(), ..self }
    }

    /// Signed by this key, whatever the header says.
    #[must_use]
    pub fn signed_by(self, key: &Key) -> Self {
        Self { key: key.clone(), ..self }
    }

    /// Sent to this target.
    #[must_use]
    pub fn to(self, target: &str) -> Self {
        Self { target: target.into(), ..self }
    }

    /// The protected header as text.
    #[must_use]
    pub fn protected_text(&self) -> String {
        base64url::encode(self.protected.to_string())
    }

    /// The payload as text.
    #[must_use]
    pub fn payload_text(&self) -> String {
        base64url::encode(&self.payload)
    }

    /// The flattened JWS: an object of three members, to be sent or to be spoilt.
    #[must_use]
    pub fn flattened(&self) -> Value {
        flatten(&self.key, &self.protected_text(), &self.payload_text())
    }

    /// The request.
    #[must_use]
    pub fn request(&self) -> Request {
        self.request_with(self.flattened().to_string())
    }

    /// The request with another body.
    #[must_use]
    pub fn request_with(&self, body: impl Into<Vec<u8>>) -> Request {
        Request::post(&self.target, body)
    }
}

/// Signs these two texts, whatever they are.
#[must_use]
pub fn flatten(key: &Key, protected: &str, payload: &str) -> Value {
    let signature = base64url::encode(key.sign(format!("{protected}.{payload}").as_bytes()));
    json!({"protected": protected, "payload": payload, "signature": signature})
}
