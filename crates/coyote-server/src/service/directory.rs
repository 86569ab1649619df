//! The directory. RFC 8555 section 7.1.1.

use super::request::Request;
use crate::{acme::Acme, error::Result, reply::Reply};

impl Acme {
    /// The directory object. It was written once, when the server was put together.
    pub fn directory(&self) -> Reply {
        self.directory_reply.clone()
    }

    /// `POST`-as-GET to the directory. RFC 8555 section 6.3.
    ///
    /// # Errors
    ///
    /// What [`authenticate`](Self::authenticate) answers; `malformed` for a payload.
    pub async fn authenticated_directory(&self, request: &Request) -> Result<Reply> {
        self.authenticate(request).await?.require_post_as_get()?;
        Ok(self.directory())
    }
}
