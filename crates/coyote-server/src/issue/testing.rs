//! Orders, and CSRs as clients make them, and as they should not.

use std::sync::LazyLock;
use std::time::Duration;

use const_oid::ObjectIdentifier;
use coyote_protocol::{ChallengeType, Identifier, Timestamp, Token};
use coyote_storage::{
    AccountId, Authorization, AuthorizationId, Challenge, ChallengeId, Issuance, Order, OrderId, Serial,
    Verdict,
};
use der::Encode;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::sign::Signer;

pub(super) const UTF8: u8 = 0x0c;

static RSA: LazyLock<PKey<Private>> = LazyLock::new(|| rsa(2048));

pub(super) fn p256() -> PKey<Private> {
    ec(Nid::X9_62_PRIME256V1)
}

pub(super) fn ec(curve: Nid) -> PKey<Private> {
    PKey::from_ec_key(EcKey::generate(&EcGroup::from_curve_name(curve).unwrap()).unwrap()).unwrap()
}

/// Always the same one, as making them is slow.
pub(super) fn rsa2048() -> PKey<Private> {
    RSA.clone()
}

pub(super) fn rsa(bits: u32) -> PKey<Private> {
    PKey::from_rsa(Rsa::generate(bits).unwrap()).unwrap()
}

pub(super) fn identifiers(names: &[&str]) -> Vec<Identifier> {
    let parse = |name: &&str| {
        let kind = if name.parse::<std::net::IpAddr>().is_ok() { "ip" } else { "dns" };
        Identifier::parse(kind, name).unwrap()
    };
    names.iter().map(parse).collect()
}

pub(super) fn at(time: &str) -> Timestamp {
    time.parse().unwrap()
}

/// An order whose certificate may be signed.
pub(super) fn order(names: &[&str], csr: Vec<u8>, now: Timestamp) -> Order {
    let account = AccountId::from_bytes([1; 16]);
    let expires = now + Duration::from_secs(3600);
    let challenge = Challenge {
        id: ChallengeId::from_bytes([2; 16]),
        kind: ChallengeType::HTTP_01,
        token: Token::from_bytes(&[3; 16]),
        began: Some(now),
        verdict: Some(Verdict::Valid { at: now }),
        errors: Vec::new(),
        network: None,
    };
    let authorization = |identifier: &Identifier| Authorization {
        id: AuthorizationId::from_bytes([4; 16]),
        account,
        identifier: identifier.clone(),
        created: now,
        expires,
        challenges: vec![challenge.clone()],
        deactivated: None,
        revoked: None,
    };
    let identifiers = identifiers(names);
    Order {
        id: OrderId::from_bytes([5; 16]),
        account,
        profile: None,
        not_before: None,
        not_after: None,
        replaces: None,
        created: now,
        expires,
        authorizations: identifiers.iter().map(authorization).collect(),
        issuance: Some(Issuance { csr, serial: Serial::from_random([0x5a; 20]), began: now }),
        certificate: None,
        error: None,
        identifiers,
    }
}

/// A tag, a length and the contents.
pub(super) fn tlv(tag: u8, contents: &[&[u8]]) -> Vec<u8> {
    let contents = contents.concat();
    let length = contents.len();
    let mut tlv = vec![tag];
    match length {
        0..0x80 => tlv.push(length as u8),
        0x80..0x100 => tlv.extend([0x81, length as u8]),
        0x100..0x10000 => tlv.extend([0x82, (length >> 8) as u8, length as u8]),
        _ => tlv.extend([0x83, (length >> 16) as u8, (length >> 8) as u8, length as u8]),
    }
    tlv.extend(contents);
    tlv
}

pub(super) fn oid(dotted: &str) -> Vec<u8> {
    ObjectIdentifier::new(dotted).unwrap().to_der().unwrap()
}

pub(super) fn dns(name: &str) -> Vec<u8> {
    tlv(0x82, &[name.as_bytes()])
}

pub(super) fn ip(octets: &[u8]) -> Vec<u8> {
    tlv(0x87, &[octets])
}

/// A CSR to be, every part of which can be spoilt.
#[derive(Clone)]
pub(super) struct Draft {
    pub(super) version: Vec<u8>,
    /// `AttributeTypeAndValue`s.
    pub(super) subject: Vec<Vec<u8>>,
    pub(super) public_key: Vec<u8>,
    pub(super) extensions: Vec<Vec<u8>>,
    /// Beside the extension request.
    pub(super) attributes: Vec<Vec<u8>>,
    pub(super) algorithm: Vec<u8>,
    pub(super) key: PKey<Private>,
    pub(super) digest: Option<MessageDigest>,
}

impl Draft {
    pub(super) fn new(key: PKey<Private>) -> Self {
        let mut draft = Self {
            version: vec![2, 1, 0],
            subject: Vec::new(),
            public_key: key.public_key_to_der().unwrap(),
            extensions: Vec::new(),
            attributes: Vec::new(),
            algorithm: Vec::new(),
            digest: None,
            key,
        };
        use openssl::pkey::Id;
        match draft.key.id() {
            Id::RSA => draft.sign_with("1.2.840.113549.1.1.11", Some(MessageDigest::sha256())),
            Id::EC => draft.sign_with("1.2.840.10045.4.3.2", Some(MessageDigest::sha256())),
            _ => draft.sign_with("1.3.101.112", None),
        }
        draft
    }

    /// With these names in the subjectAltName.
    pub(super) fn naming(key: PKey<Private>, names: &[Vec<u8>]) -> Self {
        Self::new(key).with_extension("2.5.29.17", &sequence(names))
    }

    pub(super) fn sign_with(&mut self, algorithm: &str, digest: Option<MessageDigest>) {
        self.digest = digest;
        let null = if algorithm.starts_with("1.2.840.113549") { vec![5, 0] } else { Vec::new() };
        self.algorithm = tlv(0x30, &[&oid(algorithm), &null]);
    }

    pub(super) fn with_extension(mut self, id: &str, value: &[u8]) -> Self {
        self.extensions.push(tlv(0x30, &[&oid(id), &tlv(0x04, &[value])]));
        self
    }

    pub(super) fn with_critical_extension(mut self, id: &str, value: &[u8]) -> Self {
        self.extensions.push(tlv(0x30, &[&oid(id), &[1, 1, 0xff], &tlv(0x04, &[value])]));
        self
    }

    pub(super) fn with_subject(mut self, id: &str, string: u8, text: &[u8]) -> Self {
        self.subject.push(tlv(0x30, &[&oid(id), &tlv(string, &[text])]));
        self
    }

    pub(super) fn with_common_name(self, name: &str) -> Self {
        self.with_subject("2.5.4.3", UTF8, name.as_bytes())
    }

    pub(super) fn to_der(&self) -> Vec<u8> {
        let subject = self.subject.iter().map(|attribute| tlv(0x31, &[attribute])).collect::<Vec<_>>();
        let mut attributes = self.attributes.clone();
        if !self.extensions.is_empty() {
            let request = tlv(0x31, &[&sequence(&self.extensions)]);
            attributes.push(tlv(0x30, &[&oid("1.2.840.113549.1.9.14"), &request]));
        }
        let attributes = tlv(0xa0, &[&attributes.concat()]);
        let info = tlv(0x30, &[&self.version, &sequence(&subject), &self.public_key, &attributes]);
        let mut signer = match self.digest {
            Some(digest) => Signer::new(digest, &self.key).unwrap(),
            None => Signer::new_without_digest(&self.key).unwrap(),
        };
        let signature = signer.sign_oneshot_to_vec(&info).unwrap();
        tlv(0x30, &[&info, &self.algorithm, &tlv(0x03, &[&[0], &signature])])
    }
}

pub(super) fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(0x30, &[&parts.concat()])
}
