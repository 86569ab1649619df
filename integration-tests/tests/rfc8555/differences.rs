//! What pebble does otherwise, and which sentence says so.

use crate::{promise::Promise, runner::Report};

/// A promise that pebble does not keep.
pub(crate) struct Difference {
    /// The promise.
    pub(crate) promise: &'static str,
    /// What pebble does, and why that differs.
    pub(crate) reason: &'static str,
}

/// Of pebble 2.4, as Debian 12 has it.
pub(crate) const DIFFERENCES: &[Difference] = &[
    Difference {
        promise: "TLS 1.1 is not spoken any more",
        reason: "speaks TLS 1.0 and 1.1, as Go's library did by default then. RFC 7525 section 3.1.1, which 6.1 recommends, has servers refuse them.",
    },
    Difference {
        promise: "EdDSA with Ed25519 is implemented",
        reason: "knows RSA and EC keys only: such a key is `badPublicKey`.",
    },
    Difference {
        promise: "an unsupported algorithm is badSignatureAlgorithm, 400",
        reason: "answers `malformed`.",
    },
    Difference {
        promise: "badSignatureAlgorithm comes with the algorithms that are supported",
        reason: "names them in the detail alone; there is no `algorithms`.",
    },
    Difference {
        promise: "an RSA key of 512 bits is badPublicKey, 400",
        reason: "takes it: it is for tests. 6.2 gives just this key as an example of one to reject.",
    },
    Difference {
        promise: "badPublicKey says what is wrong with the key",
        reason: "as above: there is no such error.",
    },
    Difference {
        promise: "a jwk that is not a point of its curve is badPublicKey, 400",
        reason: "answers `malformed`: its library cannot parse the key.",
    },
    Difference {
        promise: "another account's account, order, authorization and challenge cannot be read",
        reason: "lets every account read every account by its URL. 6.3 has it \"verify any access control rules\".",
    },
    Difference {
        promise: "a url that is another resource's is unauthorized",
        reason: "answers `malformed`, 400.",
    },
    Difference { promise: "a url of another host is unauthorized", reason: "answers `malformed`, 400." },
    Difference {
        promise: "a url that means the same, but is not the same string, is unauthorized",
        reason: "answers `malformed`, 400.",
    },
    Difference {
        promise: "a url with a query that the request does not have is unauthorized",
        reason: "answers `malformed`, 400.",
    },
    Difference {
        promise: "a url of an order that is another order's is unauthorized",
        reason: "answers `malformed`, 400.",
    },
    Difference {
        promise: "a nonce is spent by a request whose signature is wrong",
        reason: "verifies the signature first, and leaves the nonce good for another request. 6.5: \"Once a nonce value has appeared in an ACME request, the server MUST consider it invalid\".",
    },
    Difference {
        promise: "a nonce that is not base64url is malformed",
        reason: "answers `badNonce`: what it has not made, it does not look at. 6.5.2 says `malformed`.",
    },
    Difference {
        promise: "a challenge leads up to its authorization",
        reason: "sends the link with the answer to a response only, not when the challenge is read.",
    },
    Difference {
        promise: "a name that is no right A-label is refused",
        reason: "looks at the characters of a name, not at what `xn--` stands for.",
    },
    Difference {
        promise: "an order is invalid once one of its authorizations is deactivated",
        reason: "shows the order as `deactivated`, which no order is. 7.1.6 has it become `invalid`.",
    },
    Difference {
        promise: "what newNonce answers is not to be stored",
        reason: "sends `Cache-Control: public, max-age=0, no-cache`. 7.2 wants `no-store`.",
    },
    Difference { promise: "a mailto with header fields is refused", reason: "takes it." },
    Difference {
        promise: "updates of the status to anything but deactivated are ignored",
        reason: "refuses them, 400. 7.3.2 has them ignored.",
    },
    Difference {
        promise: "another account cannot update an account",
        reason: "does not compare the account of the URL with the one that signed, and updates the account that signed.",
    },
    Difference {
        promise: "a key that is in use is 409, with the URL of its account",
        reason: "answers 500 `serverInternal`.",
    },
    Difference {
        promise: "a POST of a deactivated account is unauthorized, 401",
        reason: "answers `unauthorized` with 403.",
    },
    Difference {
        promise: "a POST-as-GET of a deactivated account is unauthorized, 401",
        reason: "answers `unauthorized` with 403.",
    },
    Difference {
        promise: "a deactivation that another key has signed is refused",
        reason: "as above: it deactivates the account that signed, whatever the URL.",
    },
    Difference {
        promise: "an unknown type of identifier is unsupportedIdentifier",
        reason: "answers `malformed`.",
    },
    Difference {
        promise: "an order for what is no domain name is refused",
        reason: "takes names with empty labels.",
    },
    Difference {
        promise: "an order for a time that it cannot be for is refused",
        reason: "takes \"yesterday\". 7.4: \"The server MUST return an error if it cannot fulfill the request as specified\".",
    },
    Difference {
        promise: "names in the commonName alone are enough",
        reason: "looks for names in the subjectAltName only. 7.4: \"either in the commonName portion of the requested subject name or in an extensionRequest attribute\".",
    },
    Difference {
        promise: "a CSR whose commonName was not ordered is refused",
        reason: "does not look at the commonName.",
    },
    Difference {
        promise: "a CSR with a wrong signature is refused (RFC 2986 section 3)",
        reason: "does not verify the signature of a CSR.",
    },
    Difference {
        promise: "a CSR whose names are not the order's is badCSR",
        reason: "answers `unauthorized`, 403.",
    },
    Difference {
        promise: "members of the response that the challenge does not have are ignored",
        reason: "refuses one of them, `keyAuthorization`, which an early draft had, to make old clients heard. 7.5.1: \"The server MUST ignore any fields in the response object that are not specified\".",
    },
    Difference {
        promise: "an account that holds authorizations for all names of a certificate can revoke it",
        reason: "knows the account of the certificate and its key only, as its documentation says. 7.6 has this as a MUST.",
    },
    Difference {
        promise: "badRevocationReason says which reasons are allowed",
        reason: "says which one is not.",
    },
    Difference {
        promise: "a validation that fails at first is tried again after some time",
        reason: "gives up at once: it asks several times, and one wrong answer is final.",
    },
    Difference {
        promise: "white space at the end of the body is ignored",
        reason: "ignores line ends and tabs, but no blank before them.",
    },
];

/// What is known of a promise that pebble does not keep.
pub(crate) fn reason(promise: &Promise) -> Option<&'static str> {
    let listed = DIFFERENCES.iter().find(|difference| difference.promise == promise.text);
    listed.map(|difference| difference.reason)
}

/// Whether what pebble does not keep is just what is listed, as far as it was asked.
pub(crate) fn explained(report: &Report) -> bool {
    let new: Vec<_> = report.broken().filter(|(promise, _)| reason(promise).is_none()).collect();
    let is_broken = |text: &str| report.broken().any(|(promise, _)| promise.text == text);
    let was_asked = |text: &str| report.outcomes.iter().any(|(promise, _)| promise.text == text);
    let gone: Vec<_> = DIFFERENCES
        .iter()
        .filter(|difference| was_asked(difference.promise) && !is_broken(difference.promise))
        .collect();
    for (promise, _) in &new {
        println!("pebble differs, and that is not listed: {}, {}", promise.section, promise.text);
    }
    for difference in &gone {
        println!("pebble is listed to differ, and does not: {}", difference.promise);
    }
    println!("pebble: {} differences, {} not explained", report.total().broken, new.len() + gone.len());
    new.is_empty() && gone.is_empty()
}
