-- What must never be found in coyote's PostgreSQL database: each row that this answers is a breach of an invariant, with
-- what breaks it. It reads only, and can be run while the server works: `scripts/check-invariants URL`.
--
-- Statuses are not here: none is stored, they follow from the facts. Changes over time cannot be seen in the rows; for
-- those, tests install history.sql beforehand.
SELECT invariant, offender FROM (
    -- A key has one account in a directory.
    SELECT 'I03 one account for a key' AS invariant, directory || ' ' || thumbprint AS offender
    FROM accounts GROUP BY directory, thumbprint HAVING count(*) > 1
    UNION ALL
    -- Work is a row, written with what made it due.
    SELECT 'I05 a promised certificate has a job, or an end', encode(o.id, 'hex')
    FROM orders o
    WHERE o.began IS NOT NULL AND o.certificate_id IS NULL AND o.error IS NULL
      AND NOT EXISTS (SELECT FROM jobs j WHERE j.id = o.id)
    UNION ALL
    SELECT 'I06 an order that was finalized had all authorizations valid', encode(o.id, 'hex')
    FROM orders o
    JOIN order_authorizations oa ON oa.order_id = o.id
    JOIN authorizations z ON z.id = oa.authorization_id
    WHERE o.began IS NOT NULL AND (z.validated IS NULL OR z.validated > o.began)
    UNION ALL
    SELECT 'I07 one certificate for an order', encode(order_id, 'hex')
    FROM certificates GROUP BY order_id HAVING count(*) > 1
    UNION ALL
    SELECT 'I07 one certificate for an order was issued', subject
    FROM audit WHERE event::json ->> 'event' = 'certificateIssued' GROUP BY subject HAVING count(*) > 1
    UNION ALL
    SELECT 'I07 an order and its certificate know each other', encode(c.id, 'hex')
    FROM certificates c JOIN orders o ON o.id = c.order_id
    WHERE o.certificate_id IS DISTINCT FROM c.id OR o.account_id <> c.account_id
    UNION ALL
    SELECT 'I07 a valid order has its certificate', encode(o.id, 'hex')
    FROM orders o
    WHERE o.certificate_id IS NOT NULL AND NOT EXISTS (SELECT FROM certificates c WHERE c.id = o.certificate_id)
    UNION ALL
    SELECT 'I08 each name had an authorization when it was signed', encode(c.id, 'hex')
    FROM certificates c
    JOIN order_authorizations oa ON oa.order_id = c.order_id
    JOIN authorizations z ON z.id = oa.authorization_id
    WHERE z.account_id <> c.account_id OR z.validated IS NULL OR z.validated > c.issued OR z.expires <= c.issued
       OR z.deactivated <= c.issued OR z.revoked <= c.issued
    UNION ALL
    SELECT 'I08 each name has an authorization', encode(o.id, 'hex')
    FROM orders o
    WHERE o.certificate_id IS NOT NULL
      AND json_array_length(o.identifiers::json)
          <> (SELECT count(*) FROM order_authorizations oa WHERE oa.order_id = o.id)
    UNION ALL
    SELECT 'I10 a serial is on record before it is signed with', c.serial
    FROM certificates c LEFT JOIN serials s ON s.serial = c.serial
    WHERE s.serial IS NULL OR s.order_id <> c.order_id OR s.reserved > c.issued
    UNION ALL
    SELECT 'I11 a serial is one certificate''s', serial FROM certificates GROUP BY serial HAVING count(*) > 1
    UNION ALL
    SELECT 'I11 a serial is positive, of 8 to 20 octets', serial
    FROM certificates WHERE serial !~ '^[0-7][0-9a-f]+$' OR length(serial) NOT BETWEEN 16 AND 40
    UNION ALL
    SELECT 'I12 a serial is issued once', event::json ->> 'serial'
    FROM audit WHERE event::json ->> 'event' = 'certificateIssued'
    GROUP BY event::json ->> 'serial' HAVING count(*) > 1
    UNION ALL
    SELECT 'I13 a certificate is revoked once', subject
    FROM audit WHERE event::json ->> 'event' = 'certificateRevoked' GROUP BY subject HAVING count(*) > 1
    UNION ALL
    SELECT 'I13 what was revoked and has not expired is revoked', x.subject
    FROM audit x JOIN certificates c ON translate(rtrim(encode(c.id, 'base64'), '='), '+/', '-_') = x.subject
    WHERE x.event::json ->> 'event' = 'certificateRevoked' AND c.revoked IS NULL
    UNION ALL
    SELECT 'I16 what was issued is there until it has expired', x.subject
    FROM audit x
    WHERE x.event::json ->> 'event' = 'certificateIssued'
      AND x.at > (extract(epoch FROM now()) - 3600) * 1000
      AND NOT EXISTS (SELECT FROM certificates c WHERE c.serial = x.event::json ->> 'serial')
) breaches
ORDER BY invariant, offender;
