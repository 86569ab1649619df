//! Values that must not be found in a sealed database, in whatever form.

use std::collections::{BTreeSet, HashMap};

use coyote_jose::base64url;

use super::seeded::{MINUTE, terms, validate};
use super::seeded::{NOW, account, cause, certificate, dns, external_account_key, order, placing, serial};
use crate::{
    Account, AccountChange, BeginIssuance, Creation, ExternalAccountKey, IssuanceOutcome, Serial, Storage,
};

/// Values to look for.
pub struct Canaries {
    values: Vec<(&'static str, Vec<u8>)>,
}

const CONTACT: &str = "mailto:canary-in-contact@example.org";
const OLD_CONTACT: &str = "mailto:canary-in-old-contact@example.org";
const COMMENT: &str = "canary in the comment of a key";
const CSR: &[u8] = b"canary in a certificate signing request";
const CHAIN: &[u8] = b"canary in a certificate that was issued";
const ALTERNATE: &[u8] = b"canary in an alternate chain of certificates";
const SECRET: &[u8; 32] = b"canary in the secret of a MAC ke";

impl Canaries {
    /// Stores one of each kind of value that is to be sealed: `number` of each, with a canary in it.
    ///
    /// What is made with the same number is the same.
    pub async fn plant(storage: &dyn Storage, number: u64) -> Self {
        let cause = cause(NOW);
        for seed in 0..number {
            let key = ExternalAccountKey {
                secret: SECRET.to_vec(),
                comment: COMMENT.into(),
                ..external_account_key(&format!("kid {seed}"))
            };
            storage.create_external_account_key(key, &cause).await.unwrap();
            let new = Account { contact: vec![OLD_CONTACT.into()], ..account(seed) };
            let Creation::Created(new) = storage.create_account(new, &cause).await.unwrap() else {
                panic!("the account is there already")
            };
            let change = AccountChange { contact: Some(vec![CONTACT.into()]), ..AccountChange::default() };
            storage.update_account(&new.id, change, &cause).await.unwrap();
            issue(storage, seed, &new).await;
        }
        let texts = [("contact", CONTACT), ("old contact", OLD_CONTACT), ("comment", COMMENT)];
        let texts = texts.map(|(name, text)| (name, text.as_bytes().to_vec()));
        let bytes: [(_, &[u8]); 4] =
            [("CSR", CSR), ("chain", CHAIN), ("alternate", ALTERNATE), ("secret", SECRET)];
        let bytes = bytes.map(|(name, bytes)| (name, bytes.to_vec()));
        Self { values: texts.into_iter().chain(bytes).collect() }
    }

    /// Whether everything that was planted reads back as it was planted.
    pub async fn read_back(storage: &dyn Storage, number: u64) {
        for seed in 0..number {
            let planted = account(seed);
            let read = storage.account(&planted.directory, &planted.id).await.unwrap();
            assert_eq!(read.contact, [CONTACT]);
            let key = storage.external_account_key(&planted.directory, &format!("kid {seed}")).await.unwrap();
            assert_eq!((key.secret.as_slice(), key.comment.as_str()), (&SECRET[..], COMMENT));
            let certificate = storage.certificate_by_serial(&serial(seed)).await.unwrap();
            assert_eq!((certificate.chain, certificate.alternates), (pem(CHAIN), vec![pem(ALTERNATE)]));
            let order = storage.order(&planted.id, &certificate.order).await.unwrap();
            assert_eq!(order.issuance.unwrap().csr, CSR);
        }
    }

    /// The names of the values that are somewhere in these bytes: as they are, in hexadecimal, in base64, in base64 with
    /// line breaks (PEM), or in the hexadecimal form of one of those.
    pub fn found_in(&self, bytes: &[u8]) -> BTreeSet<&'static str> {
        let mut by_beginning: HashMap<[u8; 8], Vec<(&'static str, Vec<u8>)>> = HashMap::new();
        for (name, value) in &self.values {
            for form in forms(value) {
                by_beginning.entry(*form.first_chunk().unwrap()).or_default().push((name, form));
            }
        }
        let mut found = BTreeSet::new();
        for bytes in [bytes, &without_line_breaks(bytes)] {
            let places = bytes.windows(8).enumerate();
            for (place, begun) in places.filter_map(|(place, eight)| Some((place, by_beginning.get(eight)?)))
            {
                let there = begun.iter().filter(|(_, form)| bytes[place..].starts_with(form));
                found.extend(there.map(|(name, _)| *name));
            }
        }
        found
    }

    /// The names of all values.
    pub fn names(&self) -> BTreeSet<&'static str> {
        self.values.iter().map(|(name, _)| *name).collect()
    }
}

/// An issuance with canaries in it.
async fn issue(storage: &dyn Storage, seed: u64, account: &Account) {
    let cause = cause(NOW);
    let new = order(seed, account.id, &[dns(&format!("{seed}.example.org"))]);
    let order = storage.create_order(placing(new, []), &cause).await.unwrap();
    for authorization in &order.authorizations {
        validate(storage, seed, authorization).await;
    }
    let number: Serial = serial(seed);
    let begin = BeginIssuance {
        account: account.id,
        order: order.id,
        csr: CSR.to_vec(),
        serial: number.clone(),
        lease: Some(terms(seed, NOW + MINUTE)),
    };
    let begun = storage.begin_issuance(begin, &cause).await.unwrap();
    let mut issued = certificate(seed, order.id, account.id, number);
    issued.chain = pem(CHAIN);
    issued.alternates = vec![pem(ALTERNATE)];
    let outcome = IssuanceOutcome::Issued(Box::new(issued));
    storage.finish_issuance(begun.lease.unwrap(), outcome, &cause).await.unwrap();
}

/// A PEM block of some kilobytes with this in it. (No certificate: no store looks.)
fn pem(content: &[u8]) -> String {
    let padded = [&[0x30; 700], content, &[0x31; 700]].concat();
    let base64 = base64url::encode(padded).replace('-', "+").replace('_', "/");
    let lines: Vec<_> = base64.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

fn forms(value: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = vec![value.to_vec()];
    for shift in 0..3 {
        // What base64 makes of it, wherever it stands in a longer text: without the digits that its neighbours change.
        let digits = base64url::encode([&vec![0; shift], value].concat());
        let inner = digits[(shift * 8).div_ceil(6)..digits.len() - 2].to_owned();
        forms.push(inner.replace('-', "+").replace('_', "/").into_bytes());
        forms.push(inner.into_bytes());
    }
    for upper in [false, true] {
        let hex = |form: &Vec<u8>| -> Vec<u8> {
            let digits: String = form.iter().map(|byte| format!("{byte:02x}")).collect();
            if upper { digits.to_uppercase().into_bytes() } else { digits.into_bytes() }
        };
        let of_all: Vec<_> = forms.iter().take(7).map(hex).collect();
        forms.extend(of_all);
    }
    forms
}

/// Without line breaks, also as JSON and hexadecimal digits have them.
fn without_line_breaks(bytes: &[u8]) -> Vec<u8> {
    let mut unbroken = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, behind)) = rest.split_first() {
        match (first, behind.first()) {
            (b'\n' | b'\r', _) => rest = behind,
            (b'\\', Some(b'n' | b'r')) => rest = &behind[1..],
            _ => {
                unbroken.push(*first);
                rest = behind;
            }
        }
    }
    unbroken
}
