use std::sync::Barrier;

use tempfile::TempDir;

use super::*;
use crate::entropy::SystemEntropy;
use crate::issue::Issuer;
use crate::issue::testing::at;

struct At(&'static str);

impl Clock for At {
    fn now(&self) -> Timestamp {
        at(self.0)
    }
}

const NOW: At = At("2026-11-25T12:00:00Z");

fn load_or_create(files: &CaFiles) -> Result<LocalCa, CaError> {
    LocalCa::load_or_create(files, &CaRequest::new("Test"), &NOW, &SystemEntropy)
}

fn in_temporary_directory() -> (TempDir, CaFiles) {
    let directory = TempDir::new().unwrap();
    let files = CaFiles::in_directory(directory.path().join("ca"));
    (directory, files)
}

fn all(files: &CaFiles) -> [&PathBuf; 4] {
    [&files.root_key, &files.root, &files.intermediate_key, &files.intermediate]
}

fn contents(files: &CaFiles) -> Vec<Option<Vec<u8>>> {
    all(files).iter().map(|file| fs::read(file).ok()).collect()
}

#[test]
fn a_ca_is_made_once() {
    let (_directory, files) = in_temporary_directory();
    assert!(!files.are_complete());
    let made = load_or_create(&files).unwrap();
    let before = contents(&files);

    let other = CaRequest { domain: Some("corp.example".parse().unwrap()), ..CaRequest::new("Other") };
    let loaded = LocalCa::load_or_create(&files, &other, &NOW, &SystemEntropy).unwrap();

    assert!(files.are_complete());
    assert_eq!(contents(&files), before, "it stays as it is");
    assert_eq!(loaded.root_fingerprint(), made.root_fingerprint());
    let left = fs::read_dir(directory(&files.root)).unwrap().count();
    assert_eq!(left, 4, "no other files are left");
}

#[test]
fn a_new_ca_is_what_was_asked_for() {
    let (_directory, files) = in_temporary_directory();
    let ca = load_or_create(&files).unwrap();
    let root = X509::from_pem(&fs::read(&files.root).unwrap()).unwrap();
    let intermediate = X509::from_pem(&fs::read(&files.intermediate).unwrap()).unwrap();

    assert_eq!(ca.roots(), [root.to_der().unwrap()]);
    let text = String::from_utf8(intermediate.to_text().unwrap()).unwrap();
    for part in ["CA:TRUE, pathlen:0", "Certificate Sign, CRL Sign", "CN = Test Intermediate ", "O = Test"] {
        assert!(text.contains(part) || text.contains(&part.replace(" = ", "=")), "{part} is in {text}");
    }
    let text = String::from_utf8(root.to_text().unwrap()).unwrap();
    assert!(text.contains("CA:TRUE, pathlen:1"), "{text}");
    assert!(!text.contains("Name Constraints"), "{text}");
    assert_eq!(ca.not_after(), at("2036-11-22T11:59:59Z"), "3650 days");
}

#[test]
fn an_intermediate_does_not_outlive_its_root() {
    let (_directory, files) = in_temporary_directory();
    let request = CaRequest { root_lifetime: YEAR, ..CaRequest::new("Test") };
    LocalCa::load_or_create(&files, &request, &NOW, &SystemEntropy).unwrap();
    let certificate = |path| X509::from_pem(&fs::read(path).unwrap()).unwrap();
    assert_eq!(certificate(&files.intermediate).not_after(), certificate(&files.root).not_after());
}

#[test]
fn a_new_ca_may_be_constrained_to_a_domain() {
    let (_directory, files) = in_temporary_directory();
    let request = CaRequest { domain: Some("corp.example".parse().unwrap()), ..CaRequest::new("Test") };
    let ca = LocalCa::load_or_create(&files, &request, &NOW, &SystemEntropy).unwrap();

    for file in [&files.root, &files.intermediate] {
        let text = X509::from_pem(&fs::read(file).unwrap()).unwrap().to_text().unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("X509v3 Name Constraints: critical"), "{text}");
        assert!(text.contains("DNS:corp.example"), "{text}");
    }
    assert!(ca.permits(&"a.corp.example".parse::<DnsName>().unwrap().into()));
    assert!(!ca.permits(&"a.example".parse::<DnsName>().unwrap().into()));
}

#[cfg(unix)]
#[test]
fn keys_are_readable_to_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;

    let (_directory, files) = in_temporary_directory();
    load_or_create(&files).unwrap();

    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&files.root_key), 0o600);
    assert_eq!(mode(&files.intermediate_key), 0o600);
    assert_eq!(mode(directory(&files.root)), 0o700);
}

#[test]
fn a_crash_at_any_point_is_made_good_at_the_next_start() {
    for done in 0..4 {
        let (_directory, files) = in_temporary_directory();
        load_or_create(&files).unwrap();
        let whole = contents(&files);
        for file in &all(&files)[done..] {
            fs::remove_file(file).unwrap();
        }
        let half = directory(&files.root).join(".intermediate.key.new");
        fs::write(&half, "-----BEGIN PRI").unwrap();

        let ca = load_or_create(&files).unwrap_or_else(|error| panic!("after {done} files: {error}"));

        assert_eq!(contents(&files)[..done], whole[..done], "what was there is kept");
        assert_eq!(ca.roots().len(), 1);
        assert_eq!(load_or_create(&files).unwrap().root_fingerprint(), ca.root_fingerprint());
    }
}

#[test]
fn a_lost_file_is_named_and_nothing_is_written() {
    let lost: [&[usize]; 7] = [&[1], &[2], &[0, 1], &[0, 3], &[1, 2], &[0, 2], &[1, 3]];
    for lost in lost {
        let (_directory, files) = in_temporary_directory();
        load_or_create(&files).unwrap();
        for index in lost {
            fs::remove_file(all(&files)[*index]).unwrap();
        }
        let before = contents(&files);

        let error = load_or_create(&files).expect_err("a file in the middle is missing").to_string();

        let first = all(&files)[lost[0]].display().to_string();
        assert!(error.contains(&format!("{first} is missing")), "{error}");
        assert_eq!(contents(&files), before);
    }
}

#[test]
fn the_roots_key_may_be_kept_elsewhere() {
    let (_directory, files) = in_temporary_directory();
    let made = load_or_create(&files).unwrap();
    fs::remove_file(&files.root_key).unwrap();
    assert_eq!(load_or_create(&files).unwrap().root_fingerprint(), made.root_fingerprint());
    assert!(!files.root_key.exists());
}

#[test]
fn files_that_do_not_belong_together_are_refused() {
    let ((_one, files), (_other, others)) = (in_temporary_directory(), in_temporary_directory());
    load_or_create(&files).unwrap();
    load_or_create(&others).unwrap();
    let mixes = [
        CaFiles { root: others.root.clone(), ..files.clone() },
        CaFiles { intermediate: others.intermediate.clone(), ..files.clone() },
        CaFiles { intermediate_key: others.intermediate_key.clone(), ..files.clone() },
    ];
    for mix in mixes {
        assert!(matches!(load_or_create(&mix), Err(CaError::Unfit(_))), "{mix:?}");
    }
    fs::remove_file(&files.intermediate).unwrap();
    let mix = CaFiles { root_key: others.root_key, ..files.clone() };
    assert!(matches!(load_or_create(&mix), Err(CaError::Unfit(_))), "another root's key");
    assert!(!files.intermediate.exists());
}

#[test]
fn a_ca_that_is_not_valid_now_is_refused() {
    let (_directory, files) = in_temporary_directory();
    load_or_create(&files).unwrap();
    for now in ["2036-11-22T12:00:00Z", "2026-11-25T10:00:00Z"] {
        let error = LocalCa::load(&files, at(now)).unwrap_err().to_string();
        assert!(error.contains("valid from 2026-11-25T11:00:00Z to 2036-11-22T11:59:59Z"), "{error}");
    }
}

#[test]
fn damaged_files_are_named() {
    let (_directory, files) = in_temporary_directory();
    load_or_create(&files).unwrap();
    fs::write(&files.root, "nothing").unwrap();
    let error = load_or_create(&files).unwrap_err().to_string();
    assert!(error.contains("root.pem"), "{error}");
    fs::write(&files.intermediate_key, "nothing").unwrap();
    let error = load_or_create(&files).unwrap_err().to_string();
    assert!(error.contains("intermediate.key"), "{error}");
}

#[test]
fn of_many_that_start_at_once_one_makes_the_ca() {
    let (_directory, files) = in_temporary_directory();
    let barrier = Barrier::new(8);
    let found = std::thread::scope(|scope| {
        let start = || {
            barrier.wait();
            load_or_create(&files).unwrap();
            contents(&files)
        };
        let threads = [(); 8].map(|()| scope.spawn(start));
        threads.map(|thread| thread.join().unwrap())
    });
    assert!(found.iter().all(|one| *one == found[0]), "all have the same one");
}

#[test]
fn an_organization_has_a_name_that_fits() {
    let (_directory, files) = in_temporary_directory();
    for organization in [String::new(), "x".repeat(41), "line\nbreak".into()] {
        let request = CaRequest::new(organization);
        assert!(LocalCa::load_or_create(&files, &request, &NOW, &SystemEntropy).is_err(), "{request:?}");
    }
    assert_eq!(contents(&files), [None, None, None, None]);
}
