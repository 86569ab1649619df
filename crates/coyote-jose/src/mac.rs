//! HMAC. RFC 7518 section 3.2.

use openssl::memcmp;
use openssl::pkey::PKey;
use openssl::sign::Signer;

use crate::algorithm::Algorithm;
use crate::error::Error;

pub(crate) fn compute(algorithm: Algorithm, secret: &[u8], message: &[u8]) -> Result<Vec<u8>, Error> {
    if secret.is_empty() {
        return Err(Error::BadKey("the secret of a MAC is empty")); // OpenSSL 3.0 would report: out of memory
    }
    let key = PKey::hmac(secret)?;
    Ok(Signer::new(algorithm.digest(), &key)?.sign_oneshot_to_vec(message)?)
}

pub(crate) fn verify(algorithm: Algorithm, secret: &[u8], message: &[u8], mac: &[u8]) -> Result<bool, Error> {
    let expected = compute(algorithm, secret, message)?;
    Ok(expected.len() == mac.len() && memcmp::eq(&expected, mac)) // eq panics when the lengths differ
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base64url;

    /// RFC 7515 appendix A.1, whose header names no key: it is a JWS, but not an external account binding.
    #[test]
    fn computes_the_example_of_the_rfc() {
        let secret = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
        let secret = base64url::decode(secret).unwrap();
        let message = concat!(
            "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.",
            "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ",
        );
        let mac = compute(Algorithm::HS256, &secret, message.as_bytes()).unwrap();

        assert_eq!(base64url::encode(&mac), "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        assert!(verify(Algorithm::HS256, &secret, message.as_bytes(), &mac).unwrap());
    }
}
