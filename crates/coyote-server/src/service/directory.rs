//! The directory. RFC 8555 section 7.1.1.

use crate::{acme::Acme, reply::Reply};

impl Acme {
    /// The directory object. It was written once, when the server was put together.
    pub fn directory(&self) -> Reply {
        self.directory_reply.clone()
    }
}
