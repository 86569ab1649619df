//! RSA keys. RFC 8017; the checks are those that browsers' root programs demand of a CA.

use std::ops::RangeInclusive;

use openssl::bn::{BigNum, BigNumContext, BigNumContextRef, BigNumRef};
use openssl::error::ErrorStack;
use openssl::pkey::Public;
use openssl::rsa::RsaRef;

use super::{WeakKey, roca};

/// The primes below 752.
const SMALL_PRIMES: [u32; 133] = small_primes();

/// How far apart factors may be and still count as close. Such keys have been found with the first round.
const FERMAT_ROUNDS: u32 = 110;

pub(super) fn check(key: &RsaRef<Public>, bits: RangeInclusive<u32>) -> Result<(), WeakKey> {
    let (n, e) = (key.n(), key.e());
    let length = n.num_bits().unsigned_abs();
    if !bits.contains(&length) {
        return Err(WeakKey("RSA keys of this length are not taken"));
    }
    if !length.is_multiple_of(8) {
        return Err(WeakKey("the length of the RSA key is not a whole number of bytes"));
    }
    if e.is_even() || !(17..=32).contains(&e.num_bits()) {
        return Err(WeakKey("the RSA key's public exponent is not an odd number from 65537 to 2^32 - 1"));
    }
    let modulus = words(n);
    if SMALL_PRIMES.iter().any(|prime| remainder(&modulus, *prime) == 0) {
        return Err(WeakKey("the RSA key has a small factor"));
    }
    if roca::has_fingerprint(|prime| remainder(&modulus, prime)) {
        return Err(WeakKey("the RSA key was made by a library whose keys can be broken (CVE-2017-15361)"));
    }
    if has_close_factors(n)? {
        return Err(WeakKey("the RSA key's factors are too close to each other"));
    }
    Ok(())
}

/// The number in base 2^32, the most significant digit first.
fn words(n: &BigNumRef) -> Vec<u32> {
    let bytes = n.to_vec();
    let digits = bytes.rchunks(4).rev();
    digits.map(|digit| digit.iter().fold(0, |word, byte| word << 8 | u32::from(*byte))).collect()
}

fn remainder(number: &[u32], divisor: u32) -> u32 {
    let divisor = u64::from(divisor);
    let rest = number.iter().fold(0, |rest, word| (rest << 32 | u64::from(*word)) % divisor);
    u32::try_from(rest).unwrap_or_default() // it is less than the divisor
}

/// Fermat's method: an odd n = pq is a^2 - b^2 where a is the mean of p and q; if those are close, a is one of
/// the first numbers above the root of n.
fn has_close_factors(n: &BigNumRef) -> Result<bool, ErrorStack> {
    let mut context = BigNumContext::new()?;
    let mut a = square_root(n, &mut context)?;
    let mut square = BigNum::new()?;
    square.sqr(&a, &mut context)?;
    if &*square == n {
        return Ok(true);
    }
    a.add_word(1)?;
    square.sqr(&a, &mut context)?;
    let mut difference = &*square - n;
    for _ in 0..FERMAT_ROUNDS {
        if is_square(&difference, &mut context)? {
            return Ok(true);
        }
        let mut step = BigNum::new()?;
        step.lshift1(&a)?;
        step.add_word(1)?; // (a + 1)^2 - a^2
        difference = &difference + &step;
        a.add_word(1)?;
    }
    Ok(false)
}

fn is_square(n: &BigNumRef, context: &mut BigNumContextRef) -> Result<bool, ErrorStack> {
    // Few numbers are squares modulo each of these, so the root is rarely needed.
    for modulus in [64, 63, 65, 11] {
        let rest = n.mod_word(modulus)?;
        let modulus = u64::from(modulus);
        if !(0..modulus).any(|root| root * root % modulus == rest) {
            return Ok(false);
        }
    }
    let root = square_root(n, context)?;
    let mut square = BigNum::new()?;
    square.sqr(&root, context)?;
    Ok(&*square == n)
}

/// The integer square root, by Newton's method from above.
fn square_root(n: &BigNumRef, context: &mut BigNumContextRef) -> Result<BigNum, ErrorStack> {
    let mut root = BigNum::new()?;
    root.set_bit(n.num_bits() / 2 + 1)?;
    loop {
        let mut quotient = BigNum::new()?;
        quotient.checked_div(n, &root, context)?;
        let mut next = BigNum::new()?;
        next.rshift1(&(&root + &quotient))?;
        if next >= root {
            return Ok(root);
        }
        root = next;
    }
}

const fn small_primes() -> [u32; 133] {
    let mut primes = [0; 133];
    let mut found = 0;
    let mut candidate = 2;
    while candidate < 752 {
        let mut divisor = 2;
        while divisor * divisor <= candidate && candidate % divisor != 0 {
            divisor += 1;
        }
        if divisor * divisor > candidate {
            #[allow(clippy::indexing_slicing, reason = "a mistake here would not compile")]
            {
                primes[found] = candidate;
            }
            found += 1;
        }
        candidate += 1;
    }
    assert!(found == primes.len());
    primes
}
