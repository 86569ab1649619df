//! Points in time, as ACME writes them: RFC 3339 in UTC.

use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;
use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::text::serde_as_text;

/// A point in time, to the millisecond.
///
/// Arithmetic saturates, so that no date a client sends can overflow one that is computed from it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Timestamp(i64);

/// 0000-01-01T00:00:00Z, the first instant that RFC 3339 can write.
const FIRST_WRITABLE: i64 = -62_167_219_200_000;
/// 9999-12-31T23:59:59.999Z, the last.
const LAST_WRITABLE: i64 = 253_402_300_799_999;

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const UNIX_EPOCH: Self = Self(0);

    /// The instant this many milliseconds after the Unix epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// The instant this many seconds after the Unix epoch; saturates.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Whole seconds since the Unix epoch, rounded down (towards the past).
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// The time that has passed since `earlier`; zero if `earlier` is in fact later.
    pub const fn since(self, earlier: Self) -> Duration {
        if self.0 <= earlier.0 { Duration::ZERO } else { Duration::from_millis(self.0.abs_diff(earlier.0)) }
    }

    /// This instant without its fraction of a second. Certificates know no fractions.
    pub const fn truncate_to_seconds(self) -> Self {
        Self::from_seconds(self.as_seconds())
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    /// Saturates. What is shorter than a millisecond is dropped.
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    /// Saturates. What is shorter than a millisecond is dropped.
    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(millis(duration)))
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// RFC 3339 in UTC, with a fraction only where there is one: `2026-11-25T22:09:00Z`.
///
/// Years that RFC 3339 cannot write (before 0, after 9999) are written as the nearest instant it can.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.clamp(FIRST_WRITABLE, LAST_WRITABLE);
        let at = OffsetDateTime::from_unix_timestamp(millis.div_euclid(1000)).map_err(|_| fmt::Error)?;
        let (year, month, day) = at.to_calendar_date();
        let (hour, minute, second) = at.to_hms();
        write!(f, "{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}", u8::from(month))?;
        match millis.rem_euclid(1000) {
            0 => f.write_str("Z"),
            fraction => write!(f, ".{fraction:03}Z"),
        }
    }
}

/// Reads RFC 3339 with any offset. Fractions finer than a millisecond are dropped.
impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let at = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| InvalidTimestamp)?;
        let millis = at.unix_timestamp_nanos().div_euclid(1_000_000);
        i64::try_from(millis).map(Self).map_err(|_| InvalidTimestamp)
    }
}

serde_as_text!(Timestamp);

/// The text is not a date and time as RFC 3339 writes it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a date and time as RFC 3339 writes it")]
pub struct InvalidTimestamp;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<i64, InvalidTimestamp> {
        text.parse().map(Timestamp::as_millis)
    }

    #[test]
    fn a_fraction_is_written_only_where_there_is_one() {
        assert_eq!(Timestamp::from_millis(1_451_606_400_000).to_string(), "2016-01-01T00:00:00Z");
        assert_eq!(Timestamp::from_millis(1_451_606_400_050).to_string(), "2016-01-01T00:00:00.050Z");
        assert_eq!(Timestamp::from_millis(-1).to_string(), "1969-12-31T23:59:59.999Z");
    }

    #[test]
    fn offsets_and_fractions_are_understood() {
        assert_eq!(parse("2016-01-01T00:00:00Z"), Ok(1_451_606_400_000));
        assert_eq!(parse("2016-01-01T05:30:00+05:30"), Ok(1_451_606_400_000));
        assert_eq!(parse("2015-12-31T16:00:00.1234567-08:00"), Ok(1_451_606_400_123));
    }

    #[test]
    fn what_is_not_rfc_3339_is_refused() {
        let wrong = [
            "",
            "tomorrow",
            "2026-13-40T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-01-01",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00Z ",
            "10000-01-01T00:00:00Z",
            "1451606400",
        ];
        for text in wrong {
            assert_eq!(parse(text), Err(InvalidTimestamp), "{text:?} is no timestamp");
        }
    }

    #[test]
    fn the_ends_of_the_calendar_do_not_panic() {
        assert_eq!(parse("0000-01-01T00:00:00+23:59"), Ok(FIRST_WRITABLE - (23 * 60 + 59) * 60_000));
        assert_eq!(parse("9999-12-31T23:59:59.999-23:59"), Ok(LAST_WRITABLE + (23 * 60 + 59) * 60_000));
        assert_eq!(Timestamp::from_millis(i64::MIN).to_string(), "0000-01-01T00:00:00Z");
        assert_eq!(Timestamp::from_seconds(i64::MAX).to_string(), "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn arithmetic_saturates() {
        let (first, last) = (Timestamp::from_millis(i64::MIN), Timestamp::from_millis(i64::MAX));
        assert_eq!(last + Duration::MAX, last);
        assert_eq!(first - Duration::from_millis(1), first);
        assert_eq!(first.since(last), Duration::ZERO, "an earlier instant is not after a later one");
        assert_eq!(last.since(first), Duration::from_millis(u64::MAX));
        assert_eq!(Timestamp::from_millis(-1).truncate_to_seconds(), Timestamp::from_seconds(-1));
        assert!(first.truncate_to_seconds() <= first + Duration::from_secs(1));
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(millis in FIRST_WRITABLE..=LAST_WRITABLE) {
            let at = Timestamp::from_millis(millis);
            prop_assert_eq!(at.to_string().parse(), Ok(at));
        }

        #[test]
        fn every_instant_can_be_written(millis: i64) {
            prop_assert!(Timestamp::from_millis(millis).to_string().parse::<Timestamp>().is_ok());
        }

        #[test]
        fn adding_and_subtracting_cancel_out(millis in -1_000_000_000_000..1_000_000_000_000_i64, by in 0..u64::from(u32::MAX)) {
            let (at, by) = (Timestamp::from_millis(millis), Duration::from_millis(by));
            prop_assert_eq!(at + by - by, at);
            prop_assert_eq!((at + by).since(at), by);
        }
    }
}
