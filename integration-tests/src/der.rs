//! DER, written by hand, so that it can also be wrong.

/// A tag, the length of the content, the content.
#[must_use]
pub fn tlv(tag: u8, content: impl AsRef<[u8]>) -> Vec<u8> {
    let content = content.as_ref();
    let mut bytes = vec![tag];
    let length = content.len();
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => bytes.push(short),
        _ => {
            let octets: Vec<_> = length.to_be_bytes().into_iter().skip_while(|&octet| octet == 0).collect();
            bytes.push(0x80 | u8::try_from(octets.len()).expect("few octets"));
            bytes.extend(octets);
        }
    }
    bytes.extend_from_slice(content);
    bytes
}

/// A SEQUENCE.
#[must_use]
pub fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(0x30, parts.concat())
}

/// A SET of one.
#[must_use]
pub fn set(part: &[u8]) -> Vec<u8> {
    tlv(0x31, part)
}

/// A small INTEGER.
#[must_use]
pub fn integer(value: u8) -> Vec<u8> {
    tlv(0x02, [value])
}

/// An OBJECT IDENTIFIER.
///
/// # Panics
///
/// If it is none.
#[must_use]
pub fn oid(dotted: &str) -> Vec<u8> {
    let arcs: Vec<u64> = dotted.split('.').map(|arc| arc.parse().expect("a number")).collect();
    let [first, second, rest @ ..] = arcs.as_slice() else { panic!("{dotted} has too few arcs") };
    let mut content = Vec::new();
    for arc in std::iter::once(first * 40 + second).chain(rest.iter().copied()) {
        let septets: Vec<_> = (0..10).rev().map(|at| (arc >> (7 * at)) as u8 & 0x7f).collect();
        let start = septets.iter().position(|&septet| septet != 0).unwrap_or(septets.len() - 1);
        let (last, others) = septets[start..].split_last().expect("at least one");
        content.extend(others.iter().map(|septet| septet | 0x80));
        content.push(*last);
    }
    tlv(0x06, content)
}

/// A BIT STRING without unused bits.
#[must_use]
pub fn bit_string(bytes: &[u8]) -> Vec<u8> {
    tlv(0x03, [&[0], bytes].concat())
}

/// An X.509 extension.
#[must_use]
pub fn extension(id: &str, critical: bool, value: &[u8]) -> Vec<u8> {
    let flag = if critical { tlv(0x01, [0xff]) } else { Vec::new() };
    sequence(&[oid(id), flag, tlv(0x04, value)])
}

/// An attribute of a name: an AttributeTypeAndValue in a set of its own.
#[must_use]
pub fn attribute(id: &str, tag: u8, value: &[u8]) -> Vec<u8> {
    set(&sequence(&[oid(id), tlv(tag, value)]))
}
