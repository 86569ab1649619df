//! `[policy]`: which keys are good enough.

use std::{
    collections::HashSet,
    fmt, fs,
    path::{Path, PathBuf},
    str::FromStr,
};

use coyote_server::{jose::EcCurve, policy::KeyPolicy};

use super::section::{section, string_setting};
use crate::failure::Failure;

/// The lengths of RSA keys that can be worked with.
const RSA_BITS: std::ops::RangeInclusive<u32> = 2048..=4096;

section! {
    /// Which keys are good enough, for accounts and for certificates. Keys that can be broken never are.
    PolicySection {
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
    }
}

impl PolicySection {
    pub(super) fn below(self, directory: &Path) -> Self {
        Self { blocked_keys: self.blocked_keys.map(|path| directory.join(path)), ..self }
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
        Ok(policy)
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
    let text = fs::read_to_string(path)
        .map_err(Failure::because(format!("the blocked keys in {place} cannot be read")))?;
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
