//! CVE-2017-15361: keys made by a library whose primes have a structure, and so can be factored.
//!
//! Its primes are k * M + (65537^a mod M), where M is the product of the first 39 primes or more. A modulus made of
//! two such primes is a power of 65537 modulo M, and so modulo each prime that divides M; a random one is not.
//! Nemec et al., "The Return of Coppersmith's Attack", section 2.

/// The odd ones of the first 39 primes: they divide M whatever the length of the key.
const PRIMES: [u32; 38] = [
    3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103,
    107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
];

const GENERATOR: u32 = 65537;

/// An exponent, known modulo the order of the generator.
struct Logarithm {
    exponent: u32,
    order: u32,
}

/// Whether the modulus, given by its remainders, has the structure.
///
/// One exponent has to serve all primes at once. To ask of each prime alone whether there is one would accuse about
/// one innocent key in 2^27; this way it is none that anybody will ever see.
pub(super) fn has_fingerprint(remainder: impl Fn(u32) -> u32) -> bool {
    let logarithms = PRIMES.iter().map(|prime| logarithm(remainder(*prime), *prime));
    let Some(logarithms) = logarithms.collect::<Option<Vec<_>>>() else {
        return false;
    };
    let agree = |one: &Logarithm, other: &Logarithm| {
        let common = greatest_common_divisor(one.order, other.order);
        one.exponent % common == other.exponent % common
    };
    logarithms.iter().all(|one| logarithms.iter().all(|other| agree(one, other)))
}

/// The exponent to which the generator is `power` modulo the prime, if there is one.
fn logarithm(power: u32, prime: u32) -> Option<Logarithm> {
    let mut exponent = None;
    let mut current = 1;
    for order in 0..prime {
        if order > 0 && current == 1 {
            return exponent.map(|exponent| Logarithm { exponent, order });
        }
        if current == power {
            exponent = Some(order);
        }
        current = current * (GENERATOR % prime) % prime;
    }
    None
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}
