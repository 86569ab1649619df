//! DNS names in the one form that may enter a certificate.

use std::fmt;
use std::str::FromStr;

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

use crate::IdentifierError;
use crate::text::serde_as_text;

/// A DNS name in canonical form: LDH labels in lower case, internationalized ones as A-labels, no dot at
/// the end, no wildcard. RFC 1034 section 3.5, RFC 5890 section 2.3, RFC 5280 section 7.2.
///
/// It is never something that other software could take for an IP address. It may be a single label
/// (`intranet`): whether that is acceptable is for policy to say.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct DnsName(String);

impl DnsName {
    /// The most characters a name has. RFC 1035 section 2.3.4, less the root's length octet and ours.
    pub const MAX_LENGTH: usize = 253;
    /// The most labels a name may have here. DNS allows 127, but each costs a CAA query, and the deepest
    /// names in real use, those of IPv6 addresses under `ip6.arpa`, have 34.
    pub const MAX_LABELS: usize = 40;

    /// Reads a name and puts it into canonical form, which changes nothing but the case of letters:
    /// whatever else would have to be mapped, decoded or trimmed is refused.
    ///
    /// # Errors
    ///
    /// [`IdentifierError::Malformed`] for what is not a DNS name, or is not one to everybody;
    /// [`IdentifierError::Rejected`] for labels reserved by RFC 5890 and for more than
    /// [`MAX_LABELS`](Self::MAX_LABELS) labels.
    pub fn parse(text: &str) -> Result<Self, IdentifierError> {
        if text.is_empty() {
            return Err(IdentifierError::Malformed("the name is empty"));
        }
        if text.len() > Self::MAX_LENGTH {
            return Err(IdentifierError::Malformed("the name is longer than 253 characters"));
        }
        let name = text.to_ascii_lowercase();
        for label in name.split('.') {
            check_syntax(label)?;
        }
        if name.rsplit('.').next().is_some_and(looks_numeric) {
            return Err(IdentifierError::Malformed("the name reads as an IPv4 address"));
        }
        for label in name.split('.') {
            check_prefix(label)?;
        }
        if name.split('.').count() > Self::MAX_LABELS {
            return Err(IdentifierError::Rejected("the name has too many labels"));
        }
        Ok(Self(name))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The labels, from the leftmost to the top-level domain.
    pub fn labels(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('.')
    }

    /// The name without its leftmost label, if there is more than one.
    pub fn parent(&self) -> Option<Self> {
        self.0.split_once('.').map(|(_, parent)| Self(parent.to_owned()))
    }

    /// Whether this name is `ancestor` or below it, by whole labels.
    pub fn is_within(&self, ancestor: &Self) -> bool {
        match self.0.strip_suffix(ancestor.as_str()) {
            Some(rest) => rest.is_empty() || rest.ends_with('.'),
            None => false,
        }
    }
}

/// Holds a label (in lower case) to letters, digits and hyphens. RFC 1123 section 2.1.
fn check_syntax(label: &str) -> Result<(), IdentifierError> {
    let is_ldh = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if label.is_empty() {
        return Err(IdentifierError::Malformed(
            "the name has an empty label; there is no dot at the end either",
        ));
    }
    if label.len() > 63 {
        return Err(IdentifierError::Malformed("the name has a label longer than 63 characters"));
    }
    if !label.is_ascii() {
        return Err(IdentifierError::Malformed("internationalized names are written as A-labels (xn--)"));
    }
    if !label.bytes().all(is_ldh) {
        return Err(IdentifierError::Malformed(
            "the name has a character other than letters, digits, hyphens",
        ));
    }
    if label.starts_with('-') || label.ends_with('-') {
        return Err(IdentifierError::Malformed("the name has a label that starts or ends with a hyphen"));
    }
    Ok(())
}

/// Of the labels with `--` in third place, only valid A-labels are names. RFC 5890 section 2.3.1.
fn check_prefix(label: &str) -> Result<(), IdentifierError> {
    match label.split_at_checked(2) {
        Some(("xn", rest)) if rest.starts_with("--") => check_a_label(label),
        Some((_, rest)) if rest.starts_with("--") => {
            Err(IdentifierError::Rejected("labels with hyphens in the third and fourth place are reserved"))
        }
        _ => Ok(()),
    }
}

/// An A-label must be what its own Unicode form encodes to: anything else is an alias of another name.
fn check_a_label(label: &str) -> Result<(), IdentifierError> {
    let encoded =
        Uts46::new().to_ascii(label.as_bytes(), AsciiDenyList::STD3, Hyphens::Check, DnsLength::Verify);
    match encoded {
        Ok(encoded) if encoded == label => Ok(()),
        _ => Err(IdentifierError::Malformed("the name has a label that starts with xn-- but is no A-label")),
    }
}

/// Whether the top label makes resolvers and URL parsers take the whole for an IPv4 address: they read
/// short and hexadecimal forms (`127.1`, `2130706433`, `0x7f.1`) as well. No top-level domain is like that.
fn looks_numeric(top: &str) -> bool {
    let is_decimal = top.bytes().all(|byte| byte.is_ascii_digit());
    let is_hexadecimal =
        top.strip_prefix("0x").is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    is_decimal || is_hexadecimal
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for DnsName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl FromStr for DnsName {
    type Err = IdentifierError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

serde_as_text!(DnsName);
