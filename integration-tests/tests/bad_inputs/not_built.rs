//! Cases that cannot be made, because there is nothing to send them to, or no way to bring them about from outside.

/// What there is not, and the cases that are about it.
pub(crate) const FEATURES: &[(&str, &[&str])] = &[
    ("HTTP/2 without TLS", &["T27"]),
    ("list of Debian's weak keys", &["K09"]),
    ("public-suffix policy", &["O21"]),
    ("policy that denies names", &["O30"]),
    (
        "signer of acmed's that can be slow or away, unlike the library's (its own tests have these)",
        &["F03", "F48"],
    ),
    ("management console", &["M01", "M02", "M03", "M04", "M05", "M07"]),
];
