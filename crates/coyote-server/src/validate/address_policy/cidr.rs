//! Ranges of addresses.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A range of IP addresses in CIDR notation: `10.0.0.0/8`, `2001:db8::/32`. RFC 4632, RFC 4291 section 2.3.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr {
    network: IpAddr,
    prefix: u8,
}

/// Why a text is not a range of addresses.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidCidr {
    /// It is not an address, a slash and a number.
    #[error("expected an address range such as 10.0.0.0/8 or fd00::/8")]
    Syntax,
    /// The prefix is longer than the address.
    #[error("the prefix is longer than the address: at most 32 for IPv4, 128 for IPv6")]
    PrefixTooLong,
    /// The address has bits beyond the prefix, so one of the two is not what was meant.
    #[error("the address has bits set beyond the prefix")]
    HostBits,
    /// The range is of IPv4 addresses in their IPv6 form, which are judged as IPv4 addresses.
    #[error("an IPv4 range is written as IPv4: 10.0.0.0/8, not ::ffff:10.0.0.0/104")]
    Mapped,
}

impl Cidr {
    /// The range of the addresses that share their first `prefix` bits with `network`.
    ///
    /// # Errors
    ///
    /// [`InvalidCidr`], for any reason but [`Syntax`](InvalidCidr::Syntax).
    pub const fn new(network: IpAddr, prefix: u8) -> Result<Self, InvalidCidr> {
        if prefix > width(network) {
            return Err(InvalidCidr::PrefixTooLong);
        }
        if bits(network) & !mask(network, prefix) != 0 {
            return Err(InvalidCidr::HostBits);
        }
        if let IpAddr::V6(network) = network
            && is_mapped(network)
            && prefix >= 96
        {
            return Err(InvalidCidr::Mapped);
        }
        Ok(Self { network, prefix })
    }

    /// A range from a table that a test holds to what [`new`](Self::new) demands.
    pub(super) const fn of_valid(network: IpAddr, prefix: u8) -> Self {
        Self { network, prefix }
    }

    /// The range that is this address alone.
    pub const fn host(address: IpAddr) -> Self {
        let network = address.to_canonical();
        Self { network, prefix: width(network) }
    }

    /// Whether the address is in the range. An IPv4 address is in no IPv6 range.
    pub const fn contains(&self, address: IpAddr) -> bool {
        let same_family = address.is_ipv4() == self.network.is_ipv4();
        same_family && bits(address) & mask(self.network, self.prefix) == bits(self.network)
    }

    /// Whether all of `other` is in this range.
    pub const fn covers(&self, other: &Self) -> bool {
        self.prefix <= other.prefix && self.contains(other.network)
    }
}

const fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

const fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits() as u128,
        IpAddr::V6(address) => address.to_bits(),
    }
}

const fn mask(family: IpAddr, prefix: u8) -> u128 {
    let zeros = width(family) - prefix;
    let Some(mask) = u128::MAX.checked_shl(zeros as u32) else { return 0 };
    mask
}

const fn is_mapped(address: Ipv6Addr) -> bool {
    address.to_ipv4_mapped().is_some()
}

/// Reads `ADDRESS/PREFIX`, or an address alone for the range that is just it.
impl FromStr for Cidr {
    type Err = InvalidCidr;

    fn from_str(text: &str) -> Result<Self, InvalidCidr> {
        let (network, prefix) = match text.split_once('/') {
            Some((network, prefix)) => (network, Some(prefix)),
            None => (text, None),
        };
        let network: IpAddr = network.parse().map_err(|_| InvalidCidr::Syntax)?;
        let prefix = prefix.map_or(Ok(width(network)), parse_prefix)?;
        Self::new(network, prefix)
    }
}

/// `u8::from_str` would also take `+8` and `08`.
fn parse_prefix(text: &str) -> Result<u8, InvalidCidr> {
    let prefix: u8 = text.parse().map_err(|_| InvalidCidr::Syntax)?;
    if prefix.to_string() == text { Ok(prefix) } else { Err(InvalidCidr::Syntax) }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

impl TryFrom<String> for Cidr {
    type Error = InvalidCidr;

    fn try_from(text: String) -> Result<Self, InvalidCidr> {
        text.parse()
    }
}

impl From<Cidr> for String {
    fn from(cidr: Cidr) -> Self {
        cidr.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_reads_back_from_what_it_prints() {
        for text in ["10.0.0.0/8", "0.0.0.0/0", "192.0.2.1/32", "::/0", "fd00::/8", "2001:db8::1/128"] {
            assert_eq!(text.parse::<Cidr>().map(|cidr| cidr.to_string()), Ok(text.to_owned()));
        }
        assert_eq!("192.0.2.1".parse(), "192.0.2.1/32".parse::<Cidr>());
    }

    #[test]
    fn what_is_not_clearly_a_range_is_refused() {
        use InvalidCidr::{HostBits, Mapped, PrefixTooLong, Syntax};
        let cases = [
            ("", Syntax),
            ("10/8", Syntax),
            ("10.0.0/8", Syntax),
            ("010.0.0.0/8", Syntax),
            ("10.0.0.0/", Syntax),
            ("10.0.0.0/+8", Syntax),
            ("10.0.0.0/08", Syntax),
            ("10.0.0.0/8/8", Syntax),
            (" 10.0.0.0/8", Syntax),
            ("10.0.0.0/255.0.0.0", Syntax),
            ("[fd00::]/8", Syntax),
            ("fe80::%eth0/10", Syntax),
            ("10.0.0.0/33", PrefixTooLong),
            ("::/129", PrefixTooLong),
            ("10.0.0.1/8", HostBits),
            ("fd00::1/64", HostBits),
            ("0.0.0.1/0", HostBits),
            ("::ffff:10.0.0.0/104", Mapped),
            ("::ffff:10.0.0.1", Mapped),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<Cidr>(), Err(expected), "{text:?}");
        }
    }

    #[test]
    fn a_range_contains_its_first_and_last_address_and_not_their_neighbours() {
        let range: Cidr = "172.16.0.0/12".parse().unwrap();
        for (address, expected) in [
            ("172.15.255.255", false),
            ("172.16.0.0", true),
            ("172.31.255.255", true),
            ("172.32.0.0", false),
            ("::ac10:0", false),
        ] {
            assert_eq!(range.contains(address.parse().unwrap()), expected, "{address}");
        }
        let everything: Cidr = "::/0".parse().unwrap();
        assert!(everything.contains("ffff::".parse().unwrap()));
        assert!(!everything.contains("1.2.3.4".parse().unwrap()));
    }

    #[test]
    fn a_range_covers_what_lies_wholly_in_it() {
        let range: Cidr = "127.0.0.0/8".parse().unwrap();
        for (other, expected) in
            [("127.0.0.0/8", true), ("127.0.0.1/32", true), ("126.0.0.0/7", false), ("128.0.0.0/8", false)]
        {
            assert_eq!(range.covers(&other.parse().unwrap()), expected, "{other}");
        }
    }
}
