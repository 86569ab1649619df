//! The addresses that are not, or may not be, some host's on the public Internet: the IANA special-purpose
//! registries (RFC 6890), and what clouds add to them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Cidr;

/// Why an address may not be dialled.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Rule {
    /// An entry of the operator's deny list.
    Denied(Cidr),
    /// `0.0.0.0/8`, `::`: no host; many systems take it for themselves.
    Unspecified,
    /// The machine itself.
    Loopback,
    /// The machine's own link.
    LinkLocal,
    /// Where clouds serve credentials to their machines.
    CloudMetadata,
    /// Private networks. RFC 1918.
    Private,
    /// Private networks of IPv6. RFC 4193.
    UniqueLocal,
    /// Between carriers and their customers. RFC 6598.
    CarrierNat,
    /// Site-local, the deprecated predecessor of unique local. RFC 3879.
    SiteLocal,
    /// Many hosts at once.
    Multicast,
    /// All hosts at once.
    Broadcast,
    /// For examples in texts. RFC 5737, RFC 3849, RFC 9637.
    Documentation,
    /// For measurements. RFC 2544, RFC 5180.
    Benchmarking,
    /// NAT64 within one network, with the IPv4 address at a place that only that network knows. RFC 8215.
    LocalNat64,
    /// Protocol mechanics: no ordinary host has such an address.
    Protocol,
    /// Not assigned to anything yet.
    Reserved,
}

impl Rule {
    /// Whether only an entry of the allow list that lies within the forbidden range lifts the rule, and a wider
    /// one does not.
    pub const fn is_guarded(&self) -> bool {
        matches!(
            self,
            Self::Unspecified
                | Self::Loopback
                | Self::LinkLocal
                | Self::CloudMetadata
                | Self::Multicast
                | Self::Broadcast
        )
    }

    /// Whether [`AddressPolicy::private_network`](super::AddressPolicy::private_network) lifts the rule.
    pub const fn is_private_network(&self) -> bool {
        matches!(self, Self::Private | Self::UniqueLocal | Self::CarrierNat)
    }
}

/// For operators: it may name an entry of their configuration.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Denied(range) => return write!(f, "denied by the configuration ({range})"),
            Self::Unspecified => "unspecified address",
            Self::Loopback => "loopback address",
            Self::LinkLocal => "link-local address",
            Self::CloudMetadata => "cloud metadata service",
            Self::Private => "private network",
            Self::UniqueLocal => "unique local address",
            Self::CarrierNat => "carrier's network",
            Self::SiteLocal => "site-local address",
            Self::Multicast => "multicast address",
            Self::Broadcast => "broadcast address",
            Self::Documentation => "documentation address",
            Self::Benchmarking => "benchmarking address",
            Self::LocalNat64 => "local NAT64 address",
            Self::Protocol => "protocol address",
            Self::Reserved => "reserved address",
        };
        f.write_str(name)
    }
}

/// Addresses that are closed by default.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) range: Cidr,
    pub(super) rule: Rule,
}

/// The blocks that an address is in: the narrowest first, where one lies within another.
pub(super) fn blocks_around(address: IpAddr) -> impl Iterator<Item = &'static Block> {
    BLOCKS.iter().filter(move |block| block.range.contains(address))
}

const fn v4(octets: [u8; 4], prefix: u8, rule: Rule) -> Block {
    let [a, b, c, d] = octets;
    Block { range: Cidr::of_valid(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), prefix), rule }
}

const fn v6(high: u64, low: u64, prefix: u8, rule: Rule) -> Block {
    let bits = (high as u128) << 64 | low as u128;
    Block { range: Cidr::of_valid(IpAddr::V6(Ipv6Addr::from_bits(bits)), prefix), rule }
}

static BLOCKS: &[Block] = &[
    // Metadata services of AWS and most others, Alibaba, Azure, and of AWS and Google over IPv6.
    v4([169, 254, 169, 254], 32, Rule::CloudMetadata),
    v4([100, 100, 100, 200], 32, Rule::CloudMetadata),
    v4([168, 63, 129, 16], 32, Rule::CloudMetadata),
    v6(0xfd00_0ec2_0000_0000, 0x0254, 128, Rule::CloudMetadata),
    v6(0xfd20_00ce_0000_0000, 0x0254, 128, Rule::CloudMetadata),
    // IPv4
    v4([0, 0, 0, 0], 8, Rule::Unspecified),
    v4([10, 0, 0, 0], 8, Rule::Private),
    v4([100, 64, 0, 0], 10, Rule::CarrierNat),
    v4([127, 0, 0, 0], 8, Rule::Loopback),
    v4([169, 254, 0, 0], 16, Rule::LinkLocal),
    v4([172, 16, 0, 0], 12, Rule::Private),
    v4([192, 0, 0, 0], 24, Rule::Protocol),
    v4([192, 0, 2, 0], 24, Rule::Documentation),
    v4([192, 88, 99, 0], 24, Rule::Protocol), // relays of 6to4, deprecated by RFC 7526
    v4([192, 168, 0, 0], 16, Rule::Private),
    v4([198, 18, 0, 0], 15, Rule::Benchmarking),
    v4([198, 51, 100, 0], 24, Rule::Documentation),
    v4([203, 0, 113, 0], 24, Rule::Documentation),
    v4([224, 0, 0, 0], 4, Rule::Multicast),
    v4([255, 255, 255, 255], 32, Rule::Broadcast),
    v4([240, 0, 0, 0], 4, Rule::Reserved),
    // IPv6
    v6(0, 0, 128, Rule::Unspecified),
    v6(0, 1, 128, Rule::Loopback),
    v6(0x0064_ff9b_0001_0000, 0, 48, Rule::LocalNat64),
    v6(0x0100_0000_0000_0000, 0, 64, Rule::Protocol), // discard, RFC 6666
    v6(0x2001_0002_0000_0000, 0, 48, Rule::Benchmarking),
    v6(0x2001_0010_0000_0000, 0, 28, Rule::Protocol), // ORCHID, RFC 4843
    v6(0x2001_0020_0000_0000, 0, 28, Rule::Protocol), // ORCHIDv2, RFC 7343
    v6(0x2001_0db8_0000_0000, 0, 32, Rule::Documentation),
    v6(0x3fff_0000_0000_0000, 0, 20, Rule::Documentation),
    v6(0xfc00_0000_0000_0000, 0, 7, Rule::UniqueLocal),
    v6(0xfe80_0000_0000_0000, 0, 10, Rule::LinkLocal),
    v6(0xfec0_0000_0000_0000, 0, 10, Rule::SiteLocal),
    v6(0xff00_0000_0000_0000, 0, 8, Rule::Multicast),
    // What IANA's registry of the IPv6 address space has beside these and 2000::/3.
    v6(0x0000_0000_0000_0000, 0, 8, Rule::Reserved),
    v6(0x0100_0000_0000_0000, 0, 8, Rule::Reserved),
    v6(0x0200_0000_0000_0000, 0, 7, Rule::Reserved),
    v6(0x0400_0000_0000_0000, 0, 6, Rule::Reserved),
    v6(0x0800_0000_0000_0000, 0, 5, Rule::Reserved),
    v6(0x1000_0000_0000_0000, 0, 4, Rule::Reserved),
    v6(0x4000_0000_0000_0000, 0, 2, Rule::Reserved),
    v6(0x8000_0000_0000_0000, 0, 2, Rule::Reserved),
    v6(0xc000_0000_0000_0000, 0, 3, Rule::Reserved),
    v6(0xe000_0000_0000_0000, 0, 4, Rule::Reserved),
    v6(0xf000_0000_0000_0000, 0, 5, Rule::Reserved),
    v6(0xf800_0000_0000_0000, 0, 6, Rule::Reserved),
    v6(0xfe00_0000_0000_0000, 0, 9, Rule::Reserved),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_block_is_a_range() {
        for Block { range, .. } in BLOCKS {
            assert_eq!(range.to_string().parse(), Ok(*range));
        }
    }

    #[test]
    fn of_blocks_within_one_another_the_narrower_comes_first() {
        for (index, block) in BLOCKS.iter().enumerate() {
            for earlier in &BLOCKS[..index] {
                assert!(!earlier.range.covers(&block.range), "{} before {}", earlier.range, block.range);
            }
        }
    }
}
