//! Serial numbers of certificates. RFC 5280 section 4.1.2.2.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::InvalidId;

/// A certificate's serial number: positive, at most 20 octets as DER writes it.
///
/// Printed as lower-case hexadecimal, two digits an octet, without the sign octet.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Serial(Vec<u8>);

impl Serial {
    /// The serial number of this magnitude, big-endian. Leading zeros do not count; `None` if nothing is left,
    /// or more than 159 bits.
    pub fn from_bytes(magnitude: &[u8]) -> Option<Self> {
        let significant = magnitude.iter().position(|byte| *byte != 0).and_then(|at| magnitude.get(at..))?;
        let first = *significant.first()?;
        let octets = significant.len() + usize::from(first >= 0x80);
        (octets <= 20).then(|| Self(significant.to_vec()))
    }

    /// A serial of 158 random bits: as long as RFC 5280 allows, and always of the same length.
    pub fn from_random(mut bits: [u8; 20]) -> Self {
        bits[0] = (bits[0] & 0x3f) | 0x40;
        Self(bits.to_vec())
    }

    /// The magnitude, big-endian, without leading zeros.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Serial({self})")
    }
}

impl FromStr for Serial {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        if !text.bytes().all(|digit| digit.is_ascii_hexdigit())
            || !text.len().is_multiple_of(2)
            || text.len() > 42
        {
            return Err(InvalidId);
        }
        let digits = text.as_bytes().chunks_exact(2);
        let octets = digits.map(|pair| {
            let pair = std::str::from_utf8(pair).map_err(|_| InvalidId)?;
            u8::from_str_radix(pair, 16).map_err(|_| InvalidId)
        });
        let octets = octets.collect::<Result<Vec<u8>, _>>()?;
        Self::from_bytes(&octets).ok_or(InvalidId)
    }
}

impl From<Serial> for String {
    fn from(serial: Serial) -> String {
        serial.to_string()
    }
}

impl TryFrom<String> for Serial {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_reads_back_from_what_it_prints() {
        let serial = Serial::from_random([0xff; 20]);
        assert_eq!(serial.to_string().parse(), Ok(serial.clone()));
        assert_eq!(serial.as_bytes().len(), 20);
    }

    #[test]
    fn a_serial_is_positive_and_fits_20_octets_of_der() {
        assert_eq!(Serial::from_bytes(&[]), None);
        assert_eq!(Serial::from_bytes(&[0, 0]), None);
        assert_eq!(Serial::from_bytes(&[0x80; 20]), None, "20 octets and a sign octet are 21");
        assert_eq!(Serial::from_bytes(&[0, 0, 7]).map(|s| s.to_string()), Some("07".into()));
        assert_eq!("".parse::<Serial>(), Err(InvalidId));
        assert_eq!("+1".parse::<Serial>(), Err(InvalidId), "a sign is no digit");
    }
}
