//! What CAA records permit, with DNS as each test wants it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;

use async_trait::async_trait;
use coyote_storage::RequestId;

use super::*;

const ACCOUNT: &str = "https://ca.test/acme/account/1";

/// What DNS has; nothing of names that nothing is said of.
#[derive(Default)]
struct Names {
    answers: HashMap<&'static str, Result<Vec<CaaRecord>, ResolveError>>,
    asked: Mutex<Vec<String>>,
}

#[async_trait]
impl Resolver for Names {
    async fn addresses(&self, _: &DnsName, _: &Trace) -> Result<Vec<IpAddr>, ResolveError> {
        unreachable!("no address is needed")
    }

    async fn texts(&self, _: &str, _: &Trace) -> Result<Vec<Vec<u8>>, ResolveError> {
        unreachable!("no text is needed")
    }

    async fn caa(&self, name: &DnsName, _: &Trace) -> Result<Vec<CaaRecord>, ResolveError> {
        self.asked.lock().unwrap().push(name.to_string());
        self.answers.get(name.as_str()).cloned().unwrap_or(Err(ResolveError::NoRecords))
    }
}

impl Names {
    /// DNS with these records, `128 tag value`.
    fn with(records: &[(&'static str, &[&str])]) -> Self {
        let read = |text: &&str| {
            let (flags, rest) = text.split_once(' ').unwrap();
            let (tag, value) = rest.split_once(' ').unwrap();
            CaaRecord { critical: flags == "128", tag: tag.into(), value: value.into() }
        };
        let answers = records.iter().map(|(name, records)| (*name, Ok(records.iter().map(read).collect())));
        Self { answers: answers.collect(), asked: Mutex::default() }
    }

    fn failing(mut self, name: &'static str, error: ResolveError) -> Self {
        self.answers.insert(name, Err(error));
        self
    }

    /// Asks for these names, `*.` for wildcards, proved by http-01.
    async fn check(&self, names: &[&str]) -> Result<(), ValidationFailure> {
        let caa = Caa::new([DnsName::parse("us.test").unwrap()]).unwrap();
        let identifiers: Vec<_> = names.iter().map(|name| Identifier::parse("dns", name).unwrap()).collect();
        let subjects = identifiers.iter().map(|identifier| CaaSubject {
            identifier,
            account_url: ACCOUNT,
            method: &ChallengeType::HTTP_01,
        });
        let trace = Trace::new(RequestId::from_bytes([0; 16]), "a test");
        caa.check(&subjects.collect::<Vec<_>>(), self, &trace).await
    }

    fn asked(&self) -> Vec<String> {
        let mut asked = self.asked.lock().unwrap().clone();
        asked.sort();
        asked
    }
}

/// The records of `a.test`, and what they say to a.test and to *.a.test.
async fn verdicts(records: &[&str]) -> [bool; 2] {
    let names = Names::with(&[("a.test", records)]);
    let mut verdicts = [false; 2];
    for (verdict, name) in verdicts.iter_mut().zip(["a.test", "*.a.test"]) {
        *verdict = match names.check(&[name]).await {
            Ok(()) => true,
            Err(ValidationFailure::Definitive(problem)) if problem.kind == ProblemType::Caa => false,
            Err(other) => panic!("{records:?}: {other}"),
        };
    }
    verdicts
}

#[tokio::test]
async fn records_permit_what_they_say_and_nothing_else() {
    let ours = format!("0 issue us.test; accounturi={ACCOUNT}; validationmethods=dns-01,http-01");
    let other_account = "0 issue us.test; accounturi=https://ca.test/acme/account/2";
    let cases: &[(&[&str], [bool; 2])] = &[
        (&[], [true, true]),
        (&["0 issue us.test"], [true, true]),
        (&["0 ISSUE US.TEST"], [true, true]),
        (&["0 issue ;"], [false, false]),
        (&["0 issue other.test"], [false, false]),
        (&["0 issue other.test", "0 issue us.test"], [true, true]),
        (&["0 issue other.test", "0 issuewild us.test"], [false, true]),
        (&["0 issue us.test", "0 issuewild ;"], [true, false]),
        (&["0 issuewild other.test"], [true, false]),
        (&["0 iodef mailto:a@a.test"], [true, true]),
        (&["128 iodef mailto:a@a.test", "128 issue us.test"], [true, true]),
        (&["0 future x"], [true, true]),
        (&["128 future x", "0 issue us.test"], [false, false]),
        (&["0 issue %%%%%"], [false, false]),
        (&["0 issue us.test; a=b;"], [false, false]),
        (&[&ours], [true, true]),
        (&[other_account], [false, false]),
        (&[other_account, &ours], [true, true]),
        (&["0 issue us.test; validationmethods=dns-01"], [false, false]),
    ];
    for (records, expected) in cases {
        assert_eq!(verdicts(records).await, *expected, "{records:?}");
    }
}

#[tokio::test]
async fn the_closest_name_that_has_records_decides() {
    let names = Names::with(&[("b.test", &["0 issue us.test"]), ("test", &["0 issue ;"])]);
    assert_eq!(names.check(&["a.b.test"]).await, Ok(()));
    assert_eq!(names.asked(), ["a.b.test", "b.test"], "what is above is not asked for");
    assert!(names.check(&["a.c.test"]).await.is_err(), "the top-level domain has a say as well");
}

#[tokio::test]
async fn what_cannot_be_looked_up_below_the_first_records_is_no_permission() {
    for error in
        [ResolveError::Server("SERVFAIL".into()), ResolveError::TimedOut, ResolveError::TooManyAliases]
    {
        let at_the_name = Names::with(&[("b.test", &["0 issue us.test"])]).failing("a.b.test", error.clone());
        let above = Names::with(&[]).failing("test", error.clone());
        for names in [at_the_name, above] {
            let failure = names.check(&["a.b.test"]).await.unwrap_err();
            let ValidationFailure::Transient(problem) = failure else { panic!("{failure:?}") };
            assert_eq!(problem.kind, ProblemType::Dns, "{error}");
        }
        let far_above = Names::with(&[("b.test", &["0 issue us.test"])]).failing("test", error);
        assert_eq!(far_above.check(&["a.b.test"]).await, Ok(()));
    }
    let gone = Names::with(&[]).failing("a.test", ResolveError::NoSuchName);
    assert_eq!(gone.check(&["a.test"]).await, Ok(()), "a name that does not exist has no records");
}

#[tokio::test]
async fn each_name_that_is_refused_is_told_and_each_name_is_asked_for_once() {
    let names = Names::with(&[("x.test", &["0 issue ;"]), ("y.test", &["0 issue other.test"])]);

    let failure = names.check(&["x.test", "a.x.test", "y.test", "a.z.test", "b.z.test"]).await.unwrap_err();

    let problem = failure.problem();
    let identifiers = problem.subproblems.iter().filter_map(|part| part.identifier.as_ref());
    assert_eq!(
        identifiers.map(|raw| raw.value.as_str()).collect::<Vec<_>>(),
        ["x.test", "a.x.test", "y.test"]
    );
    assert_eq!(problem.kind, ProblemType::Caa);
    assert_eq!(names.asked(), ["a.x.test", "a.z.test", "b.z.test", "test", "x.test", "y.test", "z.test"]);
}

#[tokio::test]
async fn an_address_has_no_such_records() {
    let caa = Caa::new([DnsName::parse("us.test").unwrap()]).unwrap();
    let identifier = Identifier::parse("ip", "192.0.2.1").unwrap();
    let subject =
        CaaSubject { identifier: &identifier, account_url: ACCOUNT, method: &ChallengeType::HTTP_01 };
    let names = Names::default();
    let trace = Trace::new(RequestId::from_bytes([0; 16]), "a test");
    assert_eq!(caa.check(&[subject], &names, &trace).await, Ok(()));
    assert_eq!(names.asked(), Vec::<String>::new());
}
