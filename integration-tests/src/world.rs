//! A server and the world that it looks at.

use std::sync::Arc;

use crate::{Acmed, Client, Dns, Responder, Setup};

/// A server that validates against our own name server and web server, and a client of it.
///
/// The fields are dropped in this order: the server ends first.
pub struct World {
    /// The server.
    pub acmed: Acmed,
    /// A client.
    pub client: Arc<Client>,
    /// Where it looks up names.
    pub dns: Dns,
    /// Where it validates.
    pub responder: Responder,
}

impl World {
    /// A server as it is out of the box.
    #[must_use]
    pub fn new() -> Self {
        Self::with(|setup| setup)
    }

    /// A server that is set up in a particular way.
    #[must_use]
    pub fn with(set_up: impl FnOnce(Setup) -> Setup) -> Self {
        let (dns, responder) = (Dns::start(), Responder::start());
        let acmed = Acmed::serve(&set_up(Setup::new(&dns, &responder)));
        let client = acmed.client();
        Self { acmed, client, dns, responder }
    }

    /// Kills the server and starts it again on the same data.
    pub fn crash(&mut self) {
        self.acmed.restart();
        self.client.forget_nonces();
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}
