//! What can happen.

use proptest::{collection::vec, prelude::*, sample::Index};

use super::seed::{ACCOUNTS, CERTIFICATES, KIDS, NAMES, ORDERS, OWNERS, SERIALS, owner};

/// One step. Numbers are seeds of ids.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Wait {
        minutes: u32,
    },
    CreateAccount {
        id: u64,
        key: u64,
        directory: u64,
        kid: Option<u64>,
    },
    Account {
        id: u64,
        directory: u64,
    },
    AccountByKey {
        key: u64,
        directory: u64,
    },
    UpdateAccount {
        id: u64,
        contact: bool,
        agree: bool,
        deactivate: bool,
    },
    ChangeKey {
        id: u64,
        old: u64,
        new: u64,
    },
    CreateKey {
        kid: u64,
        directory: u64,
        most_accounts: Option<u32>,
        days: Option<u32>,
    },
    Key {
        kid: u64,
        directory: u64,
    },
    Keys {
        directory: u64,
        after: Option<u64>,
        limit: u32,
    },
    RevokeKey {
        kid: u64,
        directory: u64,
    },
    CreateOrder {
        id: u64,
        account: u64,
        names: Vec<usize>,
        reused: Vec<(u64, u64)>,
        replaces: Option<u64>,
        most_open: u32,
    },
    Order {
        id: u64,
        account: u64,
    },
    Orders {
        account: u64,
        after: Option<u64>,
        limit: u32,
    },
    Authorization {
        order: u64,
        name: u64,
        account: u64,
    },
    CreateAuthorization {
        order: u64,
        name: u64,
        account: u64,
        identifier: usize,
        most_alone: u32,
    },
    Reusable {
        account: u64,
        names: Vec<usize>,
        days: u32,
    },
    BeginValidation {
        order: u64,
        name: u64,
        challenge: u64,
        account: u64,
        lease: Option<u32>,
    },
    RetryValidation {
        lease: Index,
        minutes: u32,
    },
    FinishValidation {
        lease: Index,
        valid: bool,
    },
    Deactivate {
        order: u64,
        name: u64,
        account: u64,
    },
    BeginIssuance {
        order: u64,
        account: u64,
        serial: u64,
        lease: Option<u32>,
    },
    ReserveSerial {
        lease: Index,
        serial: u64,
    },
    FinishIssuance {
        lease: Index,
        certificate: Option<u64>,
        serial: u64,
    },
    ReservedSerial {
        serial: u64,
    },
    Certificate {
        id: u64,
        account: u64,
    },
    CertificateBySerial {
        serial: u64,
    },
    Revoke {
        id: u64,
        key_compromise: bool,
        telling: Option<Option<u32>>,
    },
    FinishRevocation {
        lease: Index,
        told: bool,
    },
    Revocations {
        after: Option<u64>,
        limit: u32,
    },
    Claim {
        directory: u64,
        limit: u32,
        minutes: u32,
    },
    Renew {
        lease: Index,
        minutes: u32,
    },
    Release {
        lease: Index,
        minutes: u32,
    },
    NextDue {
        directory: u64,
    },
    Sweep {
        expired_days: u32,
        issued_days: u32,
        audit_days: u32,
    },
    Audit {
        account: Option<u64>,
        limit: u32,
    },
    Take {
        key: u64,
        amount: u32,
        cost: u32,
    },
    /// The beginning of an issuance, or all of it: few random sequences get that far.
    Issue {
        order: u64,
        account: u64,
        serial: u64,
        replaces: Option<u64>,
        commits: u32,
    },
}

pub(super) fn steps() -> impl Strategy<Value = Step> {
    use Step::*;

    let id = || prop_oneof![4 => 0..OWNERS, 1 => 0..ACCOUNTS];
    let order = || 0..ORDERS;
    // An order and who asks for it, usually the one whose it is.
    let own = || {
        (order(), prop::option::weighted(0.2, id())).prop_map(|(order, other)| (order, owner(order, other)))
    };
    let names = || vec(0..NAMES.len(), 1..3);
    let lease = || prop::option::weighted(0.8, 0..20u32);
    let index = any::<Index>;
    let kid = || prop::option::weighted(0.4, 0..KIDS);
    let replaces = || prop::option::weighted(0.3, 0..CERTIFICATES);
    let room = || prop_oneof![1 => 0..4u32, 1 => Just(100)];
    let accounts = prop_oneof![
        3 => (id(), 0..4u64, 0..2u64, kid()).prop_map(
            |(id, key, directory, kid)| CreateAccount { id, key, directory, kid }
        ),
        1 => (id(), 0..2u64).prop_map(|(id, directory)| Account { id, directory }),
        1 => (0..4u64, 0..2u64).prop_map(|(key, directory)| AccountByKey { key, directory }),
        1 => (id(), any::<bool>(), any::<bool>(), prop::bool::weighted(0.05)).prop_map(
            |(id, contact, agree, deactivate)| UpdateAccount { id, contact, agree, deactivate }
        ),
        1 => (id(), 0..4u64, 0..4u64).prop_map(|(id, old, new)| ChangeKey { id, old, new }),
    ];
    let keys = prop_oneof![
        3 => (0..KIDS, 0..2u64, prop::option::of(0..3u32), prop::option::of(0..10u32)).prop_map(
            |(kid, directory, most_accounts, days)| CreateKey { kid, directory, most_accounts, days }
        ),
        1 => (0..KIDS, 0..2u64).prop_map(|(kid, directory)| Key { kid, directory }),
        1 => (0..2u64, prop::option::of(0..KIDS), 0..4u32).prop_map(
            |(directory, after, limit)| Keys { directory, after, limit }
        ),
        1 => (0..KIDS, 0..2u64).prop_map(|(kid, directory)| RevokeKey { kid, directory }),
    ];
    let orders = prop_oneof![
        3 => (own(), names(), vec((order(), 0..2u64), 0..2), replaces(), room()).prop_map(
            |((id, account), names, reused, replaces, most_open)| {
                CreateOrder { id, account, names, reused, replaces, most_open }
            }
        ),
        1 => own().prop_map(|(id, account)| Order { id, account }),
        1 => (id(), prop::option::of(order()), 0..4u32).prop_map(
            |(account, after, limit)| Orders { account, after, limit }
        ),
        2 => (own(), 0..SERIALS, lease()).prop_map(
            |((order, account), serial, lease)| BeginIssuance { order, account, serial, lease }
        ),
        2 => (index(), prop::option::weighted(0.7, 0..CERTIFICATES), 0..SERIALS).prop_map(
            |(lease, certificate, serial)| FinishIssuance { lease, certificate, serial }
        ),
        8 => (own(), 0..SERIALS, replaces(), 0..4u32).prop_map(
            |((order, account), serial, replaces, commits)| Issue { order, account, serial, replaces, commits }
        ),
    ];
    let authorizations = prop_oneof![
        1 => (own(), 0..2u64).prop_map(|((order, account), name)| Authorization { order, name, account }),
        3 => (own(), 0..2u64, 0..NAMES.len(), room()).prop_map(
            |((order, account), name, identifier, most_alone)| {
                CreateAuthorization { order, name, account, identifier, most_alone }
            }
        ),
        1 => (id(), names(), 0..40u32).prop_map(|(account, names, days)| Reusable { account, names, days }),
        4 => (own(), 0..2u64, 1..3u64, lease()).prop_map(
            |((order, account), name, challenge, lease)| {
                BeginValidation { order, name, challenge, account, lease }
            }
        ),
        2 => (index(), 0..5u32).prop_map(|(lease, minutes)| RetryValidation { lease, minutes }),
        3 => (index(), any::<bool>()).prop_map(|(lease, valid)| FinishValidation { lease, valid }),
        1 => (own(), 0..2u64).prop_map(|((order, account), name)| Deactivate { order, name, account }),
    ];
    let certificates = prop_oneof![
        1 => (index(), 0..SERIALS).prop_map(|(lease, serial)| ReserveSerial { lease, serial }),
        1 => (0..SERIALS).prop_map(|serial| ReservedSerial { serial }),
        1 => (0..CERTIFICATES, id()).prop_map(|(id, account)| Certificate { id, account }),
        1 => (0..SERIALS).prop_map(|serial| CertificateBySerial { serial }),
        3 => (0..CERTIFICATES, any::<bool>(), prop::option::of(prop::option::of(0..20u32))).prop_map(
            |(id, key_compromise, telling)| Revoke { id, key_compromise, telling }
        ),
        3 => (index(), any::<bool>()).prop_map(|(lease, told)| FinishRevocation { lease, told }),
        1 => (prop::option::of(0..SERIALS), 0..4u32).prop_map(|(after, limit)| Revocations { after, limit }),
    ];
    let jobs = prop_oneof![
        3 => (prop_oneof![4 => Just(0u64), 1 => Just(1)], 0..4u32, 0..20u32).prop_map(
            |(directory, limit, minutes)| Claim { directory, limit, minutes }
        ),
        1 => (index(), 0..30u32).prop_map(|(lease, minutes)| Renew { lease, minutes }),
        1 => (index(), 0..5u32).prop_map(|(lease, minutes)| Release { lease, minutes }),
        1 => (0..2u64).prop_map(|directory| NextDue { directory }),
    ];
    let others = prop_oneof![
        3 => prop_oneof![6 => 0..4u32, 1 => 0..60 * 24 * 20u32].prop_map(|minutes| Wait { minutes }),
        1 => (0..200u32, 0..200u32, 0..20u32).prop_map(
            |(expired_days, issued_days, audit_days)| Sweep { expired_days, issued_days, audit_days }
        ),
        1 => (prop::option::of(id()), 0..20u32).prop_map(|(account, limit)| Audit { account, limit }),
        1 => (0..2u64, 0..3u32, 0..3u32).prop_map(|(key, amount, cost)| Take { key, amount, cost }),
    ];
    prop_oneof![2 => accounts, 1 => keys, 3 => orders, 3 => authorizations, 1 => certificates, 2 => jobs, 2 => others]
}
