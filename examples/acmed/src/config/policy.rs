//! `[policy]`: who may have what, and which keys are good enough.

use std::{
    collections::{BTreeMap, HashSet},
    fmt, fs,
    path::{Path, PathBuf},
    str::FromStr,
};

use coyote_server::{
    jose::EcCurve,
    policy::{AllOf, KeyPolicy, KnownWeakKeys, PublicSuffixes},
    protocol::DnsName,
};

use super::{
    section::{section, string_setting},
    validation::Range,
};
use crate::failure::Failure;

mod rules;
mod webhook;

pub(crate) use rules::{Account, TrustSection};
pub(crate) use webhook::WebhookSection;

/// The lengths of RSA keys that can be worked with.
const RSA_BITS: std::ops::RangeInclusive<u32> = 2048..=4096;

section! {
    /// Who may have what. A domain stands for itself and all names below it. What is denied is denied, whatever else is
    /// allowed; where a list of what is allowed is empty, all is. And which keys are good enough, for accounts and for
    /// certificates: keys that can be broken never are.
    PolicySection {
        /// The domains, and the networks of IP addresses, that there are certificates for. If either is set, there are
        /// certificates for nothing else.
        allowed_names: Vec<DnsName> = Vec::new();
        /// See allowed_names.
        allowed_networks: Vec<Range> = Vec::new();
        /// Domains that there are no certificates for, nor for wildcards that stand for one of them.
        denied_names: Vec<DnsName> = Vec::new();
        /// Networks of IP addresses that there are no certificates for.
        denied_networks: Vec<Range> = Vec::new();
        /// The accounts that may order, by id or URL, and those that may because one of these keys of `acmed eab` opened
        /// them, by kid. If either is set, no others may.
        allowed_accounts: Vec<Account> = Vec::new();
        /// See allowed_accounts.
        allowed_eab_keys: Vec<String> = Vec::new();
        /// Accounts that may not order.
        denied_accounts: Vec<Account> = Vec::new();
        /// Keys of `acmed eab` that open no accounts, and whose accounts may not order.
        denied_eab_keys: Vec<String> = Vec::new();
        /// The networks from which accounts are opened and certificates ordered. Behind a proxy, see http.trusted_proxies.
        allowed_clients: Vec<Range> = Vec::new();
        /// Networks from which neither is done.
        denied_clients: Vec<Range> = Vec::new();
        /// A public suffix list, as Debian's package publicsuffix has it. With it, there are no certificates for names that
        /// belong to a registry, as com and *.co.uk. It is read at the start.
        public_suffixes: Option<PathBuf> = None, as in "\"/usr/share/publicsuffix/public_suffix_list.dat\"";
        /// The shortest RSA keys that are taken, in bits; 2048 at least.
        min_rsa_bits: u32 = KeyPolicy::default().min_rsa_bits;
        /// The longest, 4096 at most; 0 to take no RSA keys.
        max_rsa_bits: u32 = KeyPolicy::default().max_rsa_bits;
        /// The curves of EC keys that are taken: P-256, P-384, P-521.
        curves: Vec<Curve> = KeyPolicy::default().curves.into_iter().map(Curve).collect();
        /// Whether Ed25519 keys are taken.
        ed25519: bool = KeyPolicy::default().ed25519;
        /// A file with the keys that have leaked: in each line the SHA-256 of a DER SubjectPublicKeyInfo in hexadecimal, and
        /// after a blank whatever you like. A # begins a comment. It is read at the start.
        blocked_keys: Option<PathBuf> = None, as in "\"blocked-keys.txt\"";
        /// Files with RSA keys that anybody can make, as those of Debian's package openssl-blacklist (CVE-2008-0166): in each
        /// line the last 20 digits, or all, of the SHA-1 of what `openssl rsa -noout -modulus` prints. They are read at the start.
        known_weak_keys: Vec<PathBuf> = Vec::new();
    }
    webhook: WebhookSection,
    trust: BTreeMap<String, TrustSection>,
}

impl PolicySection {
    pub(super) fn below(self, directory: &Path) -> Self {
        let below = |path: PathBuf| directory.join(path);
        Self {
            blocked_keys: self.blocked_keys.map(below),
            public_suffixes: self.public_suffixes.map(below),
            known_weak_keys: self.known_weak_keys.into_iter().map(below).collect(),
            webhook: self.webhook.below(directory),
            ..self
        }
    }

    /// Who may have what. It reads the files that it names.
    pub(crate) fn policy(&self) -> Result<AllOf, Failure> {
        let mut policy = AllOf::default();
        if let Some(path) = &self.public_suffixes {
            let suffixes = PublicSuffixes::parse(&read(path, "public suffixes")?);
            let failed = Failure::because(format!("{} cannot be used", path.display()));
            policy = policy.and(suffixes.map_err(failed)?);
        }
        let rules = self.rules()?;
        if !rules.are_empty() {
            policy = policy.and(rules);
        }
        Ok(match self.webhook.webhook()? {
            Some(webhook) => policy.and(webhook),
            None => policy,
        })
    }

    /// What is demanded of keys. It reads the file of those that have leaked.
    pub(crate) fn key_policy(&self) -> Result<KeyPolicy, Failure> {
        self.check_rsa_bits()?;
        let mut policy = KeyPolicy::default();
        policy.min_rsa_bits = self.min_rsa_bits;
        policy.max_rsa_bits = self.max_rsa_bits;
        policy.curves = self.curves.iter().map(|curve| curve.0).collect();
        policy.ed25519 = self.ed25519;
        if policy.max_rsa_bits == 0 && policy.curves.is_empty() && !policy.ed25519 {
            return Err(Failure::new("[policy] takes no keys at all: allow RSA, a curve or ed25519"));
        }
        if let Some(path) = &self.blocked_keys {
            policy.blocked = read_blocked(path)?;
        }
        policy.known_weak = self.known_weak()?;
        Ok(policy)
    }

    fn known_weak(&self) -> Result<KnownWeakKeys, Failure> {
        let mut known = KnownWeakKeys::default();
        for path in &self.known_weak_keys {
            let added = known.add_list(&read(path, "known weak keys")?);
            added.map_err(|error| Failure::new(format!("{}:{}: {error}", path.display(), error.line)))?;
        }
        Ok(known)
    }

    fn check_rsa_bits(&self) -> Result<(), Failure> {
        let (min, max) = (self.min_rsa_bits, self.max_rsa_bits);
        if RSA_BITS.contains(&min) && (max == 0 || RSA_BITS.contains(&max) && min <= max) {
            return Ok(());
        }
        Err(Failure::new(format!(
            "RSA keys of {min} to {max} bits cannot be meant; set min_rsa_bits and max_rsa_bits in [policy] to \
             lengths from {} to {}, the shorter first, or max_rsa_bits to 0",
            RSA_BITS.start(),
            RSA_BITS.end(),
        )))
    }
}

fn read_blocked(path: &Path) -> Result<HashSet<[u8; 32]>, Failure> {
    let place = path.display();
    let text = read(path, "blocked keys")?;
    let mut blocked = HashSet::new();
    for (line, number) in text.lines().zip(1..) {
        let content = line.split('#').next().unwrap_or_default();
        let Some(word) = content.split_whitespace().next() else { continue };
        let hash = sha256(word).ok_or_else(|| {
            Failure::new(format!("{place}:{number}: {word:?} is not a SHA-256 in hexadecimal"))
        })?;
        blocked.insert(hash);
    }
    Ok(blocked)
}

fn read(path: &Path, what: &str) -> Result<String, Failure> {
    let failed = Failure::because(format!("the {what} in {} cannot be read", path.display()));
    fs::read_to_string(path).map_err(failed)
}

fn sha256(word: &str) -> Option<[u8; 32]> {
    if word.len() != 64 || !word.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let mut hash = [0; 32];
    for (byte, digits) in hash.iter_mut().zip(word.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(hash)
}

/// A curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Curve(EcCurve);

impl FromStr for Curve {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = [EcCurve::P256, EcCurve::P384, EcCurve::P521];
        let curve = known.into_iter().find(|curve| curve.name() == text);
        curve.map(Self).ok_or_else(|| format!("{text:?} is no curve; write P-256, P-384 or P-521"))
    }
}

impl fmt::Display for Curve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

string_setting!(Curve);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_default_the_policy_is_the_librarys() {
        let (policy, default) = (PolicySection::default().key_policy().unwrap(), KeyPolicy::default());
        assert_eq!((policy.min_rsa_bits, policy.max_rsa_bits), (default.min_rsa_bits, default.max_rsa_bits));
        assert_eq!((policy.curves, policy.ed25519), (default.curves, default.ed25519));
        assert_eq!(policy.blocked, default.blocked);
    }

    #[test]
    fn what_no_key_can_meet_is_refused() {
        let rsa =
            |min_rsa_bits, max_rsa_bits| PolicySection { min_rsa_bits, max_rsa_bits, ..Default::default() };
        for (min, max) in [(1024, 4096), (2048, 8192), (3072, 2048), (8192, 0), (2048, 1)] {
            assert!(rsa(min, max).key_policy().is_err(), "{min} to {max}");
        }
        for (min, max) in [(3072, 4096), (4096, 4096), (2048, 0)] {
            assert_eq!(rsa(min, max).key_policy().unwrap().max_rsa_bits, max);
        }
        let nothing = PolicySection { curves: Vec::new(), ed25519: false, ..rsa(2048, 0) };
        assert!(nothing.key_policy().is_err());
    }

    #[test]
    fn blocked_keys_are_read_as_sha256sum_writes_them() {
        let directory = tempfile::tempdir().unwrap();
        let read = |text: &str| {
            std::fs::write(directory.path().join("keys"), text).unwrap();
            let section = PolicySection { blocked_keys: Some("keys".into()), ..Default::default() };
            section.below(directory.path()).key_policy().map(|policy| policy.blocked)
        };
        let [a, b] = ["Ab".repeat(32), "01".repeat(32)];

        let blocked = read(&format!("# leaked\n\n{a}  -\n  {b} # ours\n{b}\n")).unwrap();
        assert_eq!(blocked, HashSet::from([[0xab; 32], [1; 32]]));

        for wrong in ["xy".repeat(32), "ab".repeat(31), "+f".repeat(32)] {
            let failure = read(&format!("{a}\n{wrong}\n")).unwrap_err().to_string();
            assert!(failure.contains("keys:2: ") && failure.contains(&wrong), "{failure}");
        }
    }

    #[test]
    fn blocked_keys_that_are_not_there_are_refused() {
        let section = PolicySection { blocked_keys: Some("/nowhere/keys".into()), ..Default::default() };
        assert!(section.key_policy().unwrap_err().to_string().contains("/nowhere/keys cannot be read"));
    }
}
