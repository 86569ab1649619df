//! RSA keys with numbers that nobody should have.

use integration_tests::Key;
use openssl::bn::{BigNum, BigNumContext, MsbOption};

fn number(value: u32) -> BigNum {
    BigNum::from_u32(value).expect("a number")
}

/// A key whose primes are these.
fn of_primes(p: &BigNum, q: &BigNum) -> Key {
    let (n, one) = (p * q, number(1));
    let phi = &(p - &one) * &(q - &one);
    Key::of_numbers(&n, &number(65537), &inverse(&number(65537), &phi))
}

fn inverse(e: &BigNum, phi: &BigNum) -> BigNum {
    let mut d = BigNum::new().expect("a number");
    d.mod_inverse(e, phi, &mut BigNumContext::new().expect("a context")).expect("an inverse");
    d
}

fn prime(bits: i32) -> BigNum {
    let mut prime = BigNum::new().expect("a number");
    prime.generate_prime(bits, false, None, None).expect("a prime");
    prime
}

fn is_prime(number: &BigNum) -> bool {
    number.is_prime(20, &mut BigNumContext::new().expect("a context")).expect("an answer")
}

fn random(bits: i32) -> BigNum {
    let mut number = BigNum::new().expect("a number");
    number.rand(bits, MsbOption::ONE, true).expect("a number");
    number
}

/// The public exponent is 1: every message is its own signature.
pub(crate) fn exponent_one() -> Key {
    Key::of_numbers(&random(2048), &number(1), &number(1))
}

/// The modulus has the factor 3, and the signatures are good.
pub(crate) fn small_factor() -> Key {
    loop {
        let (p, q, three, one) = (prime(1024), prime(1023), number(3), number(1));
        let n = &(&p * &q) * &three;
        let phi = &(&(&p - &one) * &(&q - &one)) * &number(2);
        if n.num_bits() == 2048 {
            return Key::of_numbers(&n, &number(65537), &inverse(&number(65537), &phi));
        }
    }
}

/// The modulus is even.
pub(crate) fn even() -> Key {
    let mut n = random(2047);
    n = &n * &number(2);
    Key::of_numbers(&n, &number(65537), &number(65537))
}

/// The primes are neighbours.
pub(crate) fn close_primes() -> Key {
    let p = prime(1024);
    let mut q = &p + &number(2);
    while !is_prime(&q) {
        q = &q + &number(2);
    }
    of_primes(&p, &q)
}

/// The primes have the structure of CVE-2017-15361: k * M + 65537^a mod M, where M is the product of the first
/// primes.
pub(crate) fn roca() -> Key {
    let first: Vec<u32> = (2..702).filter(|n| (2..*n).all(|d| n % d != 0)).take(126).collect();
    let m = first.iter().fold(number(1), |product, prime| &product * &number(*prime));
    let mut context = BigNumContext::new().expect("a context");
    let mut make = || loop {
        let mut power = BigNum::new().expect("a number");
        power.mod_exp(&number(65537), &random(40), &m, &mut context).expect("a power");
        let candidate = &(&random(1024 - m.num_bits()) * &m) + &power;
        if candidate.num_bits() == 1024 && is_prime(&candidate) {
            return candidate;
        }
    };
    loop {
        let key = of_primes(&make(), &make());
        if key.bits() == 2048 {
            return key;
        }
    }
}

/// A key of Debian's list. Nobody here has its private half: the signatures are bad.
pub(crate) fn debian() -> Key {
    let n = "D673252AF6723C3F72529403EAB7C30DEF3C52F97E799825F4A70191C616ADCF1ECE1113F1625971074C492C592025FD\
             EADBDB146A081826BDF0D77C3C913DCF1B6F0B3B78F5108D2E493AD0EEE8CA5C021711ADC13D358E61133870FCD19C8E\
             5C22403959782AA82E72AEE53A3D491E3912CE27B27E1A85EA69C19A527D28F7934C9823B7E56FDD657DAC83FDC65BB2\
             2A98D843DF73238919781B714C81A5E2AFEC71F5C54AA2A27C590AD94C03C1062D50EFCFFAC743E3C8A3AE056846A1D7\
             56EB862BF4224169D467C35215ADE0AFCC11E85FE629AFB802C4786FF2E9C929BCCF502B3D3B8876C6A11785CC398B38\
             9F1D86BDD9CB0BD4EC13956EC3FA270D";
    let n = BigNum::from_hex_str(n).expect("a number");
    Key::of_numbers(&n, &number(65537), &number(65537))
}

/// As many bits as these, and nothing else.
pub(crate) fn huge(bits: i32) -> Key {
    Key::of_numbers(&random(bits), &number(65537), &number(65537))
}

/// The public exponent has nearly as many bits as the modulus.
pub(crate) fn enormous_exponent() -> Key {
    Key::of_numbers(&random(2048), &random(2000), &number(65537))
}
