//! A CA whose key is another program's, which can be slow, or away. RFC 8555 section 7.4.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use integration_tests::{Account, Csr, Object, World, eventually, program};
use tempfile::TempDir;

use crate::{Case, jws::foreign, probe::Probe, room::Room};

/// Signs with the key beside it, unless a file there says that it takes its time, or is not there.
const SIGN: &str = r#"
[ -e "$1/away" ] && { echo "token /dev/hsm0 is not in its slot" >&2; exit 1; }
[ -e "$1/slow" ] && sleep 2
exec openssl dgst -sha256 -sign "$1/intermediate.key"
"#;

/// The server, and the directory of its CA.
pub(crate) struct Signing {
    world: World,
    directory: TempDir,
}

impl Signing {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().to_str().expect("a UTF-8 path");
        let made = Command::new(program("acmed")).args(["init", "--dir", path]).output();
        assert!(made.expect("acmed can be run").status.success());
        let ca = directory.path().join("acmed-data/ca");
        let world = World::with(|setup| {
            setup
                .with("ca", &format!("root = {:?}", ca.join("root.pem")))
                .with("ca", &format!("intermediate = {:?}", ca.join("intermediate.pem")))
                .with("ca", &format!("sign_command = [\"sh\", \"-c\", {SIGN:?}, \"sign\", {ca:?}]"))
                .with("limits", "issuance_attempts = 5")
                .with("limits", "issuance_backoff = \"100ms\"")
        });
        Self { world, directory }
    }

    fn marker(&self, name: &str) -> PathBuf {
        self.directory.path().join("acmed-data/ca").join(name)
    }

    fn set(&self, name: &str) {
        fs::write(self.marker(name), "").expect("a file can be written");
    }

    fn unset(&self, name: &str) {
        fs::remove_file(self.marker(name)).expect("a file can be removed");
    }

    /// An account, and a ready order of it.
    fn ready(&self, name: &str) -> (Account, Object) {
        self.world.client.forget_nonces();
        let account = self.world.client.account();
        let order = account.ready_order(&[name], &self.world.responder);
        (account, order)
    }

    fn certificates(&self) -> usize {
        self.world.acmed.database().count("certificates")
    }

    /// How the order ends.
    fn settled(account: &Account, order: &Object) -> Object {
        let patience = Duration::from_secs(20);
        eventually("the order is settled", patience, || {
            let order = account.read(&order.url);
            (order.status() != "processing").then_some(order)
        })
    }
}

pub(crate) const CASES: &[Case] = &[
    Case("F03", |room| {
        let signing = &room.signing;
        let (account, order) = signing.ready(&room.name());
        let csr = Csr::new(&[&order.names()[0]]).to_der();
        let before = signing.certificates();
        signing.set("slow");
        let first = account.finalize(&order, &csr).expect(200);
        assert_eq!(first.json()["status"], "processing");
        assert!(first.header("Retry-After").is_some(), "{first}");

        let second = account.finalize(&order, &csr);

        signing.unset("slow");
        let probe = Probe::of("", move || foreign(room, second));
        vec![probe.then(move |_| {
            assert_eq!(Signing::settled(&account, &order).status(), "valid");
            assert_eq!(signing.certificates(), before + 1);
        })]
    }),
    // docs/divergences.md, 7.4: the order is processing, and the server tries again.
    Case("F48", |room| vec![away(room, true), away(room, false)]),
];

/// The signer is away while an order is finalized; and it comes back, or not.
fn away(room: &Room, comes_back: bool) -> Probe<'_> {
    let signing = &room.signing;
    let act = move || {
        let (account, order) = signing.ready(&room.name());
        let csr = Csr::new(&[&order.names()[0]]).to_der();
        let before = signing.certificates();
        signing.set("away");
        let answer = account.finalize(&order, &csr);
        assert_eq!(answer.json()["status"], "processing");
        assert!(answer.header("Retry-After").is_some(), "{answer}");
        let settled = if comes_back {
            signing.unset("away");
            Signing::settled(&account, &order)
        } else {
            let settled = Signing::settled(&account, &order);
            signing.unset("away");
            settled
        };
        let expected = if comes_back { "valid" } else { "invalid" };
        assert_eq!(settled.status(), expected, "{}", settled.json);
        assert_eq!(signing.certificates(), before + usize::from(comes_back));
        if !comes_back {
            let error = &settled.json["error"];
            assert_eq!(error["type"], "urn:ietf:params:acme:error:serverInternal");
            assert!(!error.to_string().contains("hsm"), "{error}");
        }
        foreign(room, answer)
    };
    let what = if comes_back { "and comes back" } else { "for good" };
    Probe::of(what, act).also(200, "")
}
