//! Which addresses may be dialled. RFC 8555 section 10.4.
//!
//! Whoever orders a certificate chooses the name that is resolved and, by redirecting, the next one. Without a
//! policy a CA would be a way to send requests to machines that only it can reach: itself, its neighbours, the
//! metadata service of its cloud.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

mod blocks;
mod cidr;

pub use blocks::Rule;
use blocks::{Block, blocks_around};
pub use cidr::{Cidr, InvalidCidr};

/// The address may not be dialled.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the address is refused: {rule}")]
pub struct Refusal {
    /// What forbids it.
    pub rule: Rule,
}

/// Says which addresses may be dialled.
///
/// By default those of the public Internet may, and what IANA registers for special purposes may not. The lists
/// change that: `deny` wins over `allow`, and `allow` wins over the default.
///
/// The addresses of the machine itself, of its link and of cloud metadata services, and those that are not one
/// host's, are easily opened by mistake. They are [guarded](Rule::is_guarded): an entry of `allow` opens them only
/// if it lies wholly within the range that closes them. `0.0.0.0/0` does not open 127.0.0.1; `127.0.0.0/8` does.
///
/// An IPv6 address that leads to an IPv4 host (IPv4-mapped, IPv4-compatible, NAT64, 6to4, Teredo) is judged by
/// the IPv4 address within.
///
/// ```
/// # use coyote_server::validate::AddressPolicy;
/// let policy = AddressPolicy::public().allow("10.20.0.0/16".parse()?).deny("10.20.0.1".parse()?);
///
/// assert!(policy.check("10.20.3.4".parse()?).is_ok());
/// assert!(policy.check("10.20.0.1".parse()?).is_err());
/// assert!(policy.check("10.0.0.1".parse()?).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct AddressPolicy {
    private_network: bool,
    allow: Vec<Cidr>,
    deny: Vec<Cidr>,
}

impl AddressPolicy {
    /// The public Internet and nothing else. The default.
    pub fn public() -> Self {
        Self::default()
    }

    /// For a CA within a private network: also the addresses of private networks (RFC 1918), those of carriers'
    /// networks (RFC 6598) and unique local ones (RFC 4193). The machine itself, its link and the metadata
    /// services of clouds stay closed.
    pub fn private_network() -> Self {
        Self { private_network: true, ..Self::default() }
    }

    /// With a range that may be dialled although the default forbids it.
    #[must_use]
    pub fn allow(mut self, range: Cidr) -> Self {
        self.allow.push(range);
        self
    }

    /// With a range that may not be dialled, whatever else is said.
    #[must_use]
    pub fn deny(mut self, range: Cidr) -> Self {
        self.deny.push(range);
        self
    }

    /// Whether the address may be dialled.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if it may not.
    pub fn check(&self, address: IpAddr) -> Result<(), Refusal> {
        self.check_denied(address)?;
        leads_to(address).into_iter().flatten().try_for_each(|address| {
            self.check_denied(address)?;
            self.check_blocks(address)
        })
    }

    fn check_denied(&self, address: IpAddr) -> Result<(), Refusal> {
        match self.deny.iter().find(|range| range.contains(address)) {
            Some(range) => Err(Refusal { rule: Rule::Denied(*range) }),
            None => Ok(()),
        }
    }

    fn check_blocks(&self, address: IpAddr) -> Result<(), Refusal> {
        match blocks_around(address).find(|block| !self.opens(block, address)) {
            Some(block) => Err(Refusal { rule: block.rule }),
            None => Ok(()),
        }
    }

    /// Whether the address may be dialled although it is in this block.
    fn opens(&self, block: &Block, address: IpAddr) -> bool {
        let preset = self.private_network && block.rule.is_private_network();
        let is_narrow = |entry: &Cidr| !block.rule.is_guarded() || block.range.covers(entry);
        preset || self.allow.iter().any(|entry| entry.contains(address) && is_narrow(entry))
    }
}

/// What is to be judged of an address: itself, and the IPv4 addresses that it leads to. Of those that only stand
/// for an IPv4 address, that one alone; of Teredo, the server's and the client's.
fn leads_to(address: IpAddr) -> [Option<IpAddr>; 3] {
    let itself = Some(address);
    let IpAddr::V6(address) = address else { return [itself, None, None] };
    let last = low_bits(address);
    match address.segments() {
        // These two look like IPv4-compatible addresses and are the unspecified and the loopback address.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => [itself, None, None],
        [0, 0, 0, 0, 0, 0 | 0xffff, _, _] | [0x64, 0xff9b, 0, 0, 0, 0, _, _] => {
            [Some(last.into()), None, None]
        }
        [0x2002, high, low, ..] => [itself, Some(join(high, low).into()), None],
        [0x2001, 0, high, low, ..] => {
            let client = Ipv4Addr::from_bits(!last.to_bits());
            [itself, Some(join(high, low).into()), Some(client.into())]
        }
        _ => [itself, None, None],
    }
}

fn low_bits(address: Ipv6Addr) -> Ipv4Addr {
    let [.., a, b, c, d] = address.octets();
    Ipv4Addr::new(a, b, c, d)
}

fn join(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))
}

#[cfg(test)]
mod tests;
