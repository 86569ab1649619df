//! Cases that cannot be made, because there is nothing to send them to, or no way to bring them about from outside.

/// What there is not, and the cases that are about it.
pub(crate) const FEATURES: &[(&str, &[&str])] =
    &[("HTTP/2 without TLS", &["T27"]), ("management console", &["M01", "M02", "M03", "M04", "M05", "M07"])];
