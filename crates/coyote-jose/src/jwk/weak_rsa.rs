//! RSA moduli that are known to be easy to factor. What they have in common is the generator that made them.

use openssl::bn::{BigNum, BigNumContext, BigNumRef};
use openssl::error::ErrorStack;

use crate::error::Error;

/// The bound of NIST SP 800-89 section 5.3.3, which CAs have to apply.
const SMALL_FACTORS: u32 = 752;
/// Enough for what the flawed libraries made: the next primes after one another. CAs have to try as many.
const FERMAT_ROUNDS: u32 = 100;

/// Refuses a modulus that anyone can factor: a small factor, the ROCA generator (CVE-2017-15361), or primes
/// that lie close to each other (CVE-2022-26320).
pub(super) fn check(n: &BigNumRef) -> Result<(), Error> {
    if has_small_factor(n)? {
        return Err(Error::BadKey("the RSA modulus has a small factor"));
    }
    if is_roca(n)? {
        return Err(Error::BadKey("the RSA modulus was made by a generator with a flaw (ROCA)"));
    }
    if has_close_factors(n)? {
        return Err(Error::BadKey("the RSA modulus is a product of two close primes"));
    }
    Ok(())
}

fn has_small_factor(n: &BigNumRef) -> Result<bool, ErrorStack> {
    for divisor in small_primes() {
        if n.mod_word(divisor)? == 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The flawed generator's primes, and so its moduli, are powers of 65537 modulo each of the primes up to 167.
/// Of other moduli, one in 200 million is.
fn is_roca(n: &BigNumRef) -> Result<bool, ErrorStack> {
    for prime in small_primes().take_while(|prime| *prime <= 167) {
        let residue = n.mod_word(prime)?;
        if !is_power_of_65537(residue, u64::from(prime)) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn is_power_of_65537(residue: u64, prime: u64) -> bool {
    let mut power = 1;
    loop {
        if power == residue {
            return true;
        }
        power = power * 65537 % prime;
        if power == 1 {
            return false;
        }
    }
}

/// Fermat's method: n = a^2 - b^2 with a close to the root of n.
fn has_close_factors(n: &BigNumRef) -> Result<bool, ErrorStack> {
    let mut context = BigNumContext::new()?;
    if is_square(n, &mut context)? {
        return Ok(true);
    }
    let mut a = root(n, &mut context)?;
    a.add_word(1)?;
    let mut b_squared = &(&a * &a) - n;
    for _ in 0..FERMAT_ROUNDS {
        if is_square(&b_squared, &mut context)? {
            return Ok(true);
        }
        // (a + 1)^2 = a^2 + a + (a + 1)
        b_squared = &b_squared + &a;
        a.add_word(1)?;
        b_squared = &b_squared + &a;
    }
    Ok(false)
}

fn is_square(number: &BigNumRef, context: &mut BigNumContext) -> Result<bool, ErrorStack> {
    // Most numbers are no squares modulo these already, and a remainder costs less than a root.
    for modulus in [256, 9 * 5 * 7, 11 * 13] {
        let residue = number.mod_word(modulus)?;
        let modulus = u64::from(modulus);
        if !(0..modulus).any(|x| x * x % modulus == residue) {
            return Ok(false);
        }
    }
    let root = root(number, context)?;
    Ok(&(&root * &root) == number)
}

/// The root, rounded down, by Newton's method from above.
fn root(number: &BigNumRef, context: &mut BigNumContext) -> Result<BigNum, ErrorStack> {
    let mut guess = BigNum::new()?;
    if number.num_bits() == 0 {
        return Ok(guess);
    }
    guess.set_bit((number.num_bits() + 1) / 2)?;
    loop {
        let mut quotient = BigNum::new()?;
        quotient.checked_div(number, &guess, context)?;
        let sum = &guess + &quotient;
        let mut next = BigNum::new()?;
        next.rshift1(&sum)?;
        if next >= guess {
            return Ok(guess);
        }
        guess = next;
    }
}

fn small_primes() -> impl Iterator<Item = u32> {
    (3..SMALL_FACTORS).step_by(2).filter(|n| (3..*n).take_while(|d| d * d <= *n).all(|d| n % d != 0))
}

#[cfg(test)]
mod tests {
    use openssl::bn::MsbOption;

    use super::*;

    fn prime(bits: i32) -> BigNum {
        let mut prime = BigNum::new().unwrap();
        prime.generate_prime(bits, false, None, None).unwrap();
        prime
    }

    fn prime_after(number: &BigNumRef) -> BigNum {
        let mut context = BigNumContext::new().unwrap();
        let mut candidate = number.to_owned().unwrap();
        loop {
            candidate.add_word(2).unwrap();
            if candidate.is_prime(20, &mut context).unwrap() {
                return candidate;
            }
        }
    }

    fn complaint(n: &BigNumRef) -> &'static str {
        match check(n) {
            Err(Error::BadKey(complaint)) => complaint,
            other => panic!("the modulus is bad, but got {other:?}"),
        }
    }

    #[test]
    fn ordinary_keys_pass() {
        assert!(check(&(&prime(1024) * &prime(1024))).is_ok());
    }

    #[test]
    fn a_small_factor_is_found() {
        for factor in [3, 5, 167, 173, 751] {
            let n = &prime(512) * &BigNum::from_u32(factor).unwrap();
            assert!(complaint(&n).contains("small factor"), "{factor}");
        }
    }

    #[test]
    fn close_primes_are_found() {
        let p = prime(512);
        let q = prime_after(&p);
        assert!(complaint(&(&p * &q)).contains("close"));
        assert!(complaint(&(&p * &p)).contains("close"), "a square");
    }

    #[test]
    fn close_factors_are_found_in_many_rounds_but_not_in_any_number() {
        for (p, q, close) in [(1_000_003, 1_020_001, true), (1_000_003, 1_040_001, false)] {
            let n = &BigNum::from_u32(p).unwrap() * &BigNum::from_u32(q).unwrap();
            assert_eq!(has_close_factors(&n).unwrap(), close, "{p} times {q}");
        }
    }

    /// No key, but a number of which the published test says what it says of the generator's.
    #[test]
    fn the_flawed_generator_is_recognized() {
        let mut context = BigNumContext::new().unwrap();
        let mut m = BigNum::from_u32(2).unwrap();
        for prime in small_primes().take_while(|prime| *prime <= 167) {
            m.mul_word(prime).unwrap();
        }
        let mut power = BigNum::new().unwrap();
        power.mod_exp(&BigNum::from_u32(65537).unwrap(), &prime(64), &m, &mut context).unwrap();
        loop {
            let mut k = BigNum::new().unwrap();
            k.rand(1800, MsbOption::ONE, false).unwrap();
            let n = &(&k * &m) + &power;
            if !has_small_factor(&n).unwrap() {
                assert!(complaint(&n).contains("ROCA"));
                return;
            }
        }
    }

    #[test]
    fn roots_are_rounded_down() {
        let mut context = BigNumContext::new().unwrap();
        for (number, expected) in [(0, 0), (1, 1), (3, 1), (4, 2), (8, 2), (9, 3), (99, 9), (u32::MAX, 65535)]
        {
            let root = root(&BigNum::from_u32(number).unwrap(), &mut context).unwrap();
            assert_eq!(root, BigNum::from_u32(expected).unwrap(), "the root of {number}");
        }
    }
}
