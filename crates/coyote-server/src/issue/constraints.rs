//! The names that a CA may certify. RFC 5280 section 4.2.1.10.

use std::net::IpAddr;

use coyote_protocol::Identifier;
use x509_cert::Certificate;
use x509_cert::ext::pkix::NameConstraints;
use x509_cert::ext::pkix::constraints::name::GeneralSubtree;
use x509_cert::ext::pkix::name::GeneralName;

/// The constraints of all certificates of a chain, as far as they are about DNS names and IP addresses.
#[derive(Debug, Default)]
pub(super) struct Constraints {
    each: Vec<Subtrees>,
}

#[derive(Debug, Default)]
struct Subtrees {
    permitted: Vec<Subtree>,
    excluded: Vec<Subtree>,
}

#[derive(Debug)]
enum Subtree {
    /// A domain, in lower case: the name itself and what is below it; empty for all names.
    Dns(String),
    /// A network: address and mask.
    Ip(Vec<u8>, Vec<u8>),
}

impl Constraints {
    /// Adds what a certificate demands of those below it.
    pub(super) fn add(&mut self, certificate: &Certificate) -> der::Result<()> {
        if let Some((_, constraints)) = certificate.tbs_certificate().get_extension::<NameConstraints>()? {
            self.each.push(Subtrees {
                permitted: subtrees(constraints.permitted_subtrees.as_deref()),
                excluded: subtrees(constraints.excluded_subtrees.as_deref()),
            });
        }
        Ok(())
    }

    /// Whether a verifier would accept the name. Where there is a permitted subtree of its kind, the name has to be
    /// in one.
    pub(super) fn permit(&self, name: &Identifier) -> bool {
        self.each.iter().all(|subtrees| {
            let mut of_its_kind =
                subtrees.permitted.iter().filter(|subtree| subtree.is_kind_of(name)).peekable();
            let permitted = of_its_kind.peek().is_none() || of_its_kind.any(|subtree| subtree.holds(name));
            permitted && !subtrees.excluded.iter().any(|subtree| subtree.holds(name))
        })
    }
}

fn subtrees(subtrees: Option<&[GeneralSubtree]>) -> Vec<Subtree> {
    let subtrees = subtrees.unwrap_or_default().iter();
    subtrees
        .filter_map(|subtree| match &subtree.base {
            GeneralName::DnsName(name) => Some(Subtree::Dns(name.as_str().to_ascii_lowercase())),
            GeneralName::IpAddress(network) => {
                let (address, mask) = network.as_bytes().split_at(network.as_bytes().len() / 2);
                Some(Subtree::Ip(address.to_vec(), mask.to_vec()))
            }
            _ => None,
        })
        .collect()
}

impl Subtree {
    fn is_kind_of(&self, name: &Identifier) -> bool {
        match self {
            Self::Dns(_) => matches!(name, Identifier::Dns(_) | Identifier::Wildcard(_)),
            Self::Ip(..) => matches!(name, Identifier::Ip(_)),
        }
    }

    fn holds(&self, name: &Identifier) -> bool {
        match (self, name) {
            (Self::Dns(domain), Identifier::Dns(name)) => is_within(name.as_str(), domain),
            // The wildcard's names are below its base, so they are in no smaller subtree as a whole.
            (Self::Dns(domain), Identifier::Wildcard(base)) => is_within(base.as_str(), domain),
            (Self::Ip(network, mask), Identifier::Ip(IpAddr::V4(address))) => {
                is_masked(&address.octets(), network, mask)
            }
            (Self::Ip(network, mask), Identifier::Ip(IpAddr::V6(address))) => {
                is_masked(&address.octets(), network, mask)
            }
            _ => false,
        }
    }
}

fn is_within(name: &str, domain: &str) -> bool {
    // Some write a dot in front, to mean the names below only.
    match (domain.strip_prefix('.'), name.strip_suffix(domain)) {
        (Some(_), Some(rest)) => !rest.is_empty(),
        (None, Some(rest)) => domain.is_empty() || rest.is_empty() || rest.ends_with('.'),
        (_, None) => false,
    }
}

fn is_masked(address: &[u8], network: &[u8], mask: &[u8]) -> bool {
    address.len() == network.len()
        && address
            .iter()
            .zip(network)
            .zip(mask)
            .all(|((address, network), mask)| address & mask == network & mask)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::issue::testing::identifiers;

    #[test]
    fn a_permitted_subtree_binds_names_of_its_own_kind() {
        let network = Subtree::Ip(vec![10, 0, 0, 0], vec![255, 0, 0, 0]);
        let subtrees =
            Subtrees { permitted: vec![network], excluded: vec![Subtree::Dns("b.example".into())] };
        let constraints = Constraints { each: vec![subtrees] };
        for name in identifiers(&["a.example", "*.a.example", "10.1.2.3"]) {
            assert!(constraints.permit(&name), "{name}");
        }
        for name in identifiers(&["b.example", "*.b.example", "11.1.2.3", "::1"]) {
            assert!(!constraints.permit(&name), "{name}");
        }
    }

    #[test]
    fn a_domain_holds_itself_and_what_is_below_it_by_whole_labels() {
        assert!(is_within("corp.example", "corp.example"));
        assert!(is_within("a.b.corp.example", "corp.example"));
        assert!(!is_within("notcorp.example", "corp.example"));
        assert!(!is_within("example", "corp.example"));
        assert!(is_within("anything", ""), "the empty domain is all of them");
    }

    #[test]
    fn a_domain_with_a_dot_in_front_holds_only_what_is_below_it() {
        assert!(is_within("a.corp.example", ".corp.example"));
        assert!(!is_within("corp.example", ".corp.example"));
    }

    #[test]
    fn a_network_holds_addresses_of_its_own_family() {
        assert!(is_masked(&[10, 1, 2, 3], &[10, 0, 0, 0], &[255, 0, 0, 0]));
        assert!(!is_masked(&[11, 1, 2, 3], &[10, 0, 0, 0], &[255, 0, 0, 0]));
        assert!(!is_masked(&[0; 16], &[0; 4], &[0; 4]), "0.0.0.0/0 holds no IPv6 address");
    }
}
