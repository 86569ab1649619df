//! Account keys that are weak, or none at all. RFC 8555 section 6.2.

use std::time::Duration;

use coyote_jose::base64url;
use integration_tests::Key;
use openssl::pkey::PKey;
use serde_json::{Value, json};

use crate::{Case, jws::send, probe::Probe, room::Room, transport::timed, weak};

pub(crate) const CASES: &[Case] = &[
    Case("K01", |room| vec![send(room, "", room.joining(&Key::rsa(1024)))]),
    Case("K02", |room| vec![send(room, "", room.joining(&Key::rsa(2047)))]),
    Case("K03", |room| {
        let probe = |bits: i32| send(room, bits.to_string(), room.joining(&weak::huge(bits)));
        [16_384, 65_536].map(|bits| timed(probe(bits), Duration::from_secs(1))).into()
    }),
    Case("K04", |room| vec![send(room, "", room.joining(&weak::exponent_one()))]),
    Case("K06", |room| {
        vec![
            send(room, "a factor of 3", room.joining(&weak::small_factor())),
            send(room, "even", room.joining(&weak::even())),
        ]
    }),
    Case("K07", |room| vec![send(room, "", room.joining(&weak::roca()))]),
    Case("K08", |room| vec![send(room, "", room.joining(&weak::close_primes()))]),
    Case("K09", |room| vec![send(room, "", room.joining(&weak::debian()))]),
    Case("K11", |room| {
        let mut key = Key::new();
        let mut y = base64url::decode(key.jwk["y"].as_str().expect("y")).expect("base64url");
        *y.last_mut().expect("32 octets") ^= 1;
        key.jwk["y"] = base64url::encode(y).into();
        vec![send(room, "", room.joining(&key))]
    }),
    Case("K12", |room| {
        let zero = base64url::encode([0; 32]);
        vec![with_jwk(room, "", json!({"kty": "EC", "crv": "P-256", "x": zero, "y": zero}))]
    }),
    Case("K14", |room| {
        let keys = std::iter::repeat_with(Key::new);
        let coordinate = |key: &Key| base64url::decode(key.jwk["x"].as_str().expect("x")).expect("base64url");
        let mut key = keys.into_iter().find(|key| coordinate(key)[0] == 0).expect("one of 256");
        let whole = key.clone();
        key.jwk["x"] = base64url::encode(&coordinate(&key)[1..]).into();
        vec![send(room, "", room.joining(&key)).then(move |seen| {
            if seen.status() == 200 {
                let same =
                    room.world.client.new_account(&whole, &json!({"onlyReturnExisting": true})).expect(200);
                assert_eq!(same.location(), seen.response().location());
            }
        })]
    }),
    Case("K15", |room| {
        let mut key = Key::new();
        key.jwk["crv"] = "P-384".into();
        vec![
            send(room, "", room.joining(&key)),
            send(room, "as ES384", room.joining(&key).with("alg", "ES384")),
        ]
    }),
    Case("K16", |room| {
        let (mut missing, mut other) = (Key::new(), Key::generate("ES256K"));
        missing.jwk.as_object_mut().expect("an object").remove("crv");
        other.alg = "ES256".into();
        vec![send(room, "missing", room.joining(&missing)), send(room, "secp256k1", room.joining(&other))]
    }),
    Case("K18", |room| {
        let mut key = Key::new();
        key.jwk["alg"] = "RS256".into();
        vec![send(room, "", room.joining(&key))]
    }),
    Case("K19", |room| {
        let ed448 = Key::of("EdDSA", PKey::generate_ed448().expect("a key"));
        let x25519 = PKey::generate_x25519().expect("a key").raw_public_key().expect("a key");
        let x25519 = json!({"kty": "OKP", "crv": "X25519", "x": base64url::encode(x25519)});
        let ed25519 = Key::generate("EdDSA");
        let signed = room.joining(&ed25519).with("jwk", x25519);
        vec![send(room, "Ed448", room.joining(&ed448)), send(room, "X25519", signed)]
    }),
];

fn with_jwk<'r>(room: &'r Room, what: &str, jwk: Value) -> Probe<'r> {
    send(room, what, room.joining(&Key::new()).with("jwk", jwk))
}
