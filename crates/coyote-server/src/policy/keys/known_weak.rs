//! RSA keys that anybody can make again.

use openssl::{bn::BigNumRef, error::ErrorStack, sha::sha1};

/// Lists of weak RSA keys, as Debian's package `openssl-blacklist` published them for CVE-2008-0166, whose generator
/// could make 32,767 keys of each length.
///
/// A key is known by the last 80 bits of the SHA-1 of what `openssl rsa -noout -modulus` prints. Each takes 10 bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownWeakKeys(Vec<[u8; 10]>);

/// A line of a list of weak keys is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is not a SHA-1, or the last 20 digits of one, in hexadecimal")]
pub struct InvalidWeakKey {
    /// Which, counted from 1.
    pub line: usize,
}

impl KnownWeakKeys {
    /// Adds the keys of a list: in each line the last 20 digits of the SHA-1 in hexadecimal, or all 40, and after a blank
    /// anything. A `#` begins a comment.
    ///
    /// # Errors
    ///
    /// [`InvalidWeakKey`]: then nothing is added.
    pub fn add_list(&mut self, text: &str) -> Result<(), InvalidWeakKey> {
        let mut added = Vec::new();
        for (content, line) in text.lines().zip(1..) {
            let content = content.split('#').next().unwrap_or_default();
            let Some(word) = content.split_whitespace().next() else { continue };
            added.push(suffix(word).ok_or(InvalidWeakKey { line })?);
        }
        self.0.extend(added);
        self.0.sort_unstable();
        self.0.dedup();
        Ok(())
    }

    /// How many keys are known.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the key with this modulus is known.
    pub(super) fn contain(&self, modulus: &BigNumRef) -> Result<bool, ErrorStack> {
        if self.is_empty() {
            return Ok(false);
        }
        let digits: &str = &modulus.to_hex_str()?;
        let hash = sha1(format!("Modulus={}\n", digits.trim_start_matches('0')).as_bytes());
        let known = hash.last_chunk().is_some_and(|suffix| self.0.binary_search(suffix).is_ok());
        Ok(known)
    }
}

fn suffix(word: &str) -> Option<[u8; 10]> {
    if ![20, 40].contains(&word.len()) || !word.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let digits: &[u8; 20] = word.as_bytes().last_chunk()?;
    let mut suffix = [0; 10];
    for (byte, pair) in suffix.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(suffix)
}

#[cfg(test)]
mod tests {
    use openssl::bn::BigNum;

    use super::*;

    /// The modulus of a key that Debian's list of 2048 bits has.
    const WEAK: &str = "D673252AF6723C3F72529403EAB7C30DEF3C52F97E799825F4A70191C616ADCF1ECE1113F1625971074C492C592025FD\
                        EADBDB146A081826BDF0D77C3C913DCF1B6F0B3B78F5108D2E493AD0EEE8CA5C021711ADC13D358E61133870FCD19C8E\
                        5C22403959782AA82E72AEE53A3D491E3912CE27B27E1A85EA69C19A527D28F7934C9823B7E56FDD657DAC83FDC65BB2\
                        2A98D843DF73238919781B714C81A5E2AFEC71F5C54AA2A27C590AD94C03C1062D50EFCFFAC743E3C8A3AE056846A1D7\
                        56EB862BF4224169D467C35215ADE0AFCC11E85FE629AFB802C4786FF2E9C929BCCF502B3D3B8876C6A11785CC398B38\
                        9F1D86BDD9CB0BD4EC13956EC3FA270D";

    fn list(text: &str) -> Result<KnownWeakKeys, InvalidWeakKey> {
        let mut known = KnownWeakKeys::default();
        known.add_list(text).map(|()| known)
    }

    #[test]
    fn a_key_of_debians_list_is_known_in_either_way_of_writing_it() {
        let modulus = BigNum::from_hex_str(WEAK).unwrap();
        for text in [
            "# openssl-blacklist\n8df20e6961a16398b85a\n",
            "00000000000000000000\nA3853D0C563765E504C18DF20E6961A16398B85A  -\n",
        ] {
            assert_eq!(list(text).unwrap().contain(&modulus).ok(), Some(true), "{text}");
        }
        for text in ["", "8df20e6961a16398b85b\n"] {
            assert_eq!(list(text).unwrap().contain(&modulus).ok(), Some(false), "{text}");
        }
    }

    #[test]
    fn a_line_that_is_no_hash_is_told_and_nothing_is_added() {
        for (text, line) in
            [("zz", 1), ("8df20e6961a16398b85a\n\n8df20e6961", 3), ("+df20e6961a16398b85a", 1)]
        {
            assert_eq!(list(text), Err(InvalidWeakKey { line }), "{text}");
        }
        let mut known = list("8df20e6961a16398b85a").unwrap();
        assert!(known.add_list("00000000000000000000\nx").is_err());
        assert_eq!(known.len(), 1);
    }
}
