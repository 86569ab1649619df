use openssl::bn::{BigNum, BigNumRef};
use openssl::ec::{EcGroup, EcKey};
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;

use super::*;

/// A modulus as the library of CVE-2017-15361 makes them: k * M + (65537^a mod M), twice, where M is the product of the
/// first 126 primes.
const ROCA: &str = concat!(
    "ceba5744dd11ddfe0aaaff402bb5c9ea6485821dcafaead4a9dde5647ecd2c924acbe0e7a8e095e5a1f0051ac614e1af",
    "1f57fbdb7ce3112c10997aecdcd48438e6a34af1e327dba7fb3d2b0d9c96fa694bee29e4380d7f150cc94b0385ab8cf8",
    "b491b2330c2a77cbb73ff9129df5160104fd4ca500b137fd3c51f242142fb6284bc6481ee90ea707b968d86880331ccf",
    "1eadd53b34ec1fd6111501b482f2e2dca2dcef833b5a38c8d4685d74a5eb13152f1695916c6523a716d6790cb4f1fa7f",
    "645a8ad9768ed524ca7c60370d5cc583060b0a72d6f4402cfee1ff5b6fa0137b89e2f0feb24f7bf08411706ae07db508",
    "642280e363da58d05b19959371303839",
);

/// A prime and the next prime, multiplied.
const NEXT_PRIME: &str = concat!(
    "bc826ea07994e148496f614696b03125f7bf4ec30c046903f6899b6d1f718485cc202bcb232788f7e21d3e1f6b09c71d",
    "68112273b4a39fcbdb03766e5e09adf5c3f04cf261be5a4bbbfbaa5d97b772e33057a43cde014bb2f43076c8e58106c5",
    "bf90cb796de328b6c894d0f1d96402161845c53a92b1db5940bd1d965bd4e51b4f8e0efcbb2dc516776056f257744cd8",
    "03e57899a99463cba3ccf2f1e616084c238d738889995a516871fdb3755fce5b04cb82157ad863917414fe06c16af563",
    "df700597054c8d02cf67f2991ad64d4d7dde877acd39eb7b920cd895d9506fcee874b5e8ebec23ddaf8b3964eb9f7c71",
    "51b93bec2e1a6a86c8efb62ffce052eb",
);

/// Two primes so far apart that Fermat's method finds them in round 98.
const CLOSE: &str = concat!(
    "bc826ea07994e148496f614696b03125f7bf4ec30c046903f6899b6d1f718485cc202bcb232788f7e21d3e1f6b09c71d",
    "68112273b4a39fcbdb03766e5e09ae0c139132559d7c7e32b66d9a9ed1f47be9035e96939190b7a028dd0a2ec062255b",
    "67f4e7e90c529977a61c7d30cd7499938a25b60d13254032c4e813ca2aa9e644f4fae49541d9b3f2f72daad98280d84c",
    "7de84f3e026bf204168cf0538c4e3642a9e97554bede835bec1a4265302c4c3637f42509c779e8342e7b262ddedde639",
    "6ab405c2265d202d8cb3fbe97b6138f88a20c2665a175242c066fe5ae4bf1e8d153afccd40c4197c11b4ae45617952ec",
    "bce5ca208cabac88313093534d5c51ff",
);

/// Likewise, in round 114: one has to stop somewhere.
const FAR: &str = concat!(
    "bc826ea07994e148496f614696b03125f7bf4ec30c046903f6899b6d1f718485cc202bcb232788f7e21d3e1f6b09c71d",
    "68112273b4a39fcbdb03766e5e09ae0dcaec57ac048b1e7f8e9dc0cb38e57c9ab1240badee25988b0587da71a9d5eca1",
    "fec187a2dd6edd37b726ece6e03acc9d307203a71d06be1c1dd7b09313306c7edcc87cf57a3676636fb60842078976b0",
    "de97f701c7c88da490f51e46062922891498d977cc91b55083e77289d2022dbaa68250904ad9310f2b3d23a6003165c0",
    "674a0c83118b9397c9ed9d2cd1ab3d897f285f57b69e2d05b6907eef731fb5fbe68e9c8a821aa814535ff1dd960b1e10",
    "0cf6317136065619eb3c74b42f65dba1",
);

fn rsa(n: &BigNumRef, e: u32) -> PKey<Public> {
    let key = Rsa::from_public_components(n.to_owned().unwrap(), BigNum::from_u32(e).unwrap()).unwrap();
    PKey::from_rsa(key).unwrap()
}

fn modulus(hex: &str) -> PKey<Public> {
    rsa(&BigNum::from_hex_str(hex).unwrap(), 65537)
}

fn public(key: PKey<Private>) -> PKey<Public> {
    PKey::public_key_from_der(&key.public_key_to_der().unwrap()).unwrap()
}

fn ec(curve: Nid) -> PKey<Public> {
    let key = EcKey::generate(&EcGroup::from_curve_name(curve).unwrap()).unwrap();
    public(PKey::from_ec_key(key).unwrap())
}

fn ed25519() -> PKey<Public> {
    public(PKey::generate_ed25519().unwrap())
}

#[track_caller]
fn assert_refused(key: &PKeyRef<Public>, reason: &str) {
    let refusal = KeyPolicy::default().check(key).expect_err("the key is weak").to_string();
    assert!(refusal.contains(reason), "refused because {reason:?}, not because {refusal:?}");
}

#[test]
fn good_keys_are_taken() {
    let policy = KeyPolicy::default();
    for curve in [Nid::X9_62_PRIME256V1, Nid::SECP384R1, Nid::SECP521R1] {
        assert_eq!(policy.check(&ec(curve)), Ok(()), "{curve:?}");
    }
    assert_eq!(policy.check(&ed25519()), Ok(()));
    let key = public(PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap());
    assert_eq!(policy.check(&key), Ok(()));
}

#[test]
fn an_rsa_key_has_an_allowed_length() {
    let key = |bits: i32| {
        let mut n = BigNum::new().unwrap();
        n.set_bit(bits - 1).unwrap();
        n.add_word(1).unwrap();
        rsa(&n, 65537)
    };
    for bits in [512, 1024, 2047, 4097, 4104, 16384, 65536] {
        assert_refused(&key(bits), "of this length");
    }
    assert_refused(&key(2049), "whole number of bytes");
}

#[test]
fn an_rsa_key_has_a_sound_public_exponent() {
    let n = BigNum::from_hex_str(FAR).unwrap();
    for e in [1, 3, 17, 257, 65535, 65536, 65538] {
        assert_refused(&rsa(&n, e), "exponent");
    }
    assert_eq!(KeyPolicy::default().check(&rsa(&n, u32::MAX)), Ok(()));
    let mut e = BigNum::from_u32(1).unwrap();
    e.set_bit(32).unwrap();
    let key = PKey::from_rsa(Rsa::from_public_components(n, e).unwrap()).unwrap();
    assert_refused(&key, "exponent");
}

#[test]
fn an_rsa_key_has_no_small_factor() {
    for factor in [2, 3, 5, 751] {
        let mut n = BigNum::from_hex_str(FAR).unwrap();
        let rest = n.mod_word(factor).unwrap();
        n.sub_word(u32::try_from(rest).unwrap()).unwrap();
        assert_refused(&rsa(&n, 65537), "small factor");
    }
}

#[test]
fn keys_of_cve_2017_15361_are_recognised() {
    assert_refused(&modulus(ROCA), "CVE-2017-15361");
}

#[test]
fn a_random_key_is_not_taken_for_one_of_cve_2017_15361() {
    let residue = |hex: &str| {
        let n = BigNum::from_hex_str(hex).unwrap();
        move |prime| u32::try_from(n.mod_word(prime).unwrap()).unwrap()
    };
    assert!(roca::has_fingerprint(residue(ROCA)));
    assert!(!roca::has_fingerprint(residue(FAR)));
    // Each remainder is a power of 65537, but they are not the same power.
    assert!(!roca::has_fingerprint(|prime| if prime == 167 { 65537 % 167 } else { 1 }));
}

#[test]
fn an_rsa_key_has_no_close_factors() {
    assert_refused(&modulus(NEXT_PRIME), "too close");
    assert_refused(&modulus(CLOSE), "too close");
    assert_eq!(KeyPolicy::default().check(&modulus(FAR)), Ok(()));
}

#[test]
fn the_square_of_a_prime_is_no_rsa_key() {
    let mut prime = BigNum::new().unwrap();
    prime.generate_prime(1024, false, None, None).unwrap();
    assert_refused(&rsa(&(&*prime * &*prime), 65537), "too close");
}

#[test]
fn other_curves_and_types_are_refused() {
    for curve in [Nid::SECP256K1, Nid::SECP224R1, Nid::BRAINPOOL_P256R1] {
        assert_refused(&ec(curve), "on this curve");
    }
    assert_refused(&public(PKey::generate_ed448().unwrap()), "of this type");
    assert_refused(&public(PKey::generate_x25519().unwrap()), "of this type");
}

#[test]
fn a_curve_given_by_its_parameters_is_refused() {
    let mut group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    group.set_asn1_flag(Asn1Flag::EXPLICIT_CURVE);
    let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
    assert_refused(&public(key), "on this curve");
}

#[test]
fn what_is_switched_off_is_refused() {
    let policy =
        KeyPolicy { ed25519: false, max_rsa_bits: 0, curves: vec![EcCurve::P384], ..KeyPolicy::default() };
    assert!(policy.check(&ed25519()).is_err());
    assert!(policy.check(&modulus(FAR)).is_err());
    assert!(policy.check(&ec(Nid::X9_62_PRIME256V1)).is_err());
    assert!(policy.check(&ec(Nid::SECP384R1)).is_ok());
}

#[test]
fn a_key_on_the_list_of_leaked_ones_is_refused() {
    let key = ec(Nid::X9_62_PRIME256V1);
    let mut policy = KeyPolicy::default();
    policy.blocked.insert(sha256(&key.public_key_to_der().unwrap()));

    let refusal = policy.check(&key).expect_err("the key has leaked");

    assert_eq!(refusal.to_string(), "the key is known to have leaked");
    assert_eq!(policy.check(&ec(Nid::X9_62_PRIME256V1)), Ok(()));
}

#[test]
fn a_key_that_anybody_can_make_is_refused_once_it_is_listed() {
    let key = Rsa::generate(2048).unwrap();
    let printed = format!("Modulus={}\n", &*key.n().to_hex_str().unwrap());
    let hash: String =
        openssl::sha::sha1(printed.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let key = public(PKey::from_rsa(key).unwrap());
    let mut policy = KeyPolicy::default();
    assert_eq!(policy.check(&key), Ok(()));
    policy.known_weak.add_list(&hash).unwrap();
    assert!(policy.check(&key).unwrap_err().to_string().contains("CVE-2008-0166"));
}
