//! http-01 against servers on loopback addresses, kind and hostile. 127.0.0.1 is allowed, 127.0.0.2 is not.
//!
//! The tests whose names start with `v01` to `v20` are those of the catalogue of bad inputs.

mod hostile;
mod kind;
mod redirects;
mod world;
