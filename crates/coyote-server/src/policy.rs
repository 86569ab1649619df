//! Policy: who may have what.

use async_trait::async_trait;
use coyote_protocol::{Identifier, NewAccount, Problem};
use coyote_storage::{Account, Order};

use crate::issue::Csr;

mod keys;
mod rate_limits;

pub use keys::{KeyPolicy, WeakKey};
pub(crate) use rate_limits::RateLimiter;
pub use rate_limits::{RateLimitFields, RateLimited, RateLimits};

/// Decides who may have what, beyond what the protocol itself demands. Each method may be left as it is.
///
/// A refusal is a problem: the client is told exactly that.
#[async_trait]
pub trait Policy: Send + Sync + 'static {
    /// Whether this account may be opened.
    async fn new_account(&self, _request: &NewAccount) -> Result<(), Problem> {
        Ok(())
    }

    /// Whether this account may order certificates for this identifier. Of the identifiers of an order, all that
    /// are refused are told at once.
    async fn identifier(&self, _account: &Account, _identifier: &Identifier) -> Result<(), Problem> {
        Ok(())
    }

    /// Whether this order may be finalized with this CSR.
    async fn finalize(&self, _account: &Account, _order: &Order, _csr: &Csr) -> Result<(), Problem> {
        Ok(())
    }
}

/// Allows all that the protocol allows and a challenge can prove.
#[derive(Clone, Copy, Debug, Default)]
pub struct AllowAll;

impl Policy for AllowAll {}
