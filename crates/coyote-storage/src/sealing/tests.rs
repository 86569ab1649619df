use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

const ID: [u8; 16] = *b"0123456789abcdef";
const OTHER: [u8; 16] = *b"0123456789abcdeg";

fn key(byte: u8) -> SealingKey {
    SealingKey::new([byte; 32]).unwrap()
}

fn sealing(byte: u8) -> Sealing {
    Sealing::with(KeyRing::of(key(byte)))
}

fn fault(opened: Result<Vec<u8>>) -> SealFault {
    match opened {
        Err(StorageError::Sealed { fault, .. }) => fault,
        other => panic!("{other:?}"),
    }
}

#[test]
fn without_a_ring_a_cell_is_its_value_behind_a_newline_and_opens_with_and_without_one() {
    for value in [&b"[]"[..], b"", b"\x01 looks sealed"] {
        let cell = Sealing::none().seal(&Column::CSR.of(&ID), value).unwrap();
        assert_eq!(cell, [b"\n", value].concat());
        for sealing in [Sealing::none(), sealing(1)] {
            assert_eq!(sealing.open(&Column::CSR.of(&ID), &cell).unwrap(), value);
        }
    }
}

/// Computed with Python's hmac and hashlib and the `cryptography` package: the form is for ever.
#[test]
fn a_sealed_cell_is_what_the_documentation_says() {
    let sealed = sealing(1).seal(&Column::CSR.of(&ID), b"a request").unwrap();
    let hex: String = sealed.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(
        hex,
        "01917168058ca74dd961be7ca1fcf8d7cd9b6b0284d082a144d7fe807970aa10384acb328260b2deb21d2fbc6ad7"
    );
}

#[test]
fn a_cell_opens_in_its_place_and_in_no_other() {
    let (sealing, value) = (sealing(1), b"[\"mailto:someone@example.org\"]");
    let places = [
        Column::CONTACT.of(&ID),
        Column::CONTACT.of(&OTHER),
        Column::CSR.of(&ID),
        Column::CHAIN.of(&ID),
        Column::ALTERNATES.of(&ID),
        Column::SECRET.named(&["default", "kid"]),
        Column::SECRET.named(&["defaultk", "id"]),
        Column::SECRET.named(&["defaultkid"]),
        Column::SETTING.named(&["0123456789abcdef"]),
    ];
    let cells: Vec<_> = places.iter().map(|place| sealing.seal(place, value).unwrap()).collect();
    for (cell, own) in cells.iter().zip(&places) {
        assert!(!cell.windows(4).any(|part| value.windows(4).any(|known| known == part)));
        for place in &places {
            let opened = sealing.open(place, cell);
            if place == own {
                assert_eq!(opened.unwrap(), value);
            } else {
                assert!(matches!(fault(opened), SealFault::Forged), "{own} opened as {place}");
            }
        }
    }
}

#[test]
fn a_cell_that_was_changed_or_cut_does_not_open() {
    let place = Column::CHAIN.of(&ID);
    let cell = sealing(1).seal(&place, b"-----BEGIN CERTIFICATE-----").unwrap();
    for bit in 0..cell.len() * 8 {
        let mut changed = cell.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        sealing(1).open(&place, &changed).expect_err("a changed bit");
    }
    for length in 0..cell.len() {
        let fault = fault(sealing(1).open(&place, &cell[..length]));
        assert!(matches!(fault, SealFault::Truncated | SealFault::Forged), "cut to {length}: {fault}");
    }
    sealing(1).open(&place, &[&cell[..], b"0"].concat()).expect_err("a byte too long");
}

#[test]
fn who_has_not_the_key_is_told_which_cell_it_is_and_which_key_is_wanted() {
    let place = Column::CONTACT.of(&ID);
    let cell = sealing(1).seal(&place, b"[]").unwrap();
    let id = key(1).id();
    let other = sealing(2).open(&place, &cell).unwrap_err();
    assert_eq!(other.to_string(), "accounts.contact of MDEyMzQ1Njc4OWFiY2RlZg is sealed, and cannot be read");
    assert!(matches!(fault(Err(other)), SealFault::UnknownKey(wanted) if wanted == id));
    assert!(
        matches!(fault(Sealing::none().open(&place, &cell)), SealFault::NoKeyRing(wanted) if wanted == id)
    );
    assert!(matches!(fault(sealing(1).open(&place, b"?")), SealFault::UnknownForm));
    // A key that only claims to be that one: the id follows from the key, so this takes somebody who forges it.
    let mut forged = sealing(2).seal(&place, b"[]").unwrap();
    forged[1..9].copy_from_slice(id.as_bytes());
    assert!(matches!(fault(sealing(1).open(&place, &forged)), SealFault::Forged));
}

#[test]
fn an_older_key_opens_and_does_not_seal_and_what_it_has_sealed_is_renewed() {
    let place = Column::CSR.of(&ID);
    let old = sealing(1).seal(&place, b"value").unwrap();
    let both = Sealing::with(KeyRing::of(key(1)).with(key(2)));
    assert_eq!(both.open(&place, &old).unwrap(), b"value");
    assert!(both.is_stale(&old));
    let renewed = both.renew(&place, &old).unwrap().expect("another cell");
    assert_eq!(Seal::of(&renewed), Some(Seal::Under(key(2).id())));
    assert_eq!(both.renew(&place, &renewed).unwrap(), None);
    assert_eq!(sealing(2).open(&place, &renewed).unwrap(), b"value", "the old key is not needed any more");

    let plain = Sealing::none().seal(&place, b"value").unwrap();
    assert_eq!(both.renew(&place, &plain).unwrap(), Some(renewed), "plain cells are sealed, too");
    assert_eq!(Sealing::none().renew(&place, &plain).unwrap(), None);
}

#[test]
fn a_ring_is_read_from_text_and_its_last_key_is_the_current_one() {
    let [one, two] = ["01".repeat(32), "0A".repeat(16) + &"0a".repeat(16)];
    let ring: KeyRing = format!("# ours\n\n{one} of 2025\n  {two} # of 2026\n").parse().unwrap();
    assert_eq!(ring.current().id(), key(10).id());
    assert_eq!(ring.ids().collect::<Vec<_>>(), [key(1).id(), key(10).id()]);

    for (text, error) in [
        (String::new(), InvalidKeyRing::Empty),
        ("# nothing\n".into(), InvalidKeyRing::Empty),
        (format!("{one}\n{one}0"), InvalidKeyRing::Line(2)),
        ("x".repeat(64), InvalidKeyRing::Line(1)),
        (format!("+1{}", &one[2..]), InvalidKeyRing::Line(1)),
        (format!("{one}\n{two}\n{one}"), InvalidKeyRing::Repeated(3)),
    ] {
        assert_eq!(text.parse::<KeyRing>().unwrap_err(), error, "{text}");
    }
}

#[test]
fn nothing_that_is_printed_shows_a_key() {
    let text = "5e".repeat(32);
    let ring: KeyRing = text.parse().unwrap();
    let shown = format!("{:?} {:?}", Sealing::with(ring.clone()), ring);
    assert!(shown.contains(&ring.current().id().to_string()), "{shown}");
    for part in ["5e5e", "5E5E", "94, 94", "XV5e"] {
        assert!(!shown.contains(part), "{shown}");
    }
    let error = format!("{text}0").parse::<KeyRing>().unwrap_err().to_string();
    assert!(!error.contains("5e5e"), "{error}");
}

#[test]
fn the_same_value_in_the_same_cell_is_the_same_and_no_nonce_meets_two_values() {
    let sealing = sealing(1);
    let mut nonces = HashSet::new();
    for number in 0..1_000_u32 {
        let value = number.to_be_bytes();
        let cell = sealing.seal(&Column::CSR.of(&ID), &value).unwrap();
        assert_eq!(cell, sealing.seal(&Column::CSR.of(&ID), &value).unwrap());
        assert!(nonces.insert(cell[HEADER..HEADER + NONCE].to_vec()), "{number}");
    }
}

fn stale(checked: MarksChecked) -> KeyMark {
    match checked {
        MarksChecked::Stale(mark) => mark,
        MarksChecked::Settled => panic!("nothing is left to do"),
    }
}

#[test]
fn a_database_is_opened_only_with_all_keys_that_are_in_use() {
    assert_eq!(Sealing::none().check(&[]).unwrap(), MarksChecked::Settled, "it was never sealed");
    let first = stale(sealing(1).check(&[]).unwrap());
    let again = stale(sealing(1).check(std::slice::from_ref(&first)).unwrap());
    assert_eq!(again, first, "until it is settled");
    for wrong in [Sealing::none(), sealing(2)] {
        wrong.check(std::slice::from_ref(&first)).expect_err("it cannot read what was sealed");
    }

    let both = Sealing::with(KeyRing::of(key(1)).with(key(2)));
    let second = stale(both.check(std::slice::from_ref(&first)).unwrap());
    assert_ne!(first.name, second.name);
    let marks = [first, second];
    assert_eq!(stale(both.check(&marks).unwrap()), marks[1]);
    sealing(1).check(&marks).expect_err("some cells may be under the new key");
    sealing(2).check(&marks).expect_err("some cells may be under the old key");

    let settled = both.settled().unwrap().unwrap();
    assert_eq!(settled.name, marks[1].name);
    assert_eq!(sealing(2).check(std::slice::from_ref(&settled)).unwrap(), MarksChecked::Settled);
    assert_eq!(both.check(std::slice::from_ref(&settled)).unwrap(), MarksChecked::Settled);
    sealing(1).check(std::slice::from_ref(&settled)).expect_err("the old key is of no use any more");
    let renamed = KeyMark { name: marks[0].name.clone(), ..settled };
    both.check(&[renamed]).expect_err("a mark is of its own key");
}

proptest! {
    #[test]
    fn whatever_is_sealed_opens(value: Vec<u8>, id: [u8; 16]) {
        let sealing = sealing(7);
        let cell = sealing.seal(&Column::CHAIN.of(&id), &value).unwrap();
        prop_assert_eq!(cell.len(), value.len() + 37);
        prop_assert_eq!(sealing.open(&Column::CHAIN.of(&id), &cell).unwrap(), value);
    }

    #[test]
    fn no_bytes_make_opening_panic(cell: Vec<u8>) {
        let _whatever = sealing(7).open(&Column::CHAIN.of(&ID), &cell);
    }
}
