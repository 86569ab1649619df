//! `[rate_limits]`: how much of something a client may have in a time.

use std::{fmt, str::FromStr};

use coyote_server::{policy::RateLimits, storage::Quota};

use super::{
    section::{section, string_setting},
    time::Time,
    web_url::WebUrl,
};

section! {
    /// Rate limits: how many in which time, as in "300/3h", which is 300 at once, and one more every 36 seconds. What is not
    /// set is not limited. They are counted in the storage.
    RateLimitsSection {
        /// New orders of an account. Those that renew a certificate when that is due (RFC 9773) are not counted.
        orders_per_account: Option<Allowance> = None, as in "\"300/3h\"";
        /// New accounts from an address; of IPv6, from a network of 64 bits. Behind a proxy, all are from the proxy's.
        accounts_per_address: Option<Allowance> = None, as in "\"10/3h\"";
        /// Failed validations of a name for an account. Whoever has used them up gets no new order for the name.
        failed_validations: Option<Allowance> = None, as in "\"5/1h\"";
        /// The same over weeks, for names that go on failing: these are paused, but for an attempt now and then (of "30/30d", one a
        /// day).
        failing_names: Option<Allowance> = None, as in "\"30/30d\"";
        /// A page about the limits, to which whoever meets one is pointed.
        help: Option<WebUrl> = None, as in "\"https://ca.example.com/limits\"";
    }
}

impl RateLimitsSection {
    /// The limits as the server takes them.
    pub(crate) fn limits(&self) -> RateLimits {
        let quota = |allowance: Option<Allowance>| allowance.map(|allowance| allowance.0);
        let mut limits = RateLimits::default();
        limits.orders_per_account = quota(self.orders_per_account);
        limits.accounts_per_address = quota(self.accounts_per_address);
        limits.failed_validations = quota(self.failed_validations);
        limits.failing_names = quota(self.failing_names);
        limits.help = self.help.as_ref().map(WebUrl::to_string);
        limits
    }
}

/// A number in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allowance(Quota);

/// It cannot be read as one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a rate: write a number and a time, neither of them 0, such as \"300/3h\"")]
pub(crate) struct InvalidAllowance(String);

impl FromStr for Allowance {
    type Err = InvalidAllowance;

    fn from_str(text: &str) -> Result<Self, InvalidAllowance> {
        let invalid = || InvalidAllowance(text.to_owned());
        let (amount, period) = text.split_once('/').ok_or_else(invalid)?;
        let amount: u32 = amount.trim().parse().map_err(|_| invalid())?;
        let Time(period) = period.trim().parse().map_err(|_| invalid())?;
        if amount == 0 || period.is_zero() {
            return Err(invalid());
        }
        Ok(Self(Quota { amount, period }))
    }
}

impl fmt::Display for Allowance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Quota { amount, period } = self.0;
        write!(f, "{amount}/{}", Time(period))
    }
}

string_setting!(Allowance);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_rate_is_a_number_in_a_time() {
        for (text, amount, seconds) in [("300/3h", 300, 10_800), ("1 / 90s", 1, 90)] {
            let quota = Quota { amount, period: Duration::from_secs(seconds) };
            assert_eq!(text.parse(), Ok(Allowance(quota)), "{text}");
            assert_eq!(Allowance(quota).to_string(), text.replace(' ', ""));
        }
        for text in
            ["", "300", "300/", "/3h", "0/3h", "300/0", "-1/3h", "300/h", "300/3", "1/2/3h", "5000000000/1h"]
        {
            assert_eq!(text.parse::<Allowance>(), Err(InvalidAllowance(text.into())));
        }
    }

    #[test]
    fn nothing_is_limited_unless_it_is_set() {
        assert_eq!(RateLimitsSection::default().limits(), RateLimits::default());
        let section = RateLimitsSection {
            failed_validations: Some("5/1h".parse().unwrap()),
            help: Some("https://ca.example/limits".parse().unwrap()),
            ..RateLimitsSection::default()
        };
        let limits = section.limits();
        assert_eq!(limits.failed_validations.map(|quota| quota.amount), Some(5));
        assert_eq!(limits.help.as_deref(), Some("https://ca.example/limits"));
        assert_eq!((limits.orders_per_account, limits.accounts_per_address), (None, None));
    }
}
