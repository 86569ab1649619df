//! External account bindings. RFC 8555 section 7.3.4.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

/// The inner JWS of a newAccount request, by which the holder of a MAC key that was handed out elsewhere
/// vouches for the account key.
///
/// It is kept as the very text that was sent: the JWS parser must see everything that is wrong with it,
/// duplicate members included, and the account object shows it unchanged.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct ExternalAccountBinding(Box<RawValue>);

impl ExternalAccountBinding {
    /// Takes a flattened JWS, as it was signed or stored.
    ///
    /// # Errors
    ///
    /// [`InvalidBinding`] if it is not one JSON object. What the object holds is not looked at.
    pub fn from_json(json: String) -> Result<Self, InvalidBinding> {
        RawValue::from_string(json).map_err(|_| InvalidBinding).and_then(Self::new)
    }

    /// The JWS, to be parsed.
    pub fn as_json(&self) -> &str {
        self.0.get()
    }

    fn new(value: Box<RawValue>) -> Result<Self, InvalidBinding> {
        if value.get().starts_with('{') { Ok(Self(value)) } else { Err(InvalidBinding) }
    }
}

impl<'de> Deserialize<'de> for ExternalAccountBinding {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(Box::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// By text.
impl PartialEq for ExternalAccountBinding {
    fn eq(&self, other: &Self) -> bool {
        self.as_json() == other.as_json()
    }
}

impl Eq for ExternalAccountBinding {}

/// The external account binding is not a JSON object.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the external account binding is not a JSON object")]
pub struct InvalidBinding;
