//! Cases that cannot be made, because there is nothing to send them to, or no way to bring them about from outside.

/// What there is not, and the cases that are about it.
pub(crate) const FEATURES: &[(&str, &[&str])] = &[
    ("rate limits", &["T22", "A15", "O35"]),
    ("HTTP/2 without TLS", &["T27"]),
    ("list of Debian's weak keys", &["K09"]),
    ("external account binding", &["A20", "A21", "A22", "A24", "A25", "A26", "A27", "A28"]),
    ("public-suffix policy", &["O21"]),
    ("policy that denies names", &["O30"]),
    ("renewal information (ARI)", &["O37"]),
    ("signer that can be slow or away", &["F03", "F48"]),
    ("DNSSEC validation", &["V37"]),
    ("CAA checking", &["F46", "V70", "V71", "V72", "V73", "V74", "V75", "V77"]),
    ("management console", &["M01", "M02", "M03", "M04", "M05", "M07"]),
];
