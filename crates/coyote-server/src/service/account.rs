//! Accounts. RFC 8555 sections 7.1.2 and 7.3.

use coyote_jose::VerifyingKey;
use coyote_protocol::{
    self as wire, AccountStatus, NewAccount, OrderStatus, Problem, ProblemType, Timestamp,
};
use coyote_storage::{Account, AccountChange, AccountId, Creation, OrderId, StorageError};
use tracing::instrument;

use super::{
    order::decided,
    request::{Authenticated, Request, SelfSigned},
};
use crate::{
    acme::Acme,
    error::{Error, Result},
    policy::Applicant,
    reply::Reply,
};

/// Orders on one page of an account's list.
const ORDERS_PER_PAGE: u32 = 50;

impl Acme {
    /// `newAccount`: opens an account, or finds the one that the key has. RFC 8555 sections 7.3 and 7.3.1.
    ///
    /// # Errors
    ///
    /// `badPublicKey`, `accountDoesNotExist`, `userActionRequired`, `invalidContact`, `unsupportedContact`; 401
    /// `unauthorized` for the key of a closed account.
    #[instrument(skip_all, fields(client = ?request.client))]
    pub async fn new_account(&self, request: &Request) -> Result<Reply> {
        let request = self.authenticate_key(request).await?;
        let wanted: NewAccount = request.payload()?;
        match self.storage.account_by_key(&self.directory, &request.key.thumbprint()).await {
            Ok(account) => return self.existing_account(&account),
            Err(StorageError::NotFound) => {}
            Err(error) => return Err(error.into()),
        }
        if wanted.only_return_existing {
            return Err(Error::problem(ProblemType::AccountDoesNotExist, "no account has this key"));
        }
        let account = self.prepare_account(&request, wanted).await?;
        let fields = self.rate_limiter.new_account(request.cause.client, request.cause.now).await??;
        match self.storage.create_account(account, &request.cause).await? {
            Creation::Created(account) => Ok(Reply::json(201, &self.wire_account(&account))?
                .with_location(self.urls.account(&account.id))
                .with_rate_limit(fields)),
            Creation::Existing(account) => self.existing_account(&account),
        }
    }

    /// `POST` to an account: reads it, changes its contacts, or closes it. RFC 8555 sections 7.3.2 to 7.3.6.
    ///
    /// # Errors
    ///
    /// `unauthorized` for another account's URL, `malformed`, `invalidContact`, `unsupportedContact`.
    #[instrument(skip_all, fields(account = %id))]
    pub async fn account(&self, request: &Request, id: &AccountId) -> Result<Reply> {
        let request = self.own_account(request, id).await?;
        if request.is_post_as_get() {
            return Reply::json(200, &self.wire_account(&request.account));
        }
        let update: wire::AccountUpdate = request.payload()?;
        if let Some(contact) = &update.contact {
            self.check_contacts(contact)?;
        }
        let change = AccountChange {
            contact: update.contact,
            agree_to_terms_of_service: update.terms_of_service_agreed == Some(true),
            // Every other status is ignored. RFC 8555 section 7.3.2.
            deactivate: update.status == Some(AccountStatus::Deactivated),
        };
        let is_new = |contact: &Vec<String>| *contact != request.account.contact;
        let change = AccountChange { contact: change.contact.filter(is_new), ..change };
        if change == AccountChange::default() {
            return Reply::json(200, &self.wire_account(&request.account));
        }
        let account = self.storage.update_account(id, change, &request.cause).await?;
        Reply::json(200, &self.wire_account(&account))
    }

    /// `POST`-as-GET to an account's orders: a page of the URLs of those that are not invalid, newest first. RFC 8555
    /// section 7.1.2.1.
    ///
    /// # Errors
    ///
    /// `unauthorized` for another account's list.
    #[instrument(skip_all, fields(account = %id))]
    pub async fn orders(&self, request: &Request, id: &AccountId, after: Option<OrderId>) -> Result<Reply> {
        let request = self.own_account(request, id).await?;
        request.require_post_as_get()?;
        let page = self.storage.orders(id, after.as_ref(), ORDERS_PER_PAGE).await?;
        let list = wire::OrdersList { orders: self.not_invalid(&page.orders, &request).await? };
        let reply = Reply::json(200, &list)?;
        Ok(match page.orders.last() {
            Some(last) if page.more => {
                reply.with_link(format!("{}?cursor={last}", self.urls.orders(id)), "next")
            }
            _ => reply,
        })
    }

    /// The URLs of these orders, without those that are invalid. Nothing stores a status: each order has to be read.
    async fn not_invalid(&self, orders: &[OrderId], request: &Authenticated) -> Result<Vec<String>> {
        let mut urls = Vec::with_capacity(orders.len());
        for id in orders {
            match self.storage.order(&request.account.id, id).await {
                Ok(order) if order.status(request.now()) == OrderStatus::Invalid => {}
                Ok(_) => urls.push(self.urls.order(id)),
                // It was swept in between.
                Err(StorageError::NotFound) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(urls)
    }

    async fn own_account(&self, request: &Request, id: &AccountId) -> Result<Authenticated> {
        let request = self.authenticate(request).await?;
        if request.account.id == *id { Ok(request) } else { Err(StorageError::NotFound.into()) }
    }

    fn existing_account(&self, account: &Account) -> Result<Reply> {
        account.require_valid()?;
        Ok(Reply::json(200, &self.wire_account(account))?.with_location(self.urls.account(&account.id)))
    }

    /// Whether a key is good enough for an account.
    pub(super) fn check_account_key(&self, key: &VerifyingKey) -> Result<()> {
        let checked = self.key_policy.check(key.public_key());
        checked.map_err(|weak| Error::problem(ProblemType::BadPublicKey, weak.to_string()))
    }

    async fn prepare_account(&self, request: &SelfSigned, wanted: NewAccount) -> Result<Account> {
        self.check_account_key(&request.key)?;
        self.check_contacts(&wanted.contact)?;
        if !wanted.terms_of_service_agreed {
            self.require_no_terms()?;
        }
        let now = request.cause.now;
        let external_account = match &wanted.external_account_binding {
            Some(binding) => Some(self.verify_binding(binding, request.key.jwk(), now).await?),
            None if self.meta.external_account_required => {
                let detail = "an account has to be bound to an external account here";
                return Err(Error::problem(ProblemType::ExternalAccountRequired, detail));
            }
            None => None,
        };
        let account = Account {
            id: AccountId::from_bytes(self.entropy.bytes()?),
            directory: self.directory.clone(),
            key: request.key.jwk().clone(),
            contact: wanted.contact,
            terms_of_service_agreed: wanted.terms_of_service_agreed.then_some(now),
            external_account,
            created: now,
            deactivated: None,
            revoked: None,
        };
        let applicant = Applicant { client: request.cause.client, ..Applicant::new(&account) };
        // Counted when it is opened, but whoever has used it up has nobody asked for a decision.
        self.rate_limiter.may_join(request.cause.client, now).await??;
        decided(self.policy.new_account(&applicant).await)?;
        Ok(account)
    }

    /// Whether the account's holder agreed to the terms of service as they are. RFC 8555 section 7.3.3.
    pub(super) fn require_terms(&self, account: &Account, now: Timestamp) -> Result<()> {
        // What is to change later cannot be agreed to now.
        let Some(changed) = self.terms_changed.filter(|changed| *changed <= now) else { return Ok(()) };
        match account.terms_of_service_agreed {
            Some(agreed) if agreed >= changed => Ok(()),
            _ => self.require_no_terms(),
        }
    }

    fn require_no_terms(&self) -> Result<()> {
        let Some(terms) = &self.meta.terms_of_service else { return Ok(()) };
        let problem =
            Problem::new(ProblemType::UserActionRequired, "the terms of service have to be agreed to");
        Err(problem.with_instance(terms.clone()).into())
    }

    /// Checks the number and the form of contacts. RFC 8555 section 7.3.
    fn check_contacts(&self, contacts: &[String]) -> Result<()> {
        if contacts.len() > self.limits.contacts_per_account as usize {
            let most = self.limits.contacts_per_account;
            return Err(Error::malformed(format!("an account has at most {most} contacts")));
        }
        contacts.iter().try_for_each(|contact| check_contact(contact, self.limits.contact_length as usize))
    }

    pub(super) fn wire_account(&self, account: &Account) -> wire::Account {
        let binding = account.external_account.as_ref().map(|external| external.binding.to_string());
        wire::Account {
            status: account.status(),
            contact: account.contact.clone(),
            terms_of_service_agreed: account.terms_of_service_agreed.map(|_| true),
            external_account_binding: binding
                .and_then(|json| wire::ExternalAccountBinding::from_json(json).ok()),
            orders: Some(self.urls.orders(&account.id)),
        }
    }
}

/// A contact is a `mailto:` URL with exactly one address and no header fields. RFC 8555 section 7.3.
fn check_contact(contact: &str, longest: usize) -> Result<()> {
    let invalid = |detail: &str| Err(Error::problem(ProblemType::InvalidContact, detail));
    if contact.len() > longest {
        return invalid("a contact is too long");
    }
    let Some((scheme, address)) = contact.split_once(':') else {
        return invalid("a contact is not a URL");
    };
    if !scheme.eq_ignore_ascii_case("mailto") {
        return Err(Error::problem(
            ProblemType::UnsupportedContact,
            "the only contacts here are mailto: URLs",
        ));
    }
    if address.bytes().any(|byte| !byte.is_ascii_graphic() || b"?,%<>\"()[]\\;:".contains(&byte)) {
        return invalid("a contact has one plain address, and no header fields");
    }
    let Some((local, domain)) = address.split_once('@') else {
        return invalid("a contact has no @ in its address");
    };
    if local.is_empty() || domain.contains('@') || wire::DnsName::parse(domain).is_err() {
        return invalid("a contact is not an e-mail address");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(contact: &str) -> Option<ProblemType> {
        match check_contact(contact, 320) {
            Ok(()) => None,
            Err(Error::Problem(problem)) => Some(problem.kind),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn a_contact_is_one_plain_address() {
        for good in ["mailto:a@example.org", "MAILTO:a.b+c@sub.example.org", "mailto:root@localhost"] {
            assert_eq!(kind(good), None, "{good}");
        }
        for bad in [
            "mailto:",
            "mailto:@",
            "mailto:a",
            "mailto:a@example.org?cc=b@example.org",
            "mailto:a@x.org,b@x.org",
            "mailto:a@x.org%0d%0aBcc:z@x.org",
            "mailto:a@x.org\r\nBcc:z@x.org",
            "mailto:a@b@x.org",
            "a@example.org",
        ] {
            assert_eq!(kind(bad), Some(ProblemType::InvalidContact), "{bad}");
        }
        for other in ["tel:+1", "javascript:alert(1)", "https://x"] {
            assert_eq!(kind(other), Some(ProblemType::UnsupportedContact), "{other}");
        }
    }
}
