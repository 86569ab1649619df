use super::*;

/// The text with every key that is commented out put to use: `#key = value`, where prose has a space after the `#`.
fn uncommented(text: &str) -> String {
    let lines = text.lines().map(|line| match line.strip_prefix('#') {
        Some(key) if key.starts_with(|c: char| c.is_ascii_lowercase()) => key,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn parse(text: &str) -> Config {
    Config::parse(text).unwrap_or_else(|(line, error)| panic!("line {line}: {error}\n{text}"))
}

/// What the server makes of a configuration that leaves the default profile out or spells it out is the same.
fn spelled_out(mut config: Config) -> Config {
    config.profiles.entry(DEFAULT_PROFILE.into()).or_default();
    config
}

#[test]
fn the_printed_configuration_is_the_default() {
    let default = Config::default();
    assert_eq!(parse(&default.to_text(true)), spelled_out(default.clone()));
    assert_eq!(spelled_out(parse(&default.to_text(false))), spelled_out(default));
}

#[test]
fn every_printed_key_is_accepted_and_its_example_is_what_the_default_comes_to() {
    for active in [true, false] {
        let text = uncommented(&Config::default().to_text(active));
        let config = parse(&text);
        assert_eq!(config.base_url(config.listen), "http://127.0.0.1:8000");
        assert_eq!(config.storage(), Config::default().storage());
        assert_eq!(config.ca_files(), Config::default().ca_files());
        assert_eq!(config.limits(), Limits::default());
        assert_eq!(text.matches("\nnonces =").count(), 1, "each key is there once");
    }
}

#[test]
fn what_was_changed_is_printed_and_read_back() {
    let changed = parse(
        r#"
        listen = "[::1]:443"
        base_url = "https://ca.example/pki"
        storage = "memory:"
        nonces = "storage"
        tls = { certificate = "a.pem", key = "a.key" }
        [validation]
        challenges = ["tls-alpn-01", "dns-01"]
        allow = ["private-network", "127.0.0.1"]
        resolvers = ["192.0.2.1", "[2001:db8::1]:5353", "tls://192.0.2.1#dns.example"]
        resolver_roots = "roots.pem"
        dnssec = "require"
        persist_identities = ["ca.example"]
        linger = "0"
        caa = true
        [[validation.zone]]
        name = "corp.example"
        resolvers = ["https://192.0.2.1/q"]
        [[validation.zone]]
        name = "lab.corp.example"
        resolvers = ["192.0.2.2"]
        dnssec = "require"
        [ca]
        domain = "Corp.Example"
        [profiles.default]
        extended_key_usages = ["server-auth", "client-auth"]
        [profiles."the inside"]
        validity = "30d"
        [profiles."the inside".validation]
        resolvers = ["192.0.2.3"]
        allow = ["private-network"]
        http_port = 8080
        user_agent = "corp"
        proxy = "192.0.2.9:3128"
        [[profiles."the inside".validation.zone]]
        name = "db.corp.example"
        resolvers = ["192.0.2.4"]
        [directory]
        terms_of_service = "https://ca.example/terms"
        terms_since = 2026-01-31T12:00:00+01:00
        website = "https://ca.example"
        caa_identities = ["CA.example"]
        external_account_required = true
        renewal_explanation = "https://ca.example/revoked"
        [rate_limits]
        orders_per_account = "300/3h"
        accounts_per_address = "10/3h"
        failed_validations = "5/1h"
        failing_names = "30/30d"
        help = "https://ca.example/limits"
        [policy]
        min_rsa_bits = 3072
        max_rsa_bits = 3072
        curves = ["P-384"]
        ed25519 = false
        blocked_keys = "leaked.txt"
        known_weak_keys = ["blacklist.RSA-2048"]
        denied_names = ["Evil.example"]
        allowed_clients = ["192.0.2.0/24"]
        allowed_accounts = ["https://ca.example/acme/account/AAAAAAAAAAAAAAAAAAAAAA"]
        [policy.webhook]
        url = "https://policy.example"
        secret_file = "secret"
        [policy.trust.web]
        eab_keys = ["kid"]
        names = ["corp.example"]
        [policy.trust."a b"]
        clients = ["10.0.0.0/8"]
        [http]
        trusted_proxies = ["10.0.0.1"]
        [retention]
        expired = "1d"
        audit = "800d"
        [sealing]
        keys = "secret/keys"
        [limits]
        request_body = 1000
        nonce_lifetime = "5m"
        "#,
    );
    assert_eq!(parse(&changed.to_text(true)), changed);
    assert_eq!(changed.limits().request_body, 1000);
    assert_eq!(changed.limits().linger, std::time::Duration::ZERO);
    assert_eq!(changed.limits().keep_expired, std::time::Duration::from_secs(24 * 3600));
    assert_eq!(changed.ca.domain.as_ref().map(|name| name.as_str()), Some("corp.example"));
}

#[test]
fn what_is_wrong_is_refused_by_name_with_its_line() {
    for (text, line, name) in [
        ("listn = \"127.0.0.1:1\"", 1, "unknown key `listn`"),
        ("\n[validation]\nhttp_prt = 80", 3, "unknown key `http_prt`"),
        ("[rate_limts]\nx = 1", 1, "unknown key `rate_limts`"),
        ("[rate_limits]\norders = \"1/1h\"", 2, "unknown key `orders`"),
        ("[rate_limits]\norders_per_account = \"300\"", 2, "not a rate"),
        ("[rate_limits]\nhelp = \"ca.example\"", 2, "not the URL of a page"),
        ("[policy]\nblocked = \"x\"", 2, "unknown key `blocked`"),
        ("[policy]\ncurves = [\"secp256k1\"]", 2, "no curve"),
        ("[policy]\nallowed_accounts = [\"me\"]", 2, "no account"),
        ("[policy]\ndenied_names = [\"*.evil.example\"]", 2, ""),
        ("[policy.trust.web]\nkeys = []", 2, "unknown key `keys`"),
        ("[directory]\neab_required = true", 2, "unknown key `eab_required`"),
        ("[directory]\nterms_since = \"2026-01-01\"", 2, "not a point in time"),
        ("[directory]\nterms_since = 2026-01-01", 2, "not a point in time"),
        ("[directory]\nterms_since = 3", 2, "a point in time"),
        ("[directory]\ncaa_identities = [\"not a name\"]", 2, ""),
        ("[sealing]\nkey = \"k\"", 2, "unknown key `key`"),
        ("[limits]\nnope = 1", 2, "\"nope\""),
        ("[limits]\nlinger = \"1s\"", 2, "validation.linger"),
        ("[limits]\nkeep_audit = \"1d\"", 2, "retention.audit"),
        ("[limits]\nrequest_body = \"10s\"", 2, "a number"),
        ("[limits]\nrequest_time = 10", 2, "a time"),
        ("[profiles.default]\nvalidty = \"1d\"", 2, "unknown key `validty`"),
        ("tls = { certificate = \"a\" }", 1, "{ certificate = \"FILE\", key = \"FILE\" }"),
        ("tls = \"other\"", 1, "\"own\""),
        ("listen = \"localhost\"", 1, "socket address"),
        ("base_url = \"ca.example\"", 1, "not a base URL"),
        ("storage = \"postgres:d\"", 1, "postgres://HOST/DATABASE"),
        ("[validation]\nchallenges = [\"dns-02\"]", 2, "http-01, dns-01, tls-alpn-01"),
        ("[validation]\nresolvers = [\"quic://192.0.2.1\"]", 2, "tls://IP#NAME"),
        ("[[validation.zone]]\nnam = \"a.example\"", 2, "unknown key `nam`"),
        ("[[validation.perspective]]\nnam = \"a\"", 2, "unknown key `nam`"),
        ("[perspective]\nport = 1", 2, "unknown key `port`"),
        ("[profiles.a.validation]\ntimeout = \"1s\"", 2, "unknown key `timeout`"),
        ("[validation]\ntimeout = \"10\"", 2, "not a time"),
        ("[validation]\nallow = [\"10.0.0.0/99\"]", 2, "private-network"),
        ("listen = ", 1, ""),
    ] {
        let (found, error) = Config::parse(text).expect_err(text);
        assert!(error.contains(name), "{text}: {error}");
        assert!(!error.contains('\n'), "{text}: one line: {error}");
        assert_eq!(found, line, "{text}: {error}");
    }
}

/// Two.
const PERSPECTIVES: &str = r#"
[[validation.perspective]]
name = "a"
url = "https://a.example/"
roots = "r"
certificate = "c"
key = "k"
[[validation.perspective]]
name = "b"
url = "https://b.example/"
roots = "r"
certificate = "c"
key = "k"
"#;

#[test]
fn a_profile_with_a_network_of_its_own_says_whether_perspectives_look_and_who_may_have_it_if_not() {
    for profile in [
        "",
        "[profiles.a]",
        "[profiles.a.validation]\nperspectives = true",
        "[profiles.a]\nallowed_names = [\"corp.test\"]\n[profiles.a.validation]\nperspectives = false",
        "[profiles.a]\nallowed_eab_keys = [\"k\"]\n[profiles.a.validation]\nperspectives = false",
    ] {
        parse(&[PERSPECTIVES, profile].concat()).check().unwrap();
    }
    parse("[profiles.a.validation]\nhttp_port = 8080")
        .check()
        .expect("without perspectives it goes without saying");
}

#[test]
fn what_cannot_be_meant_is_refused() {
    for text in [
        "listen = \"0.0.0.0:80\"",
        "tls = \"own\"\nbase_url = \"http://ca.example\"",
        "[profiles.default]\nvalidity = \"100d\"",
        "[profiles.other]\nextended_key_usages = []",
        "[validation]\ncaa = true",
        "[validation]\nchallenges = [\"dns-persist-01\"]",
        "[[validation.zone]]\nname = \"corp.example\"",
        "[[validation.zone]]\nresolvers = [\"192.0.2.1\"]",
        "[[validation.perspective]]\nname = \"a\"\nurl = \"https://a.example/\"",
        &[PERSPECTIVES, "[profiles.a.validation]\nhttp_port = 8080"].concat(),
        &[PERSPECTIVES, "[profiles.a.validation]\nperspectives = false"].concat(),
        &PERSPECTIVES.replace("https://b", "https://a"),
        &PERSPECTIVES.replace("\"b\"", "\"a\""),
        "[validation]\nquorum = 1",
        "[profiles.default.validation]\nhttp_port = 8080",
        "[[profiles.a.validation.zone]]\nname = \"corp.example\"",
        "[policy]\nmin_rsa_bits = 4096\nmax_rsa_bits = 2048",
        "[policy]\nblocked_keys = \"/nowhere/keys\"",
        "[policy]\nknown_weak_keys = [\"/nowhere/keys\"]",
        "[policy]\npublic_suffixes = \"/nowhere/suffixes\"",
        "[policy]\npublic_suffixes = \"/dev/null\"",
        "[policy.webhook]\nurl = \"https://policy.example\"",
        "[policy.trust.web]\nnames = [\"corp.example\"]",
        "[ca]\nsign_command = [\"sign\"]\nintermediate_key = \"key\"",
        "[sealing]\nkeys = \"/nowhere/keys\"",
        "[sealing]\ncommand = []",
        "[directory]\nterms_since = \"2026-01-01T00:00:00Z\"",
    ] {
        assert!(parse(text).check().is_err(), "{text}");
    }
    parse("listen = \"0.0.0.0:80\"\nbase_url = \"https://ca.example\"").check().unwrap();
    Config::default().check().unwrap();
}

#[test]
fn relative_paths_are_relative_to_the_file() {
    let config = parse(
        "storage = \"sqlite:x.db\"\ntls = { certificate = \"a\", key = \"/b\" }\n[ca]\nroot = \"r.pem\"\n[policy]\nblocked_keys = \"k\"",
    );
    let config = config.below(Path::new("/etc/acmed"));
    assert_eq!(config.data_dir, Path::new("/etc/acmed/acmed-data"));
    assert_eq!(config.storage().to_string(), "sqlite:/etc/acmed/x.db");
    assert_eq!(config.ca_files().root, Path::new("/etc/acmed/r.pem"));
    assert_eq!(config.policy.blocked_keys.as_deref(), Some(Path::new("/etc/acmed/k")));
    assert_eq!(config.ca_files().root_key, Path::new("/etc/acmed/acmed-data/ca/root.key"));
    let files = TlsFiles { certificate: "/etc/acmed/a".into(), key: "/b".into() };
    assert_eq!(config.tls, Some(Tls::Files(files)));
}
