use crate::support::Place;

#[test]
fn the_printed_configuration_passes_the_check() {
    let place = Place::new();
    let printed = place.run(&["config"]).expect_done().stdout();
    place.write("acmed.toml", &printed);

    let checked = place.run(&["config", "check", "acmed.toml"]).expect_done();

    assert_eq!(checked.stdout(), "acmed.toml is right\n");
    for key in ["\nlisten = ", "\n[validation]\n", "\n[limits]\n", "\nnonce_lifetime = \"1h\"\n"] {
        assert!(printed.contains(key), "{key}");
    }
}

#[test]
fn an_unknown_key_is_refused_by_name_with_its_file_and_line() {
    let place = Place::new();
    place.write("acmed.toml", "\nlistn = \"127.0.0.1:8000\"\n");
    let parts = ["acmed.toml:2: unknown key `listn`", "`listen`", "`acmed config`"];

    for command in [&["config", "check", "acmed.toml"], &["serve", "--config", "acmed.toml"]] {
        let run = place.run(command).expect_refused(&parts);
        assert_eq!(run.stderr().lines().count(), 1, "{}", run.stderr());
    }
}

#[test]
fn a_file_that_is_not_there_is_refused() {
    Place::new().run(&["serve", "--config", "nope.toml"]).expect_refused(&["nope.toml cannot be read"]);
}

#[test]
fn a_redis_that_is_not_there_is_refused_and_its_password_not_repeated() {
    let place = Place::new();
    let nonces = "redis://u:secret@127.0.0.1:1";
    let run = place.run(&["serve", "--listen", "127.0.0.1:0", "--storage", "memory:", "--nonces", nonces]);
    let run = run.expect_refused(&["there is no place for nonces", "Redis"]);
    assert!(!run.stderr().contains("secret"), "{}", run.stderr());
}

#[test]
fn a_database_that_is_not_there_is_refused_and_its_password_not_repeated() {
    let place = Place::new();
    let storage = "postgres://u:secret@127.0.0.1:1/d";
    for arguments in [&["serve", "--listen", "127.0.0.1:0"][..], &["eab", "list"]] {
        let run = place.run(&[arguments, &["--storage", storage]].concat());
        let run = run.expect_refused(&["there is no storage"]);
        assert!(!run.stderr().contains("secret"), "{}", run.stderr());
    }
}

#[test]
fn what_acmed_does_not_know_is_bad_usage() {
    let place = Place::new();
    for arguments in [&["frob"][..], &[], &["dev", "--frob"], &["serve", "--no-worker", "--worker-only"]] {
        place.run(arguments).expect_bad_usage();
    }
    let run = place.run(&["serve", "--storage", "mysql://host/database"]).expect_bad_usage();
    assert!(run.stderr().contains("postgres://HOST/DATABASE"), "{}", run.stderr());
}

#[test]
fn flags_override_the_environment_which_overrides_the_file() {
    let place = Place::new();
    place.write(
        "acmed.toml",
        "listen = \"127.0.0.1:0\"\nbase_url = \"http://file.test\"\nstorage = \"memory:\"\n",
    );

    let directory = |environment: Option<&str>, flag: &[&str]| {
        let mut command = place.command(&["serve"]);
        command.args(flag);
        if let Some(url) = environment {
            command.env("ACMED_BASE_URL", url);
        }
        crate::support::Server::start(command).directory.clone()
    };

    let (environment, flag) = (Some("http://env.test"), ["--base-url", "http://flag.test"]);
    assert_eq!(directory(None, &[]), "http://file.test/directory");
    assert_eq!(directory(environment, &[]), "http://env.test/directory");
    assert_eq!(directory(environment, &flag), "http://flag.test/directory");
}
