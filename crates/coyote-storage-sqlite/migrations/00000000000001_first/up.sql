-- Times are milliseconds since 1970. Ids are their 16 bytes, not the 22 characters that URLs show: bytes sort as the
-- ids do, and they are in every key and index here. README.md has the expression that prints them.
-- "Cell": bytes that coyote-storage may have sealed (its module `sealing` says in which form). A plain one is the value
-- behind a newline: CAST(chain AS TEXT) prints it.
-- Facts, no statuses: the rules in coyote-storage conclude a status from these columns.
-- Small rows are kept in their key (WITHOUT ROWID); rows of a kilobyte are not, as random keys would spread the
-- writes of one commit over as many pages.

-- Who may ask for certificates.
CREATE TABLE accounts (
    id               BLOB    NOT NULL PRIMARY KEY,
    directory        TEXT    NOT NULL, -- the same key may have an account in each directory
    thumbprint       TEXT    NOT NULL, -- RFC 7638, SHA-256, of the key; what a request finds its account by
    key              TEXT    NOT NULL, -- the public key, as JWK
    contact          BLOB    NOT NULL, -- cell: a JSON array of URLs
    terms_agreed     INTEGER,          -- when its holder last agreed to the terms of service
    external_account TEXT,             -- JSON: the key identifier and the verified binding of RFC 8555 7.3.4
    created          INTEGER NOT NULL,
    deactivated      INTEGER,          -- when its holder closed it
    revoked          INTEGER,          -- when the operator did
    UNIQUE (directory, thumbprint)
) STRICT;

-- Keys that the operator handed out, to open accounts with. RFC 8555 7.3.4.
CREATE TABLE external_account_keys (
    directory     TEXT    NOT NULL, -- where they open accounts
    kid           TEXT    NOT NULL, -- what the client names the key by
    secret        BLOB    NOT NULL, -- cell: what the MAC is made with
    comment       BLOB    NOT NULL, -- cell: whom it was given to, in the operator's words
    created       INTEGER NOT NULL,
    expires       INTEGER,          -- from then on it opens no account
    most_accounts INTEGER,          -- how many it opens
    accounts      INTEGER NOT NULL, -- how many it has opened
    domains       TEXT    NOT NULL, -- a JSON array: what its accounts may have certificates for; empty for all
    revoked       INTEGER,          -- when the operator took it back
    PRIMARY KEY (directory, kid)
) STRICT, WITHOUT ROWID;

-- Requests for a certificate each.
CREATE TABLE orders (
    id             BLOB    NOT NULL PRIMARY KEY,
    account_id     BLOB    NOT NULL REFERENCES accounts (id),
    identifiers    TEXT    NOT NULL, -- a JSON array of {"type", "value"}, in the order in which they were asked for
    profile        TEXT,
    not_before     INTEGER,          -- what was asked for, not what was granted
    not_after      INTEGER,
    replaces       BLOB,             -- the certificate that the new one replaces; not a reference, as it may go first
    created        INTEGER NOT NULL,
    expires        INTEGER NOT NULL,
    csr            BLOB,             -- cell: the PKCS#10 request, DER, once it is accepted
    serial         TEXT,             -- the serial number that may be signed with now; all of them are in serials
    began          INTEGER,          -- when the CSR was accepted
    certificate_id BLOB,             -- once it is issued; not a reference, as the certificate refers to the order
    error          TEXT,             -- JSON: the problem document that says why there will be no certificate
    CHECK ((csr IS NULL) = (began IS NULL) AND (serial IS NULL) = (began IS NULL)),
    CHECK (certificate_id IS NULL OR error IS NULL)
) STRICT;
-- An account's list of orders, the newest first. RFC 8555 7.1.2.1.
CREATE INDEX orders_of_account ON orders (account_id, created DESC, id);
-- How many of an account are open is counted from this index alone: that is why it has the columns that are NULL.
CREATE INDEX orders_open ON orders (account_id, expires, certificate_id, error)
    WHERE certificate_id IS NULL AND error IS NULL;
-- What a sweep looks for: those in processing, and those that came to nothing.
CREATE INDEX orders_under_way ON orders (began) WHERE began IS NOT NULL AND certificate_id IS NULL AND error IS NULL;
CREATE INDEX orders_unissued ON orders (expires) WHERE certificate_id IS NULL;

-- Rights to certificates for one identifier each, or chances to earn them.
CREATE TABLE authorizations (
    id          BLOB    NOT NULL PRIMARY KEY,
    account_id  BLOB    NOT NULL REFERENCES accounts (id),
    identifier  TEXT    NOT NULL,            -- 'dns:example.org', 'dns:*.example.org', 'ip:192.0.2.1'
    created     INTEGER NOT NULL,
    expires     INTEGER NOT NULL,
    challenges  TEXT    NOT NULL,            -- a JSON array, in the order in which they are offered
    deactivated INTEGER,                     -- when its account gave it up
    revoked     INTEGER,                     -- when the server took it back
    validated   INTEGER,                     -- when control was proved; copied out of challenges, for the index
    owed        INTEGER NOT NULL,            -- 1 while the end of a validation is awaited; likewise
    orphaned    INTEGER NOT NULL,            -- 1 while it is in no order: from birth, or once the last is removed
    version     INTEGER NOT NULL DEFAULT 0   -- counts the updates: each says which one it has read
) STRICT;
-- The one that holds longest for an identifier is the first entry.
CREATE INDEX authorizations_held ON authorizations (account_id, identifier, expires DESC, id)
    WHERE validated IS NOT NULL AND deactivated IS NULL AND revoked IS NULL;
-- What a sweep looks for.
CREATE INDEX authorizations_under_way ON authorizations (expires, id) WHERE owed;
CREATE INDEX authorizations_orphaned ON authorizations (expires) WHERE orphaned;
-- How many of an account are in no order is counted from this index alone, likewise.
CREATE INDEX authorizations_alone ON authorizations (account_id, expires, orphaned)
    WHERE orphaned;

-- Which authorizations an order needs. An authorization may serve many orders.
CREATE TABLE order_authorizations (
    order_id         BLOB    NOT NULL REFERENCES orders (id),
    position         INTEGER NOT NULL, -- that of the identifier in the order
    authorization_id BLOB    NOT NULL REFERENCES authorizations (id),
    PRIMARY KEY (order_id, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX order_authorizations_by_authorization ON order_authorizations (authorization_id);

-- Every serial number that was ever to be signed with, for ever: it outlives the order and the certificate.
CREATE TABLE serials (
    serial   TEXT    NOT NULL PRIMARY KEY, -- lower-case hexadecimal, two digits an octet
    order_id BLOB    NOT NULL,             -- not a reference, as the order will be removed
    reserved INTEGER NOT NULL              -- when
) STRICT, WITHOUT ROWID;

-- What was issued.
CREATE TABLE certificates (
    id                BLOB    NOT NULL PRIMARY KEY,
    account_id        BLOB    NOT NULL REFERENCES accounts (id),
    order_id          BLOB    NOT NULL UNIQUE REFERENCES orders (id), -- one certificate an order at most
    serial            TEXT    NOT NULL UNIQUE, -- not a reference, as another CA that signs for us chooses its own
    not_before        INTEGER NOT NULL,
    not_after         INTEGER NOT NULL,
    chain             BLOB    NOT NULL, -- cell: PEM, leaf first, byte for byte what the client is given
    alternates        BLOB    NOT NULL, -- cell: a JSON array of other chains
    issued            INTEGER NOT NULL,
    revoked           INTEGER,          -- when
    revocation_reason INTEGER,          -- the reasonCode of RFC 5280 5.3.1
    issuer_told       INTEGER,          -- when the issuer knew of that: it was told, or did not need to be
    issuer_refused    INTEGER,          -- when telling it was given up
    replaced_by       BLOB,             -- the latest order that is to replace it; not a reference, as it may go first
    CHECK ((revoked IS NULL) = (revocation_reason IS NULL)),
    CHECK (revoked IS NOT NULL OR (issuer_told IS NULL AND issuer_refused IS NULL))
) STRICT;
-- A CRL is read from this index alone.
CREATE INDEX certificates_revoked ON certificates (serial, not_after, revoked, revocation_reason)
    WHERE revoked IS NOT NULL;
CREATE INDEX certificates_expired ON certificates (not_after);
-- What a sweep looks for: revocations that the issuer has still to be told of.
CREATE INDEX certificates_untold ON certificates (revoked)
    WHERE revoked IS NOT NULL AND issuer_told IS NULL AND issuer_refused IS NULL;

-- Work that the server owes: one row a job, written with the state that made it due.
CREATE TABLE jobs (
    id            BLOB    NOT NULL PRIMARY KEY, -- the bits of the challenge, order or certificate: one job for it at most
    directory     TEXT    NOT NULL,             -- whose server does it
    kind          TEXT    NOT NULL,             -- 'validate', 'issue' or 'revoke': each has its own workers
    work          TEXT    NOT NULL,             -- JSON: the ids of what to work on; never a copy of its state
    due           INTEGER NOT NULL,             -- backoff moves this, so it survives a restart
    attempts      INTEGER NOT NULL,             -- counted when claimed: a job that kills the process uses them up
    lease_token   BLOB,                         -- whoever knows it may settle the job
    lease_expires INTEGER,                      -- until then
    CHECK ((lease_token IS NULL) = (lease_expires IS NULL))
) STRICT, WITHOUT ROWID;
-- A claim takes from the front of the first; the second is as long as the number of jobs at work.
CREATE INDEX jobs_waiting ON jobs (directory, kind, due, id) WHERE lease_expires IS NULL;
CREATE INDEX jobs_leased ON jobs (directory, lease_expires) WHERE lease_expires IS NOT NULL;

-- Who changed what, written with the change.
CREATE TABLE audit (
    seq     INTEGER NOT NULL PRIMARY KEY, -- the order in which they were written
    at      INTEGER NOT NULL,
    request BLOB    NOT NULL,             -- the request or run of a job
    actor   TEXT    NOT NULL,             -- JSON: on whose behalf
    client  TEXT,                         -- the address that the request came from
    subject TEXT    NOT NULL,             -- the id, as URLs show it, of the account, key, order or certificate
    event   TEXT    NOT NULL              -- JSON: what changed
) STRICT;
CREATE INDEX audit_by_subject ON audit (subject); -- and by seq, which every index ends with
CREATE INDEX audit_by_time ON audit (at);

-- What attempts saw, step by step, written with what came of them.
CREATE TABLE traces (
    seq      INTEGER NOT NULL PRIMARY KEY, -- the order in which they were written
    at       INTEGER NOT NULL,             -- when the attempt began
    request  BLOB    NOT NULL,             -- the run of the job, which clients are told
    kind     TEXT    NOT NULL,             -- 'authorization' or 'order': what the attempt was about
    subject  TEXT    NOT NULL,             -- its id, as URLs show it
    names    TEXT    NOT NULL,             -- the names that it was about, separated by spaces
    timeline TEXT    NOT NULL              -- JSON: the steps
) STRICT;
CREATE INDEX traces_by_request ON traces (request); -- and by seq, which every index ends with
CREATE INDEX traces_by_subject ON traces (subject);
CREATE INDEX traces_by_names ON traces (names);
CREATE INDEX traces_by_time ON traces (at);

-- Nonces that were accepted. What was issued is not here: a nonce proves that itself.
CREATE TABLE used_nonces (
    id      BLOB    NOT NULL PRIMARY KEY, -- what tells it from all others, 12 bytes
    expires INTEGER NOT NULL              -- from then on it is refused for its age, and need not be remembered
) STRICT, WITHOUT ROWID;
CREATE INDEX used_nonces_expired ON used_nonces (expires);

-- How much of each quota is used.
CREATE TABLE rate_limits (
    key     TEXT    NOT NULL PRIMARY KEY,
    arrival INTEGER NOT NULL -- the theoretical arrival time: when the quota is whole again
) STRICT, WITHOUT ROWID;
CREATE INDEX rate_limits_idle ON rate_limits (arrival);

-- What this database has made for itself.
CREATE TABLE settings (
    name  TEXT NOT NULL PRIMARY KEY, -- 'nonce_key'; 'standing', where it stands in a move; 'sealing_key:' and an id, for each key that cells are sealed under
    value BLOB NOT NULL              -- cell; of 'standing', JSON
) STRICT, WITHOUT ROWID;
