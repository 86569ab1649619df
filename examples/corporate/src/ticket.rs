//! `ticket-01`: a colleague approves, with the company's key.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use actix_web::{HttpResponse, post, web};
use async_trait::async_trait;
use coyote_server::{
    jose::base64url,
    protocol::{ChallengeType, Identifier, ProblemType},
    validate::{Attempt, ChallengeValidator, ValidationFailure},
};
use openssl::{
    error::ErrorStack,
    pkey::{PKey, Public},
    sign::Verifier,
};
use serde::Deserialize;

/// What a ticket says: this account, which alone has this key authorization, may have certificates for this name.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Ticket {
    number: String,
    name: String,
    key_authorization: String,
    /// The approver's, over the other three with line feeds between them; base64url.
    signature: String,
}

/// The tickets that have been approved, by their key authorizations. Clones are one.
#[derive(Clone)]
pub(crate) struct Tickets {
    approver: PKey<Public>,
    approved: Arc<Mutex<HashMap<String, Ticket>>>,
}

impl Tickets {
    /// Tickets that are signed with this Ed25519 key, in PEM.
    pub(crate) fn signed_by(pem: &[u8]) -> Result<Self, ErrorStack> {
        Ok(Self { approver: PKey::public_key_from_pem(pem)?, approved: Arc::default() })
    }

    fn is_genuine(&self, ticket: &Ticket) -> Result<bool, ErrorStack> {
        let Ticket { number, name, key_authorization, signature } = ticket;
        let Ok(signature) = base64url::decode(signature) else { return Ok(false) };
        let statement = [number.as_str(), name, key_authorization].join("\n");
        Verifier::new_without_digest(&self.approver)?.verify_oneshot(&signature, statement.as_bytes())
    }

    fn approve(&self, ticket: Ticket) {
        let mut approved = self.approved.lock().unwrap_or_else(PoisonError::into_inner);
        approved.insert(ticket.key_authorization.clone(), ticket);
    }

    fn cover(&self, key_authorization: &str, name: &Identifier) -> bool {
        let approved = self.approved.lock().unwrap_or_else(PoisonError::into_inner);
        approved.get(key_authorization).is_some_and(|ticket| ticket.name == name.value())
    }
}

/// `POST /tickets`: where the ticket system delivers what was approved.
#[post("/tickets")]
pub(crate) async fn approve(tickets: web::Data<Tickets>, ticket: web::Json<Ticket>) -> HttpResponse {
    if !tickets.is_genuine(&ticket).unwrap_or(false) {
        return HttpResponse::Forbidden().body("this is not signed by an approver\n");
    }
    tickets.approve(ticket.into_inner());
    HttpResponse::NoContent().finish()
}

/// The challenge. A client may say that it is ready before the ticket is approved: the server looks again.
pub(crate) struct Ticket01(pub(crate) Tickets);

#[async_trait]
impl ChallengeValidator for Ticket01 {
    fn challenge_type(&self) -> ChallengeType {
        ChallengeType::new("ticket-01")
    }

    fn offers(&self, identifier: &Identifier) -> bool {
        matches!(identifier, Identifier::Dns(_))
    }

    async fn validate(&self, attempt: Attempt<'_>) -> Result<(), ValidationFailure> {
        if self.0.cover(attempt.key_authorization.as_str(), attempt.identifier) {
            return Ok(());
        }
        let detail = format!("no ticket for {} has been approved yet", attempt.identifier);
        Err(ValidationFailure::transient(ProblemType::Unauthorized, detail))
    }
}
