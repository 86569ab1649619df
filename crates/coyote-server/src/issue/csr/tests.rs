use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::stack::Stack;
use openssl::x509::extension::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAlternativeName};
use openssl::x509::{X509NameBuilder, X509Req};

use super::*;
use crate::issue::testing::{Draft, UTF8, dns, ec, identifiers, ip, oid, p256, rsa, rsa2048, sequence, tlv};

const SAN: &str = "2.5.29.17";

fn read(der: &[u8], names: &[&str]) -> Result<Csr, Problem> {
    let csr = Csr::parse(der, &KeyPolicy::default())?;
    csr.check_against(&identifiers(names))?;
    Ok(csr)
}

/// Asserts that an order for `a.example` is not finalized with this CSR.
#[track_caller]
fn assert_refused(case: &str, der: &[u8]) -> String {
    assert_refused_for(&["a.example"], case, der)
}

#[track_caller]
fn assert_refused_for(names: &[&str], case: &str, der: &[u8]) -> String {
    match read(der, names) {
        Ok(_) => panic!("{case} is accepted"),
        Err(problem) => {
            assert_eq!(problem.kind, ProblemType::BadCsr, "{case}: {problem}");
            assert_eq!(problem.status, 400, "{case}");
            problem.detail
        }
    }
}

fn good() -> Draft {
    Draft::naming(p256(), &[dns("a.example")])
}

#[test]
fn a_csr_made_with_openssl_is_accepted_whatever_its_key() {
    let made = |key: &PKey<Private>, digest| {
        let mut csr = X509Req::builder().unwrap();
        csr.set_pubkey(key).unwrap();
        let mut extensions = Stack::new().unwrap();
        let mut names = SubjectAlternativeName::new();
        names.dns("a.example").dns("*.a.example").ip("192.0.2.1").ip("2001:db8::1");
        extensions.push(names.build(&csr.x509v3_context(None)).unwrap()).unwrap();
        extensions.push(KeyUsage::new().digital_signature().key_encipherment().build().unwrap()).unwrap();
        extensions.push(ExtendedKeyUsage::new().server_auth().client_auth().build().unwrap()).unwrap();
        extensions.push(BasicConstraints::new().build().unwrap()).unwrap();
        csr.add_extensions(&extensions).unwrap();
        let mut subject = X509NameBuilder::new().unwrap();
        subject.append_entry_by_text("CN", "a.example").unwrap();
        csr.set_subject_name(&subject.build()).unwrap();
        csr.sign(key, digest).unwrap();
        csr.build().to_der().unwrap()
    };
    let keys = [
        (p256(), MessageDigest::sha256()),
        (p256(), MessageDigest::sha512()),
        (ec(Nid::SECP384R1), MessageDigest::sha384()),
        (ec(Nid::SECP521R1), MessageDigest::sha512()),
        (rsa2048(), MessageDigest::sha256()),
        (rsa2048(), MessageDigest::sha384()),
        (PKey::generate_ed25519().unwrap(), MessageDigest::null()),
    ];
    for (key, digest) in keys {
        let der = made(&key, digest);
        let csr = read(&der, &["2001:db8::1", "192.0.2.1", "*.a.example", "a.example"]);
        let csr = csr.unwrap_or_else(|problem| panic!("{:?}: {problem}", key.id()));
        assert!(csr.public_key().public_eq(&key));
        assert_eq!(csr.key_thumbprint(), Jwk::from_public_key(&key).unwrap().thumbprint());
        assert_eq!(csr.into_der(), der, "it is kept as it came");
    }
}

#[test]
fn the_name_may_be_in_the_subject_alone() {
    read(&Draft::new(p256()).with_common_name("a.example").to_der(), &["a.example"]).unwrap();
    read(&Draft::new(p256()).with_common_name("192.0.2.1").to_der(), &["192.0.2.1"]).unwrap();
    read(&good().with_common_name("b.example").to_der(), &["a.example", "b.example"]).unwrap();
    read(&good().with_subject("2.5.4.3", 0x13, b"a.example").to_der(), &["a.example"]).unwrap();
}

#[test]
fn names_are_compared_in_one_form() {
    let draft = Draft::naming(p256(), &[dns("A.Example"), dns("a.example")]).with_common_name("a.EXAMPLE");
    let csr = read(&draft.to_der(), &["a.example"]).unwrap();

    assert_eq!(csr.identifiers().cloned().collect::<Vec<_>>(), identifiers(&["a.example"]));
}

#[test]
fn what_clients_ask_for_out_of_habit_is_left_out_in_silence() {
    let mut draft = good()
        .with_extension("2.5.29.14", &tlv(0x04, &[&[7; 20]]))
        .with_extension("1.3.6.1.5.5.7.1.24", &[0x30, 3, 2, 1, 5])
        .with_critical_extension("2.5.29.15", &[3, 2, 4, 0xf0]);
    draft
        .attributes
        .push(tlv(0x30, &[&oid("1.2.840.113549.1.9.7"), &tlv(0x31, &[&tlv(UTF8, &[b"secret"])])]));
    draft
        .attributes
        .push(tlv(0x30, &[&oid("1.3.6.1.4.1.311.13.2.3"), &tlv(0x31, &[&tlv(0x16, &[b"10.0"])])]));

    read(&draft.to_der(), &["a.example"]).unwrap();
}

#[test]
fn f09_f10_what_is_not_der_to_the_end_is_refused() {
    let der = Draft::naming(rsa2048(), &[dns("a.example")]).to_der();
    assert_eq!(der[1], 0x82, "the length has two bytes");
    let content = &der[4..];
    assert_refused("F09 nothing", b"");
    assert_refused("F09 garbage", &[0x5a; 300]);
    assert_refused("F09 cut by one byte", &der[..der.len() - 1]);
    assert_refused("F09 a length of 4 GiB", &[&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], content].concat());
    assert_refused("F09 an indefinite length", &[&[0x30, 0x80], content, &[0, 0]].concat());
    assert_refused(
        "F09 a length that is longer than need be",
        &[&[0x30, 0x83, 0, der[2], der[3]], content].concat(),
    );
    assert_refused("F10 a byte after the end", &[&der[..], &[0]].concat());
}

#[test]
fn f11_a_wrong_signature_is_refused() {
    for key in [p256(), rsa2048(), PKey::generate_ed25519().unwrap()] {
        let der = Draft::naming(key, &[dns("a.example")]).to_der();
        let mut spoilt = der.clone();
        *spoilt.last_mut().unwrap() ^= 1;
        assert!(assert_refused("F11", &spoilt).contains("signature"));
        let at = der.windows(9).position(|window| window == b"a.example").unwrap();
        let mut other = der;
        other[at] = b'b';
        assert!(assert_refused_for(&["b.example"], "F11 another name", &other).contains("signature"));
    }
}

#[test]
fn a_signature_of_another_key_is_refused() {
    let mut draft = good();
    draft.public_key = p256().public_key_to_der().unwrap();
    assert!(assert_refused("another key", &draft.to_der()).contains("signature"));
    draft.public_key = rsa2048().public_key_to_der().unwrap();
    assert!(assert_refused("a key of another type", &draft.to_der()).contains("signature"));
}

#[test]
fn f12_md5_and_sha1_are_refused() {
    let cases = [
        (rsa2048(), "1.2.840.113549.1.1.4", MessageDigest::md5()),
        (rsa2048(), "1.2.840.113549.1.1.5", MessageDigest::sha1()),
        (p256(), "1.2.840.10045.4.1", MessageDigest::sha1()),
    ];
    for (key, algorithm, digest) in cases {
        let mut draft = Draft::naming(key, &[dns("a.example")]);
        draft.sign_with(algorithm, Some(digest));
        assert!(assert_refused(algorithm, &draft.to_der()).contains("not signed with"));
    }
}

#[test]
fn a_signature_algorithm_has_no_parameters() {
    let algorithm = |parameters: &[u8]| tlv(0x30, &[&oid("1.2.840.10045.4.3.2"), parameters]);
    read(&Draft { algorithm: algorithm(&[5, 0]), ..good() }.to_der(), &["a.example"]).unwrap();
    assert_refused("an INTEGER", &Draft { algorithm: algorithm(&[2, 1, 0]), ..good() }.to_der());
}

#[test]
fn f13_f14_f18_f19_f37_the_names_are_exactly_those_of_the_order() {
    let named = |names: &[Vec<u8>]| Draft::naming(p256(), names).to_der();
    let detail = assert_refused("F13 an extra name", &named(&[dns("a.example"), dns("victim.example")]));
    assert_eq!(detail, "the CSR names victim.example, which the order does not");
    let detail =
        assert_refused_for(&["a.example", "b.example"], "F14 a missing name", &named(&[dns("a.example")]));
    assert_eq!(detail, "the order names b.example, which the CSR does not");
    assert_refused("F18 an address", &named(&[dns("a.example"), ip(&[10, 0, 0, 1])]));
    assert_refused("F19 another commonName", &good().with_common_name("victim.example").to_der());
    assert_refused("F37 a wildcard", &named(&[dns("*.a.example")]));
    assert_refused_for(&["*.a.example"], "F37 no wildcard", &named(&[dns("a.example")]));
    assert_refused("no names at all", &Draft::new(p256()).to_der());
    assert_refused("an empty subjectAltName", &named(&[]));
}

#[test]
fn a_problem_lists_a_few_names_only() {
    let names = (0..30).map(|number| dns(&format!("{number:02}.example"))).collect::<Vec<_>>();
    let detail = assert_refused("30 extra names", &Draft::naming(p256(), &names).to_der());
    assert!(detail.contains("04.example and 25 more"), "{detail}");
}

#[test]
fn f15_f16_f34_f35_f36_f38_f39_names_of_other_kinds_and_forms_are_refused() {
    let upn = tlv(0xa0, &[&oid("1.3.6.1.4.1.311.20.2.3"), &tlv(0xa0, &[&tlv(UTF8, &[b"ceo@victim"])])]);
    let x400 = tlv(0xa3, &[&tlv(0x30, &[])]);
    let directory = tlv(0xa4, &[&tlv(0x30, &[])]);
    let cases: [(&str, Vec<u8>); 19] = [
        ("F15 rfc822Name", tlv(0x81, &[b"ceo@victim.example"])),
        ("F16 otherName", upn),
        ("x400Address", x400),
        ("directoryName", directory),
        ("URI", tlv(0x86, &[b"https://victim.example/"])),
        ("registeredID", tlv(0x88, &[&[0x2a, 3]])),
        ("F34 a dot at the end", dns("a.example.")),
        ("F35 NUL", dns("a.example\0.victim.example")),
        ("F36 UTF-8", dns("ä.example")),
        ("a space", dns(" a.example")),
        ("an underscore", dns("_acme.example")),
        ("a wildcard within", dns("b.*.example")),
        ("two wildcards", dns("*.*.example")),
        ("F38 an address as dNSName", dns("192.0.2.1")),
        ("F39 3 octets", ip(&[192, 0, 2])),
        ("F39 8 octets", ip(&[192, 0, 2, 0, 255, 255, 255, 0])),
        ("F39 32 octets", ip(&[0; 32])),
        ("an empty dNSName", dns("")),
        ("a dNSName that is constructed", tlv(0xa2, &[&tlv(0x16, &[b"a.example"])])),
    ];
    for (case, name) in cases {
        assert_refused(case, &Draft::naming(p256(), &[dns("a.example"), name.clone()]).to_der());
        assert_refused(case, &Draft::naming(p256(), &[name]).to_der());
    }
    let address = Draft::naming(p256(), &[dns("192.0.2.1")]).to_der();
    assert_refused_for(&["192.0.2.1"], "F38 an address as dNSName, ordered as one", &address);
}

#[test]
fn f21_a_subject_that_nobody_validated_is_refused() {
    let attributes = [
        ("emailAddress", "1.2.840.113549.1.9.1", 0x16),
        ("O", "2.5.4.10", UTF8),
        ("OU", "2.5.4.11", UTF8),
        ("serialNumber", "2.5.4.5", 0x13),
    ];
    for (name, id, string) in attributes {
        assert_refused(name, &good().with_subject(id, string, b"a.example").to_der());
    }
    let twice = good().with_common_name("a.example").with_common_name("a.example");
    assert_refused("two commonNames", &twice.to_der());
}

#[test]
fn f40_a_common_name_in_an_odd_string_is_refused() {
    let utf16 = "a.example".encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<_>>();
    let cases: [(&str, u8, &[u8]); 6] = [
        ("BMPString", 0x1e, &utf16),
        ("TeletexString", 0x14, b"a.example"),
        ("NUL", UTF8, b"a.example\0"),
        ("right-to-left override", UTF8, "a.example\u{202e}".as_bytes()),
        ("not UTF-8", UTF8, &[b'a', 0xff]),
        ("empty", UTF8, b""),
    ];
    for (case, string, text) in cases {
        assert_refused(case, &good().with_subject("2.5.4.3", string, text).to_der());
    }
}

#[test]
fn f22_f23_f24_f25_what_asks_for_power_is_refused() {
    let purpose = |id| tlv(0x30, &[&oid("1.3.6.1.5.5.7.3.1"), &oid(id)]);
    let cases: [(&str, &str, Vec<u8>); 15] = [
        ("F22 CA:TRUE", "2.5.29.19", vec![0x30, 3, 1, 1, 0xff]),
        ("F22 CA:TRUE with a path length", "2.5.29.19", vec![0x30, 6, 1, 1, 0xff, 2, 1, 9]),
        ("F22 malformed", "2.5.29.19", vec![0x30, 3, 1, 1, 1]),
        ("F23 keyCertSign", "2.5.29.15", vec![3, 2, 2, 0x84]),
        ("F23 cRLSign", "2.5.29.15", vec![3, 2, 1, 0x82]),
        ("F24 codeSigning", "2.5.29.37", purpose("1.3.6.1.5.5.7.3.3")),
        ("F24 anyExtendedKeyUsage", "2.5.29.37", purpose("2.5.29.37.0")),
        ("F24 OCSPSigning", "2.5.29.37", purpose("1.3.6.1.5.5.7.3.9")),
        ("F25 CT poison", "1.3.6.1.4.1.11129.2.4.3", vec![5, 0]),
        ("F25 SCT list", "1.3.6.1.4.1.11129.2.4.2", vec![4, 0]),
        ("F25 AIA", "1.3.6.1.5.5.7.1.1", vec![0x30, 0]),
        ("F25 CRL distribution points", "2.5.29.31", vec![0x30, 0]),
        ("F25 name constraints", "2.5.29.30", vec![0x30, 0]),
        ("F25 policies", "2.5.29.32", vec![0x30, 0]),
        ("ACME identifier", "1.3.6.1.5.5.7.1.31", vec![4, 0]),
    ];
    for (case, id, value) in cases {
        assert!(assert_refused(case, &good().with_extension(id, &value).to_der()).contains("not granted"));
        assert!(assert_refused(case, &good().with_critical_extension(id, &value).to_der()).contains(id));
    }
}

#[test]
fn an_extension_may_be_asked_for_once() {
    let names = sequence(&[dns("a.example")]);
    assert_refused("SAN twice", &good().with_extension(SAN, &names).to_der());
    let request = tlv(0x31, &[&sequence(&[tlv(0x30, &[&oid(SAN), &tlv(4, &[&names])])])]);
    let mut draft = good();
    draft.attributes.push(tlv(0x30, &[&oid("1.2.840.113549.1.9.14"), &request]));
    assert_refused("two extension requests", &draft.to_der());
    let mut draft = Draft::new(p256()).with_common_name("a.example");
    draft.attributes.push(tlv(0x30, &[&oid("1.2.840.113549.1.9.14"), &tlv(0x31, &[])]));
    assert_refused("an empty extension request", &draft.to_der());
}

#[test]
fn f30_a_weak_key_is_refused() {
    let short = Draft::naming(rsa(1024), &[dns("a.example")]).to_der();
    assert_eq!(assert_refused("RSA 1024", &short), "RSA keys of this length are not taken");
    let leaked = p256();
    let mut policy = KeyPolicy::default();
    policy.blocked.insert(openssl::sha::sha256(&leaked.public_key_to_der().unwrap()));
    let der = Draft::naming(leaked, &[dns("a.example")]).to_der();
    assert_eq!(Csr::parse(&der, &policy).unwrap_err().detail, "the key is known to have leaked");
}

/// A `SubjectPublicKeyInfo`.
fn key_info(algorithm: &str, parameters: &[u8], key: &[u8]) -> Vec<u8> {
    tlv(0x30, &[&tlv(0x30, &[&oid(algorithm), parameters]), &tlv(0x03, &[&[0], key])])
}

fn with_key(public_key: Vec<u8>) -> Vec<u8> {
    Draft { public_key, ..good() }.to_der()
}

const EC: &str = "1.2.840.10045.2.1";
const P256: &str = "1.2.840.10045.3.1.7";
const RSA: &str = "1.2.840.113549.1.1.1";

#[test]
fn f31_a_curve_is_given_by_its_name() {
    // The parameters of CVE-2022-0778 make OpenSSL loop for ever once it looks at the point.
    let field = tlv(0x30, &[&oid("1.2.840.10045.1.1"), &[2, 2, 0x02, 0xb9]]);
    let coefficients = tlv(0x30, &[&[4, 1, 23], &[4, 1, 0]]);
    let parameters = tlv(0x30, &[&[2, 1, 1], &field, &coefficients, &[4, 2, 2, 8], &[2, 1, 1], &[2, 1, 1]]);
    let detail = assert_refused("explicit parameters", &with_key(key_info(EC, &parameters, &[2, 8])));
    assert_eq!(detail, "the public key's curve is not given by name");
    assert_refused("no parameters", &with_key(key_info(EC, &[], &[4; 65])));
    assert_refused("NULL parameters", &with_key(key_info(EC, &[5, 0], &[4; 65])));
}

#[test]
fn a_point_is_uncompressed_and_on_its_curve() {
    let key = p256().public_key_to_der().unwrap();
    let point = &key[key.len() - 65..];
    let with_point = |point: &[u8]| with_key(key_info(EC, &oid(P256), point));
    assert!(assert_refused("a sane point, of another key", &with_point(point)).contains("signature"));
    assert!(
        assert_refused("compressed", &with_point(&[&[2], &point[1..33]].concat())).contains("uncompressed")
    );
    assert!(
        assert_refused("hybrid", &with_point(&[&[6 + (point[64] & 1)], &point[1..]].concat()))
            .contains("uncom")
    );
    assert!(assert_refused("infinity", &with_point(&[0])).contains("uncompressed"));
    let mut off = point.to_vec();
    off[64] ^= 1;
    assert!(assert_refused("off the curve", &with_point(&off)).contains("not a point on its curve"));
    assert!(
        assert_refused("beyond the field", &with_point(&[&[4][..], &[0xff; 64]].concat()))
            .contains("not a point")
    );
}

#[test]
fn a_key_has_no_second_encoding() {
    let signed = |key: PKey<Private>, public_key| {
        Draft { public_key, ..Draft::naming(key, &[dns("a.example")]) }.to_der()
    };
    let (rsa, ed25519) = (rsa2048(), PKey::generate_ed25519().unwrap());
    let rsa_key = rsa.rsa().unwrap().public_key_to_der_pkcs1().unwrap();
    let ed25519_key = ed25519.raw_public_key().unwrap();

    read(&signed(rsa.clone(), key_info(RSA, &[5, 0], &rsa_key)), &["a.example"]).unwrap();
    assert_refused("RSA without NULL", &signed(rsa, key_info(RSA, &[], &rsa_key)));
    read(&signed(ed25519.clone(), key_info("1.3.101.112", &[], &ed25519_key)), &["a.example"]).unwrap();
    let with_null = key_info("1.3.101.112", &[5, 0], &ed25519_key);
    assert_refused("Ed25519 with NULL", &signed(ed25519, with_null));
}

#[test]
fn f32_other_types_of_keys_are_refused() {
    let cases = [
        ("DSA", key_info("1.2.840.10040.4.1", &tlv(0x30, &[&[2, 1, 7], &[2, 1, 3], &[2, 1, 2]]), &[2, 1, 4])),
        ("DH", key_info("1.2.840.113549.1.3.1", &tlv(0x30, &[&[2, 1, 7], &[2, 1, 3]]), &[2, 1, 4])),
        ("X25519", key_info("1.3.101.110", &[], &[9; 32])),
        ("Ed448", key_info("1.3.101.113", &[], &[9; 57])),
        ("P-192", key_info(EC, &oid("1.2.840.10045.3.1.1"), &[4; 49])),
        ("secp256k1", ec(Nid::SECP256K1).public_key_to_der().unwrap()),
        ("brainpool", ec(Nid::BRAINPOOL_P256R1).public_key_to_der().unwrap()),
        ("RSASSA-PSS", key_info("1.2.840.113549.1.1.10", &[], &[0x30, 6, 2, 1, 7, 2, 1, 3])),
        ("Ed25519, short", key_info("1.3.101.112", &[], &[9; 31])),
        ("RSA, negative", key_info(RSA, &[5, 0], &[0x30, 6, 2, 1, 0x87, 2, 1, 3])),
    ];
    for (case, public_key) in cases {
        assert_refused(case, &with_key(public_key));
    }
}

#[test]
fn f33_a_huge_rsa_key_is_refused_by_its_size() {
    let key =
        |n: &[u8], e: &[u8]| key_info(RSA, &[5, 0], &tlv(0x30, &[&tlv(2, &[&[0], n]), &tlv(2, &[&[0], e])]));
    let composite = assert_refused("RSA 16384", &with_key(key(&[0xff; 2048], &[0xff; 2047])));
    assert_eq!(composite, "RSA keys of this length are not taken");
    let exponent = assert_refused("a huge exponent", &with_key(key(&[0xff; 256], &[0xff; 255])));
    assert!(exponent.contains("exponent"), "{exponent}");
}

#[test]
fn f41_a_csr_that_is_too_long_is_refused_unread() {
    let names = (0..10_000).map(|number| dns(&format!("{number}.a.example"))).collect::<Vec<_>>();
    let problem = read(&Draft::naming(p256(), &names).to_der(), &["a.example"]).unwrap_err();
    assert_eq!((problem.kind, problem.status), (ProblemType::Malformed, 413));
}

#[test]
fn a_csr_of_a_hundred_long_names_is_read() {
    let label = "x".repeat(60);
    let names =
        (0..100).map(|number| format!("{number}.{label}.{label}.{label}.{label}")).collect::<Vec<_>>();
    let draft = Draft::naming(p256(), &names.iter().map(|name| dns(name)).collect::<Vec<_>>());
    read(&draft.to_der(), &names.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
}

#[test]
fn f42_oids_with_huge_arcs_and_deep_nesting_are_refused() {
    let huge = tlv(0x06, &[&[0x2b], &[0xff; 20_000], &[0x7f]]);
    let draft = Draft { extensions: vec![tlv(0x30, &[&huge, &tlv(4, &[])])], ..good() };
    assert_refused("an extension's OID", &draft.to_der());
    let draft = Draft { subject: vec![tlv(0x30, &[&huge, &tlv(UTF8, &[b"x"])])], ..good() };
    assert_refused("a subject's OID", &draft.to_der());
    let deep = (0..5000).fold(Vec::new(), |inner, _| tlv(0x30, &[&inner]));
    assert_refused("a deep key", &with_key(deep.clone()));
    assert_refused("a deep extension", &good().with_extension("2.5.29.19", &deep).to_der());
    assert_refused("a deep name", &Draft::naming(p256(), &[tlv(0xa4, &[&deep])]).to_der());
}

#[test]
fn f43_there_is_only_version_1() {
    for version in [1, 2, 0x7f, 0xff] {
        assert_refused("version", &Draft { version: vec![2, 1, version], ..good() }.to_der());
    }
    assert_refused("a long 0", &Draft { version: vec![2, 2, 0, 0], ..good() }.to_der());
}

#[test]
fn no_change_of_a_byte_is_accepted_or_causes_a_panic() {
    let der = good().with_common_name("a.example").to_der();
    for at in 0..der.len() {
        for change in [0x01, 0x20, 0x80, 0xff] {
            let mut changed = der.clone();
            changed[at] ^= change;
            assert!(read(&changed, &["a.example"]).is_err(), "byte {at} changed by {change:#x}");
        }
    }
}
