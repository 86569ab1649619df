-- What only shows while it happens: triggers that write each change that must not be into the table `breaches`. For tests;
-- they cost a little at each write.
CREATE TABLE breaches (invariant TEXT NOT NULL, offender TEXT NOT NULL);

-- RFC 8555 7.1.6: an order goes from ready to processing to valid or invalid, and never back.
CREATE FUNCTION watch_order() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.certificate_id IS NOT NULL AND NEW.certificate_id IS DISTINCT FROM OLD.certificate_id)
       OR (OLD.error IS NOT NULL AND NEW.error IS DISTINCT FROM OLD.error)
       OR (OLD.began IS NOT NULL AND (NEW.began, NEW.csr) IS DISTINCT FROM (OLD.began, OLD.csr)) THEN
        INSERT INTO breaches VALUES ('I05 an order goes forward', encode(OLD.id, 'hex'));
    END IF;
    IF OLD.certificate_id IS NOT NULL AND NEW.serial IS DISTINCT FROM OLD.serial THEN
        INSERT INTO breaches VALUES ('I12 a serial that was signed with stays', encode(OLD.id, 'hex'));
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER watch BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION watch_order();

-- An authorization that is valid ends only by being given up, taken back or too old; one that is decided is not decided again.
CREATE FUNCTION watch_authorization() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.validated IS NOT NULL AND (NEW.validated, NEW.expires) IS DISTINCT FROM (OLD.validated, OLD.expires))
       OR (OLD.challenges LIKE '%"verdict":%' AND NEW.challenges NOT LIKE '%"verdict":%')
       OR (OLD.deactivated IS NOT NULL AND NEW.deactivated IS DISTINCT FROM OLD.deactivated)
       OR (OLD.revoked IS NOT NULL AND NEW.revoked IS DISTINCT FROM OLD.revoked) THEN
        INSERT INTO breaches VALUES ('I05 an authorization goes forward', encode(OLD.id, 'hex'));
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER watch BEFORE UPDATE ON authorizations FOR EACH ROW EXECUTE FUNCTION watch_authorization();

CREATE FUNCTION watch_certificate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.not_after > extract(epoch FROM now()) * 1000 THEN
            INSERT INTO breaches VALUES ('I14 a certificate is there until it has expired', OLD.serial);
        END IF;
        RETURN OLD;
    END IF;
    IF OLD.revoked IS NOT NULL AND (NEW.revoked IS NULL OR NEW.revoked <> OLD.revoked) THEN
        INSERT INTO breaches VALUES ('I13 a revocation stays', OLD.serial);
    END IF;
    IF (NEW.chain, NEW.alternates, NEW.serial, NEW.account_id, NEW.order_id)
       IS DISTINCT FROM (OLD.chain, OLD.alternates, OLD.serial, OLD.account_id, OLD.order_id) THEN
        INSERT INTO breaches VALUES ('I15 a certificate is the same octets for ever', OLD.serial);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER watch BEFORE UPDATE OR DELETE ON certificates FOR EACH ROW EXECUTE FUNCTION watch_certificate();

-- Serial numbers are kept for ever, each for its order.
CREATE FUNCTION watch_serial() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO breaches VALUES ('I10 a serial stays on record', OLD.serial);
    RETURN coalesce(NEW, OLD);
END $$;
CREATE TRIGGER watch BEFORE UPDATE OR DELETE ON serials FOR EACH ROW EXECUTE FUNCTION watch_serial();

-- A key that an account has given up never speaks for it again.
CREATE FUNCTION watch_account() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.thumbprint <> OLD.thumbprint AND EXISTS (
        SELECT FROM audit WHERE event::json ->> 'old' = NEW.thumbprint
                            AND subject = translate(rtrim(encode(OLD.id, 'base64'), '='), '+/', '-_')) THEN
        INSERT INTO breaches VALUES ('I04 a key that was given up does not come back', NEW.thumbprint);
    END IF;
    IF OLD.deactivated IS NOT NULL AND NEW.deactivated IS NULL THEN
        INSERT INTO breaches VALUES ('I05 a closed account stays closed', OLD.thumbprint);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER watch BEFORE UPDATE ON accounts FOR EACH ROW EXECUTE FUNCTION watch_account();
