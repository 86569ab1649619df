//! Keys of every kind, the good, the weak and the impossible, and signatures with them.

use coyote_jose::{Jwk, base64url};
use openssl::{
    bn::{BigNum, BigNumContext},
    ec::{EcGroup, EcKey},
    ecdsa::EcdsaSig,
    hash::{MessageDigest, hash},
    nid::Nid,
    pkey::{Id, PKey, Private},
    rsa::{Padding, Rsa},
    sign::{RsaPssSaltlen, Signer},
};
use serde_json::{Value, json};

use crate::der;

/// A private key, the JWK that it is sent as, and the algorithm that it says it uses.
#[derive(Clone)]
pub struct Key {
    /// The `alg` of its signatures.
    pub alg: String,
    /// The public key, as it is sent.
    pub jwk: Value,
    secret: Secret,
}

#[derive(Clone)]
enum Secret {
    Openssl(PKey<Private>),
    /// RSA with numbers that OpenSSL would not take: big-endian modulus and private exponent.
    Numbers(Vec<u8>, Vec<u8>),
}

impl Key {
    /// A new P-256 key for ES256.
    #[must_use]
    pub fn new() -> Self {
        Self::generate("ES256")
    }

    /// A new key for this algorithm.
    ///
    /// # Panics
    ///
    /// If there is no such algorithm.
    #[must_use]
    pub fn generate(alg: &str) -> Self {
        match alg {
            "ES256" => Self::ec(alg, Nid::X9_62_PRIME256V1),
            "ES384" => Self::ec(alg, Nid::SECP384R1),
            "ES512" => Self::ec(alg, Nid::SECP521R1),
            "ES256K" => Self::ec(alg, Nid::SECP256K1),
            "RS256" | "PS256" | "PS512" => {
                Self::of(alg, PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap())
            }
            "EdDSA" => Self::of(alg, PKey::generate_ed25519().unwrap()),
            other => panic!("no key for {other}"),
        }
    }

    /// A new RSA key of this size.
    #[must_use]
    pub fn rsa(bits: u32) -> Self {
        Self::of("RS256", PKey::from_rsa(Rsa::generate(bits).unwrap()).unwrap())
    }

    fn ec(alg: &str, curve: Nid) -> Self {
        let group = EcGroup::from_curve_name(curve).unwrap();
        Self::of(alg, PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap())
    }

    /// This private key, whatever it is.
    #[must_use]
    pub fn of(alg: &str, key: PKey<Private>) -> Self {
        Self { alg: alg.into(), jwk: jwk(&key), secret: Secret::Openssl(key) }
    }

    /// The same key, that says it is for another algorithm.
    #[must_use]
    pub fn with_alg(self, alg: &str) -> Self {
        Self { alg: alg.into(), ..self }
    }

    /// An RSA key with these numbers: modulus, public and private exponent, big-endian.
    #[must_use]
    pub fn of_numbers(n: &BigNum, e: &BigNum, d: &BigNum) -> Self {
        let jwk =
            json!({"kty": "RSA", "n": base64url::encode(n.to_vec()), "e": base64url::encode(e.to_vec())});
        Self { alg: "RS256".into(), jwk, secret: Secret::Numbers(n.to_vec(), d.to_vec()) }
    }

    /// The private key, for a CSR.
    ///
    /// # Panics
    ///
    /// If it is one that OpenSSL would not take.
    #[must_use]
    pub fn private(&self) -> &PKey<Private> {
        match &self.secret {
            Secret::Openssl(key) => key,
            Secret::Numbers(..) => panic!("a key of numbers only"),
        }
    }

    /// The length of the modulus of an RSA key.
    ///
    /// # Panics
    ///
    /// If it is another kind of key.
    #[must_use]
    pub fn bits(&self) -> i32 {
        let modulus = base64url::decode(self.jwk["n"].as_str().expect("an RSA key")).expect("base64url");
        BigNum::from_slice(&modulus).expect("a number").num_bits()
    }

    /// The SubjectPublicKeyInfo of an RSA key, however odd its numbers are. RFC 3279 section 2.3.1.
    ///
    /// # Panics
    ///
    /// If it is another kind of key.
    #[must_use]
    pub fn rsa_public_key(&self) -> Vec<u8> {
        let number = |name: &str| {
            let bytes = base64url::decode(self.jwk[name].as_str().expect("an RSA key")).expect("base64url");
            let sign: &[u8] = if bytes[0] < 0x80 { &[] } else { &[0] };
            der::tlv(0x02, [sign, &bytes].concat())
        };
        let algorithm = der::sequence(&[der::oid("1.2.840.113549.1.1.1"), der::tlv(0x05, [])]);
        let key = der::sequence(&[number("n"), number("e")]);
        der::sequence(&[algorithm, der::bit_string(&key)])
    }

    /// The thumbprint of the public key. RFC 7638.
    ///
    /// # Panics
    ///
    /// If it is a key that our own code does not take.
    #[must_use]
    pub fn thumbprint(&self) -> String {
        Jwk::parse(&self.jwk.to_string()).expect("a good key").thumbprint().to_string()
    }

    /// Signs, in the form that JWS wants, with the hash that `alg` names. RFC 7518 section 3.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        match &self.secret {
            Secret::Openssl(key) => sign(key, &self.alg, message),
            Secret::Numbers(n, d) => sign_with_numbers(n, d, message),
        }
    }
}

impl Default for Key {
    fn default() -> Self {
        Self::new()
    }
}

fn sign(key: &PKey<Private>, alg: &str, message: &[u8]) -> Vec<u8> {
    let digest = match alg {
        "ES384" => MessageDigest::sha384(),
        "ES512" | "PS512" => MessageDigest::sha512(),
        _ => MessageDigest::sha256(),
    };
    match key.id() {
        Id::EC => {
            let ec = key.ec_key().unwrap();
            let size = coordinate(ec.group());
            let signature = EcdsaSig::sign(&hash(digest, message).unwrap(), &ec).unwrap();
            [signature.r().to_vec_padded(size).unwrap(), signature.s().to_vec_padded(size).unwrap()].concat()
        }
        Id::RSA => {
            let mut signer = Signer::new(digest, key).unwrap();
            if alg.starts_with("PS") {
                signer.set_rsa_padding(Padding::PKCS1_PSS).unwrap();
                signer.set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH).unwrap();
            }
            signer.sign_oneshot_to_vec(message).unwrap()
        }
        _ => Signer::new_without_digest(key).unwrap().sign_oneshot_to_vec(message).unwrap(),
    }
}

/// RSASSA-PKCS1-v1_5 with SHA-256, by hand. RFC 8017 section 8.2.
fn sign_with_numbers(n: &[u8], d: &[u8], message: &[u8]) -> Vec<u8> {
    const PREFIX: &str = "3031300d060960864801650304020105000420";
    let prefix = BigNum::from_hex_str(PREFIX).unwrap().to_vec();
    let digest = hash(MessageDigest::sha256(), message).unwrap();
    let padding = vec![0xff; n.len() - 3 - prefix.len() - digest.len()];
    let encoded = [&[0, 1][..], &padding, &[0], &prefix, &digest].concat();
    let (n, d) = (BigNum::from_slice(n).unwrap(), BigNum::from_slice(d).unwrap());
    let mut signature = BigNum::new().unwrap();
    let mut context = BigNumContext::new().unwrap();
    if d.num_bits() == 1 {
        signature = BigNum::from_slice(&encoded).unwrap();
    } else {
        signature.mod_exp(&BigNum::from_slice(&encoded).unwrap(), &d, &n, &mut context).unwrap();
    }
    signature.to_vec_padded(n.num_bytes()).unwrap()
}

fn jwk(key: &PKey<Private>) -> Value {
    match key.id() {
        Id::EC => {
            let ec = key.ec_key().unwrap();
            let (mut x, mut y) = (BigNum::new().unwrap(), BigNum::new().unwrap());
            let mut context = BigNumContext::new().unwrap();
            ec.public_key().affine_coordinates(ec.group(), &mut x, &mut y, &mut context).unwrap();
            let curve = match ec.group().curve_name() {
                Some(Nid::X9_62_PRIME256V1) => "P-256",
                Some(Nid::SECP384R1) => "P-384",
                Some(Nid::SECP521R1) => "P-521",
                Some(Nid::SECP256K1) => "secp256k1",
                _ => "unknown",
            };
            let size = coordinate(ec.group());
            let text = |number: BigNum| base64url::encode(number.to_vec_padded(size).unwrap());
            json!({"kty": "EC", "crv": curve, "x": text(x), "y": text(y)})
        }
        Id::RSA => {
            let rsa = key.rsa().unwrap();
            json!({"kty": "RSA", "n": base64url::encode(rsa.n().to_vec()), "e": base64url::encode(rsa.e().to_vec())})
        }
        other => {
            let curve = match other {
                Id::ED25519 => "Ed25519",
                Id::ED448 => "Ed448",
                Id::X25519 => "X25519",
                _ => "unknown",
            };
            json!({"kty": "OKP", "crv": curve, "x": base64url::encode(key.raw_public_key().unwrap())})
        }
    }
}

fn coordinate(group: &openssl::ec::EcGroupRef) -> i32 {
    i32::try_from(group.degree().div_ceil(8)).unwrap()
}
