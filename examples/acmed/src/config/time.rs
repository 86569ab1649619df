//! Times, as people write them: `250ms`, `10s`, `15m`, `12h`, `90d`; and points in time.

use std::{fmt, str::FromStr, time::Duration};

use coyote_server::protocol::Timestamp;
use serde::{Deserialize, Deserializer, de::Error};

use super::section::{Setting, quote, string_setting};

/// A time in a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Time(pub(crate) Duration);

/// It cannot be read as a time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a time: write a whole number and a unit (ms, s, m, h or d), such as \"10s\"")]
pub(crate) struct InvalidTime(String);

/// Units and how many milliseconds they have, the largest first.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// A thousand years, which leaves room for sums.
const MOST: u64 = 365_000 * 86_400_000;

impl Time {
    pub(crate) const fn millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    pub(crate) const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    pub(crate) const fn days(days: u64) -> Self {
        Self::seconds(days * 86_400)
    }
}

impl FromStr for Time {
    type Err = InvalidTime;

    fn from_str(text: &str) -> Result<Self, InvalidTime> {
        let invalid = || InvalidTime(text.to_owned());
        let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at_checked(unit_at).ok_or_else(invalid)?;
        let number: u64 = number.parse().map_err(|_| invalid())?;
        let unit = match unit.trim_start_matches(' ') {
            "" if number == 0 => 1,
            unit => UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(invalid)?.1,
        };
        let millis = number.checked_mul(unit).filter(|millis| *millis <= MOST).ok_or_else(invalid)?;
        Ok(Self(Duration::from_millis(millis)))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = u64::try_from(self.0.as_millis()).unwrap_or(MOST);
        let fits = |(_, size): &&(&str, u64)| millis > 0 && millis.is_multiple_of(*size);
        match UNITS.iter().find(fits) {
            Some((unit, size)) => write!(f, "{}{unit}", millis / size),
            None => f.write_str("0s"),
        }
    }
}

string_setting!(Time);

/// A point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment(pub(crate) Timestamp);

/// It cannot be read as a point in time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a point in time: write date, time and zone (RFC 3339), such as \"2026-01-31T12:00:00Z\""
)]
pub(crate) struct InvalidMoment(String);

impl FromStr for Moment {
    type Err = InvalidMoment;

    fn from_str(text: &str) -> Result<Self, InvalidMoment> {
        text.parse().map(Self).map_err(|_| InvalidMoment(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for Moment {
    /// From a string, or from what TOML itself has for it.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a point in time, such as \"2026-01-31T12:00:00Z\"")]
        enum Written {
            Text(String),
            Toml(toml::value::Datetime),
        }
        let text = match Written::deserialize(deserializer)? {
            Written::Text(text) => text,
            Written::Toml(datetime) => datetime.to_string(),
        };
        text.parse().map_err(D::Error::custom)
    }
}

impl Setting for Moment {
    fn show(&self) -> Option<String> {
        Some(quote(&self.0.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_whole_number_and_a_unit() {
        for (text, millis) in [
            ("250ms", 250),
            ("10s", 10_000),
            ("15 m", 900_000),
            ("12h", 43_200_000),
            ("90d", 7_776_000_000),
            ("0", 0),
            ("0s", 0),
        ] {
            assert_eq!(text.parse(), Ok(Time(Duration::from_millis(millis))), "{text}");
        }
        for text in ["", "10", "s", "1.5s", "-1s", "10 years", "1m30s", "99999999999999999999s", "999999999d"]
        {
            assert_eq!(text.parse::<Time>(), Err(InvalidTime(text.into())));
        }
    }

    #[test]
    fn a_time_is_written_in_the_largest_unit_that_keeps_it_whole() {
        for text in ["250ms", "10s", "90s", "15m", "23h", "90d", "0s", "1500ms"] {
            assert_eq!(text.parse::<Time>().unwrap().to_string(), text);
        }
        assert_eq!("86400s".parse::<Time>().unwrap().to_string(), "1d");
    }
}
