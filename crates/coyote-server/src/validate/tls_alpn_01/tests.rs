//! tls-alpn-01 against servers on loopback addresses, kind and hostile. 127.0.0.1 is allowed, 127.0.0.2 is not.
//!
//! The tests whose names start with `v50` to `v58` are those of the catalogue of bad inputs.

mod hostile;
mod kind;
mod world;
