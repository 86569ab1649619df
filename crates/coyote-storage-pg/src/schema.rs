//! The tables, as diesel knows them. What each column means is written in the migration.

use diesel::{allow_tables_to_appear_in_same_query, joinable, table};

table! {
    accounts (id) {
        id -> Binary,
        directory -> Text,
        thumbprint -> Text,
        key -> Text,
        contact -> Binary,
        terms_agreed -> Nullable<BigInt>,
        external_account -> Nullable<Text>,
        created -> BigInt,
        deactivated -> Nullable<BigInt>,
        revoked -> Nullable<BigInt>,
    }
}

table! {
    external_account_keys (directory, kid) {
        directory -> Text,
        kid -> Text,
        secret -> Binary,
        comment -> Binary,
        created -> BigInt,
        expires -> Nullable<BigInt>,
        most_accounts -> Nullable<BigInt>,
        accounts -> BigInt,
        domains -> Text,
        revoked -> Nullable<BigInt>,
    }
}

table! {
    orders (id) {
        id -> Binary,
        account_id -> Binary,
        identifiers -> Text,
        profile -> Nullable<Text>,
        not_before -> Nullable<BigInt>,
        not_after -> Nullable<BigInt>,
        replaces -> Nullable<Binary>,
        created -> BigInt,
        expires -> BigInt,
        csr -> Nullable<Binary>,
        serial -> Nullable<Text>,
        began -> Nullable<BigInt>,
        certificate_id -> Nullable<Binary>,
        error -> Nullable<Text>,
    }
}

table! {
    authorizations (id) {
        id -> Binary,
        account_id -> Binary,
        identifier -> Text,
        created -> BigInt,
        expires -> BigInt,
        challenges -> Text,
        deactivated -> Nullable<BigInt>,
        revoked -> Nullable<BigInt>,
        validated -> Nullable<BigInt>,
        owed -> Bool,
        orphaned -> Bool,
        version -> BigInt,
    }
}

table! {
    order_authorizations (order_id, position) {
        order_id -> Binary,
        position -> BigInt,
        authorization_id -> Binary,
    }
}

table! {
    serials (serial) {
        serial -> Text,
        order_id -> Binary,
        reserved -> BigInt,
    }
}

table! {
    certificates (id) {
        id -> Binary,
        account_id -> Binary,
        order_id -> Binary,
        serial -> Text,
        not_before -> BigInt,
        not_after -> BigInt,
        chain -> Binary,
        alternates -> Binary,
        issued -> BigInt,
        revoked -> Nullable<BigInt>,
        revocation_reason -> Nullable<SmallInt>,
        issuer_told -> Nullable<BigInt>,
        issuer_refused -> Nullable<BigInt>,
        replaced_by -> Nullable<Binary>,
    }
}

table! {
    jobs (id) {
        id -> Binary,
        directory -> Text,
        kind -> Text,
        work -> Text,
        due -> BigInt,
        attempts -> BigInt,
        lease_token -> Nullable<Binary>,
        lease_expires -> Nullable<BigInt>,
    }
}

table! {
    audit (seq) {
        seq -> BigInt,
        at -> BigInt,
        request -> Binary,
        actor -> Text,
        client -> Nullable<Text>,
        subject -> Text,
        event -> Text,
    }
}

table! {
    traces (seq) {
        seq -> BigInt,
        at -> BigInt,
        request -> Binary,
        kind -> Text,
        subject -> Text,
        names -> Text,
        timeline -> Text,
    }
}

table! {
    used_nonces (id) {
        id -> Binary,
        expires -> BigInt,
    }
}

table! {
    rate_limits (key) {
        key -> Text,
        arrival -> BigInt,
    }
}

table! {
    settings (name) {
        name -> Text,
        value -> Binary,
    }
}

joinable!(certificates -> accounts (account_id));
joinable!(certificates -> orders (order_id));
joinable!(order_authorizations -> authorizations (authorization_id));

allow_tables_to_appear_in_same_query!(order_authorizations, authorizations);
allow_tables_to_appear_in_same_query!(certificates, orders);
allow_tables_to_appear_in_same_query!(accounts, certificates);
allow_tables_to_appear_in_same_query!(certificates, jobs);
allow_tables_to_appear_in_same_query!(orders, jobs);
