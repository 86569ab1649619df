//! Certificate chains, as they are downloaded. RFC 8555 sections 7.4.2 and 9.1.

use std::fmt;
use std::str::FromStr;

/// The media type of a [`CertificateChain`]. RFC 8555 section 9.1.
pub const PEM_CERTIFICATE_CHAIN: &str = "application/pem-certificate-chain";

/// The media type of one certificate, as DER. RFC 2585 section 4.1, RFC 8555 section 7.4.2.
pub const PKIX_CERT: &str = "application/pkix-cert";

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// A certificate and those that certify it, each in DER, the end-entity certificate first.
///
/// As text (`Display`, `FromStr`) it is `application/pem-certificate-chain`: certificates in PEM and
/// nothing else. A block of another kind, such as a private key, or any text around the blocks makes
/// the whole unreadable, as RFC 8555 section 9.1 demands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CertificateChain(Vec<Vec<u8>>);

impl CertificateChain {
    /// A chain of these certificates, in DER, the end-entity certificate first.
    ///
    /// # Errors
    ///
    /// If there is none, or one is empty. Whether they are certificates is not looked at.
    pub fn from_der(certificates: Vec<Vec<u8>>) -> Result<Self, InvalidChain> {
        if certificates.is_empty() || certificates.iter().any(Vec::is_empty) {
            return Err(InvalidChain);
        }
        Ok(Self(certificates))
    }

    /// The certificates in DER, the end-entity certificate first.
    pub fn as_der(&self) -> &[Vec<u8>] {
        &self.0
    }
}

/// PEM as RFC 7468 section 3 has it strictly, one line end between certificates (erratum 5983).
impl fmt::Display for CertificateChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for der in &self.0 {
            // `encode_block` writes one line without end; the lines of PEM have 64 characters.
            let base64 = openssl::base64::encode_block(der);
            writeln!(f, "{BEGIN}")?;
            let mut rest = base64.as_str();
            while let Some((line, after)) = rest.split_at_checked(64) {
                writeln!(f, "{line}")?;
                rest = after;
            }
            if !rest.is_empty() {
                writeln!(f, "{rest}")?;
            }
            writeln!(f, "{END}")?;
        }
        Ok(())
    }
}

impl FromStr for CertificateChain {
    type Err = InvalidChain;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut certificates = Vec::new();
        let mut lines = text.lines().filter(|line| !line.is_empty());
        while let Some(line) = lines.next() {
            if line != BEGIN {
                return Err(InvalidChain);
            }
            certificates.push(read_block(&mut lines)?);
        }
        Self::from_der(certificates)
    }
}

/// Reads what follows a `BEGIN` line, up to and including the `END` line.
fn read_block<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Vec<u8>, InvalidChain> {
    let mut base64 = String::new();
    for line in lines {
        if line == END {
            return openssl::base64::decode_block(&base64).map_err(|_| InvalidChain);
        }
        base64.push_str(line);
    }
    Err(InvalidChain)
}

/// The text is not a chain of certificates in PEM, and nothing else.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a chain of certificates in PEM, and nothing else")]
pub struct InvalidChain;

#[cfg(test)]
mod tests {
    use super::*;

    fn chain() -> CertificateChain {
        CertificateChain::from_der(vec![vec![1; 48], vec![2; 100], vec![3]]).expect("a chain")
    }

    fn is_refused(text: &str) -> bool {
        text.parse::<CertificateChain>().is_err()
    }

    #[test]
    fn a_chain_reads_back() {
        assert_eq!(chain().to_string().parse(), Ok(chain()));
        assert_eq!(
            chain().to_string().replace('\n', "\r\n").parse(),
            Ok(chain()),
            "with the other line ends"
        );
    }

    #[test]
    fn lines_have_64_characters_and_none_is_empty() {
        let text = chain().to_string();
        assert!(text.lines().all(|line| (1..=64).contains(&line.len())), "{text}");
        assert!(text.ends_with("-----END CERTIFICATE-----\n"), "the last line ends, too");
    }

    #[test]
    fn nothing_but_certificates_is_accepted() {
        let good = chain().to_string();
        assert!(is_refused(""));
        assert!(is_refused(&format!("Let me explain:\n{good}")));
        assert!(is_refused(&good.replace("CERTIFICATE", "PRIVATE KEY")));
        assert!(is_refused(&format!("{good}-----BEGIN PRIVATE KEY-----\nAQID\n-----END PRIVATE KEY-----\n")));
        assert!(is_refused(good.trim_end().trim_end_matches('-')), "an unfinished block");
        assert!(is_refused("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"), "an empty one");
        assert!(is_refused("-----BEGIN CERTIFICATE-----\n%%%%\n-----END CERTIFICATE-----\n"));
    }
}
