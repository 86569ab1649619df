-- Times are milliseconds since 1970. Ids are their 16 bytes, not the 22 characters that URLs show: bytes sort as the
-- ids do, and they are in every key and index here. README.md has the expression that prints them.
-- "Cell": bytes that coyote-storage may have sealed (its module `sealing` says in which form). A plain one is the value
-- behind a newline: convert_from(chain, 'UTF8') prints it.
-- Facts, no statuses: the rules in coyote-storage conclude a status from these columns.
-- JSON is TEXT: nothing asks for what is in it, and it has to come back as it went in.
-- Text that is sorted or is a key is COLLATE "C": by its bytes, whatever the database's language.

-- Who may ask for certificates.
CREATE TABLE accounts (
    id               BYTEA  NOT NULL PRIMARY KEY CHECK (octet_length(id) = 16),
    directory        TEXT   COLLATE "C" NOT NULL, -- the same key may have an account in each directory
    thumbprint       TEXT   COLLATE "C" NOT NULL, -- RFC 7638, SHA-256, of the key; what a request finds its account by
    key              TEXT   NOT NULL, -- the public key, as JWK
    contact          BYTEA  NOT NULL, -- cell: a JSON array of URLs
    terms_agreed     BIGINT,          -- when its holder last agreed to the terms of service
    external_account TEXT,            -- JSON: the key identifier and the verified binding of RFC 8555 7.3.4
    created          BIGINT NOT NULL,
    deactivated      BIGINT,          -- when its holder closed it
    revoked          BIGINT,          -- when the operator did
    UNIQUE (directory, thumbprint)
);

-- Keys that the operator handed out, to open accounts with. RFC 8555 7.3.4.
CREATE TABLE external_account_keys (
    directory     TEXT   COLLATE "C" NOT NULL, -- where they open accounts
    kid           TEXT   COLLATE "C" NOT NULL, -- what the client names the key by
    secret        BYTEA  NOT NULL, -- cell: what the MAC is made with
    comment       BYTEA  NOT NULL, -- cell: whom it was given to, in the operator's words
    created       BIGINT NOT NULL,
    expires       BIGINT,          -- from then on it opens no account
    most_accounts BIGINT,          -- how many it opens
    accounts      BIGINT NOT NULL, -- how many it has opened
    domains       TEXT   NOT NULL, -- a JSON array: what its accounts may have certificates for; empty for all
    revoked       BIGINT,          -- when the operator took it back
    PRIMARY KEY (directory, kid),
    CHECK (accounts >= 0 AND most_accounts >= 0)
);

-- Requests for a certificate each.
CREATE TABLE orders (
    id             BYTEA  NOT NULL PRIMARY KEY CHECK (octet_length(id) = 16),
    account_id     BYTEA  NOT NULL REFERENCES accounts (id),
    identifiers    TEXT   NOT NULL, -- a JSON array of {"type", "value"}, in the order in which they were asked for
    profile        TEXT,
    not_before     BIGINT,          -- what was asked for, not what was granted
    not_after      BIGINT,
    replaces       BYTEA,           -- the certificate that the new one replaces; not a reference, as it may go first
    created        BIGINT NOT NULL,
    expires        BIGINT NOT NULL,
    csr            BYTEA,           -- cell: the PKCS#10 request, DER, once it is accepted
    serial         TEXT   COLLATE "C", -- the serial number that may be signed with now; all of them are in serials
    began          BIGINT,          -- when the CSR was accepted
    certificate_id BYTEA,           -- once it is issued; not a reference, as the certificate refers to the order
    error          TEXT,            -- JSON: the problem document that says why there will be no certificate
    CHECK ((csr IS NULL) = (began IS NULL) AND (serial IS NULL) = (began IS NULL)),
    CHECK (certificate_id IS NULL OR error IS NULL)
);
-- An account's list of orders, the newest first. RFC 8555 7.1.2.1.
CREATE INDEX orders_of_account ON orders (account_id, created DESC, id);
-- How many of an account are open is counted from this index.
CREATE INDEX orders_open ON orders (account_id, expires) WHERE certificate_id IS NULL AND error IS NULL;
-- What a sweep looks for: those in processing, and those that came to nothing.
CREATE INDEX orders_under_way ON orders (began) WHERE began IS NOT NULL AND certificate_id IS NULL AND error IS NULL;
CREATE INDEX orders_unissued ON orders (expires) WHERE certificate_id IS NULL;

-- Rights to certificates for one identifier each, or chances to earn them.
CREATE TABLE authorizations (
    id          BYTEA   NOT NULL PRIMARY KEY CHECK (octet_length(id) = 16),
    account_id  BYTEA   NOT NULL REFERENCES accounts (id),
    identifier  TEXT    COLLATE "C" NOT NULL, -- 'dns:example.org', 'dns:*.example.org', 'ip:192.0.2.1'
    created     BIGINT  NOT NULL,
    expires     BIGINT  NOT NULL,
    challenges  TEXT    NOT NULL,            -- a JSON array, in the order in which they are offered
    deactivated BIGINT,                      -- when its account gave it up
    revoked     BIGINT,                      -- when the server took it back
    validated   BIGINT,                      -- when control was proved; copied out of challenges, for the index
    owed        BOOLEAN NOT NULL,            -- true while the end of a validation is awaited; likewise
    orphaned    BOOLEAN NOT NULL,            -- true while it is in no order: from birth, or once the last is removed
    version     BIGINT  NOT NULL DEFAULT 0   -- counts the updates: each says which one it has read
);
-- The one that holds longest for an identifier is the first entry.
CREATE INDEX authorizations_held ON authorizations (account_id, identifier, expires DESC, id)
    WHERE validated IS NOT NULL AND deactivated IS NULL AND revoked IS NULL;
-- What a sweep looks for.
CREATE INDEX authorizations_under_way ON authorizations (expires, id) WHERE owed;
CREATE INDEX authorizations_orphaned ON authorizations (expires) WHERE orphaned;
-- How many of an account are in no order is counted from this index.
CREATE INDEX authorizations_alone ON authorizations (account_id, expires) WHERE orphaned;

-- Which authorizations an order needs. An authorization may serve many orders.
CREATE TABLE order_authorizations (
    order_id         BYTEA  NOT NULL REFERENCES orders (id),
    position         BIGINT NOT NULL, -- that of the identifier in the order
    authorization_id BYTEA  NOT NULL REFERENCES authorizations (id),
    PRIMARY KEY (order_id, position)
);
CREATE INDEX order_authorizations_by_authorization ON order_authorizations (authorization_id);

-- Every serial number that was ever to be signed with, for ever: it outlives the order and the certificate.
CREATE TABLE serials (
    serial   TEXT   COLLATE "C" NOT NULL PRIMARY KEY, -- lower-case hexadecimal, two digits an octet
    order_id BYTEA  NOT NULL,            -- not a reference, as the order will be removed
    reserved BIGINT NOT NULL             -- when
);

-- What was issued.
CREATE TABLE certificates (
    id                BYTEA    NOT NULL PRIMARY KEY CHECK (octet_length(id) = 16),
    account_id        BYTEA    NOT NULL REFERENCES accounts (id),
    order_id          BYTEA    NOT NULL UNIQUE REFERENCES orders (id), -- one certificate an order at most
    serial            TEXT     COLLATE "C" NOT NULL UNIQUE, -- not a reference, as another CA that signs for us chooses its own
    not_before        BIGINT   NOT NULL,
    not_after         BIGINT   NOT NULL,
    chain             BYTEA    NOT NULL, -- cell: PEM, leaf first, byte for byte what the client is given
    alternates        BYTEA    NOT NULL, -- cell: a JSON array of other chains
    issued            BIGINT   NOT NULL,
    revoked           BIGINT,            -- when
    revocation_reason SMALLINT,          -- the reasonCode of RFC 5280 5.3.1
    issuer_told       BIGINT,            -- when the issuer knew of that: it was told, or did not need to be
    issuer_refused    BIGINT,            -- when telling it was given up
    replaced_by       BYTEA,             -- the latest order that is to replace it; not a reference, as it may go first
    CHECK ((revoked IS NULL) = (revocation_reason IS NULL)),
    CHECK (revoked IS NOT NULL OR (issuer_told IS NULL AND issuer_refused IS NULL))
);
-- A CRL is read from this index alone.
CREATE INDEX certificates_revoked ON certificates (serial, not_after, revoked, revocation_reason)
    WHERE revoked IS NOT NULL;
CREATE INDEX certificates_expired ON certificates (not_after);
-- What a sweep looks for: revocations that the issuer has still to be told of.
CREATE INDEX certificates_untold ON certificates (revoked)
    WHERE revoked IS NOT NULL AND issuer_told IS NULL AND issuer_refused IS NULL;

-- Work that the server owes: one row a job, written with the state that made it due. Rows come and go: the table is
-- to be vacuumed long before a fifth of it is dead.
CREATE TABLE jobs (
    id            BYTEA  NOT NULL PRIMARY KEY CHECK (octet_length(id) = 16), -- the bits of the challenge, order or certificate: one job for it at most
    directory     TEXT   COLLATE "C" NOT NULL, -- whose server does it
    kind          TEXT   COLLATE "C" NOT NULL CHECK (kind IN ('validate', 'issue', 'revoke')), -- each has its own workers
    work          TEXT   NOT NULL,             -- JSON: the ids of what to work on; never a copy of its state
    due           BIGINT NOT NULL,             -- backoff moves this, so it survives a restart
    attempts      BIGINT NOT NULL CHECK (attempts >= 0), -- counted when claimed: a job that kills the process uses them up
    lease_token   BYTEA,                       -- whoever knows it may settle the job
    lease_expires BIGINT,                      -- until then
    CHECK ((lease_token IS NULL) = (lease_expires IS NULL))
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);
-- A claim takes from the front, past the jobs that are at work.
CREATE INDEX jobs_by_due ON jobs (directory, kind, due, id);
-- As long as the number of jobs at work.
CREATE INDEX jobs_leased ON jobs (directory, lease_expires) WHERE lease_expires IS NOT NULL;

-- Who changed what, written with the change.
CREATE TABLE audit (
    seq     BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, -- the order in which they were written; a copy has its own
    at      BIGINT NOT NULL,
    request BYTEA  NOT NULL,             -- the request or run of a job
    actor   TEXT   NOT NULL,             -- JSON: on whose behalf
    client  TEXT,                        -- the address that the request came from
    subject TEXT   COLLATE "C" NOT NULL, -- the id, as URLs show it, of the account, key, order or certificate
    event   TEXT   NOT NULL              -- JSON: what changed
);
CREATE INDEX audit_by_subject ON audit (subject, seq);
CREATE INDEX audit_by_time ON audit (at, seq);

-- What attempts saw, step by step, written with what came of them.
CREATE TABLE traces (
    seq      BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- the order in which they were written
    at       BIGINT NOT NULL,             -- when the attempt began
    request  BYTEA  NOT NULL,             -- the run of the job, which clients are told
    kind     TEXT   COLLATE "C" NOT NULL, -- 'authorization' or 'order': what the attempt was about
    subject  TEXT   COLLATE "C" NOT NULL, -- its id, as URLs show it
    names    TEXT   COLLATE "C" NOT NULL, -- the names that it was about, separated by spaces
    timeline TEXT   NOT NULL              -- JSON: the steps
);
CREATE INDEX traces_by_request ON traces (request, seq);
CREATE INDEX traces_by_subject ON traces (subject, seq);
CREATE INDEX traces_by_names ON traces USING hash (names); -- an order has so many that no other index would take them
CREATE INDEX traces_by_time ON traces (at, seq);

-- Nonces that were accepted. What was issued is not here: a nonce proves that itself.
CREATE TABLE used_nonces (
    id      BYTEA  NOT NULL PRIMARY KEY, -- what tells it from all others, 12 bytes
    expires BIGINT NOT NULL              -- from then on it is refused for its age, and need not be remembered
);
CREATE INDEX used_nonces_expired ON used_nonces (expires);

-- How much of each quota is used.
CREATE TABLE rate_limits (
    key     TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    arrival BIGINT NOT NULL -- the theoretical arrival time: when the quota is whole again
);
CREATE INDEX rate_limits_idle ON rate_limits (arrival);

-- What this database has made for itself, and all replicas share.
CREATE TABLE settings (
    name  TEXT  COLLATE "C" NOT NULL PRIMARY KEY, -- 'nonce_key'; 'standing', where it stands in a move; 'sealing_key:' and an id, for each key that cells are sealed under
    value BYTEA NOT NULL                          -- cell; of 'standing', JSON
);

-- A statement that changes a row hands this the number of rows that it found as they had been read. If that is not one,
-- the transaction fails on the spot, as a serialization failure, and is run again: so a COMMIT can be sent together
-- with the statement, without waiting for the number.
CREATE FUNCTION require_one(changed BIGINT) RETURNS BIGINT LANGUAGE plpgsql AS $$
BEGIN
    IF changed <> 1 THEN
        RAISE EXCEPTION 'the row was changed meanwhile' USING ERRCODE = 'serialization_failure';
    END IF;
    RETURN changed;
END
$$;

-- What every table but settings has as a trigger while the database is not in service; the reason is its argument.
CREATE FUNCTION refuse_write() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', TG_ARGV[0];
END
$$;
