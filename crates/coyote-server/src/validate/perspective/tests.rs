use std::future::pending;

use super::*;

/// A perspective that always says the same, and what it says.
struct Fixed(&'static str, Says);

#[derive(Clone, Copy)]
enum Says {
    Same,
    Wrong,
    Nothing,
    Unable,
    /// It never answers.
    Silent,
    /// It has never heard of the challenge type.
    NoSuchType,
}

#[async_trait]
impl Perspective for Fixed {
    fn name(&self) -> &str {
        self.0
    }

    fn region(&self) -> Option<&str> {
        Some("somewhere")
    }

    fn offers(&self, _: &ChallengeType) -> bool {
        !matches!(self.1, Says::NoSuchType)
    }

    async fn look(&self, task: &Task) -> Result<Evidence, BoxError> {
        let seen = match self.1 {
            Says::Same | Says::NoSuchType => Seen::Same,
            Says::Wrong => Seen::Wrong(Problem::new(ProblemType::Unauthorized, "the answer is wrong")),
            Says::Nothing => Seen::Nothing(Problem::new(ProblemType::Connection, "nobody answers")),
            Says::Unable => return Err("out of order".into()),
            Says::Silent => pending().await,
        };
        let trace = Trace::new(task.request, "a step");
        trace.record(TraceEvent::note(format!("{} looked", self.0)));
        Ok(Evidence { seen, timeline: trace.timeline() })
    }
}

fn places(says: &[Says]) -> Perspectives {
    let names = ["one", "two", "three", "four", "five", "six"];
    let fixed =
        names.into_iter().zip(says).map(|(name, says)| Arc::new(Fixed(name, *says)) as Arc<dyn Perspective>);
    Perspectives::new(fixed)
}

fn task() -> Task {
    let challenge = ChallengeTask {
        kind: ChallengeType::HTTP_01,
        identifier: Identifier::parse("dns", "a.test").unwrap(),
        wildcard: false,
        account_url: "https://ca.test/acme/account/1".into(),
        token: Token::from_bytes(&[7; 32]),
        thumbprint: "9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI".into(),
    };
    Task { request: RequestId::from_bytes([7; 16]), challenge: Some(challenge), caa: None }
}

async fn corroborate(places: &Perspectives) -> (Result<(), ValidationFailure>, String) {
    let trace = Trace::new(RequestId::from_bytes([7; 16]), "http-01 a.test");
    let result = places.corroborate(task(), Duration::from_millis(50), &trace).await;
    (result, trace.to_string())
}

#[tokio::test]
async fn as_many_may_differ_as_the_quorum_leaves() {
    use Says::{Nothing, Same, Silent, Unable, Wrong};
    for (says, holds) in [
        (&[][..], true),
        (&[Same], true),
        (&[Wrong], false),
        (&[Same, Same], true),
        (&[Wrong, Same], true),
        (&[Wrong, Nothing], false),
        (&[Same, Same, Wrong], true),
        (&[Same, Same, Unable], true),
        (&[Silent, Same, Same], true),
        (&[Same, Wrong, Wrong], false),
        (&[Same, Wrong, Unable], false),
        (&[Same, Silent, Silent], false),
        (&[Same, Same, Same, Same, Wrong], true),
        (&[Same, Same, Same, Wrong, Wrong], false),
        (&[Same, Same, Same, Same, Wrong, Wrong], true),
        (&[Same, Same, Same, Wrong, Wrong, Wrong], false),
    ] {
        let (result, trace) = corroborate(&places(says)).await;
        assert_eq!(result.is_ok(), holds, "{} perspectives: {result:?}\n{trace}", says.len());
    }
}

#[tokio::test]
async fn the_trace_shows_who_has_seen_what() {
    let (result, trace) = corroborate(&places(&[Says::Same, Says::Wrong, Says::Unable])).await;

    assert!(result.is_err());
    for line in [
        "elsewhere  one, after 0 ms: note       one looked",
        "place      one (somewhere): sees the same",
        "place      two (somewhere): sees otherwise: unauthorized: the answer is wrong",
        "place      three (somewhere): could not look: out of order",
        "quorum     1 of 3 others see the same, 2 do not, 2 are needed: it does not hold",
    ] {
        assert!(trace.contains(line), "no {line:?} in\n{trace}");
    }
}

#[tokio::test]
async fn what_enough_have_seen_to_be_wrong_is_definitive_and_what_they_could_not_see_is_not() {
    use Says::{Nothing, Same, Unable, Wrong};
    let refused = async |says: &[Says]| corroborate(&places(says)).await.0.unwrap_err();

    let wrong = refused(&[Wrong, Wrong, Same]).await;
    assert!(matches!(wrong, ValidationFailure::Definitive(_)), "{wrong:?}");
    assert_eq!(wrong.problem().kind, ProblemType::Unauthorized);
    let told = "2 of 3 other perspectives do not see what this server sees: the answer is wrong";
    assert_eq!(wrong.problem().detail, told);

    let nothing = refused(&[Nothing, Wrong, Same]).await;
    assert!(matches!(nothing, ValidationFailure::Transient(_)), "{nothing:?}");
    assert_eq!(nothing.problem().kind, ProblemType::Connection);

    let unable = refused(&[Unable, Wrong, Same]).await;
    assert!(matches!(unable, ValidationFailure::Transient(_)), "{unable:?}");
    assert_eq!(unable.problem().kind, ProblemType::ServerInternal, "no fault of the client's");
}

#[tokio::test]
async fn nobody_is_waited_for_once_it_is_decided() {
    let places = places(&[Says::Same, Says::Silent, Says::Same]);
    let trace = Trace::new(RequestId::from_bytes([7; 16]), "http-01 a.test");
    let looking = places.corroborate(task(), Duration::from_secs(3600), &trace);

    assert_eq!(timeout(Duration::from_secs(60), looking).await.expect("an end"), Ok(()));
}

#[tokio::test]
async fn a_type_that_no_other_offers_is_looked_at_from_here_and_one_that_some_offer_is_not() {
    use Says::{NoSuchType, Same};
    let (alone, trace) = corroborate(&places(&[NoSuchType, NoSuchType])).await;
    assert_eq!(alone, Ok(()));
    assert!(trace.contains("quorum     no other perspective offers http-01"), "{trace}");

    let (few, trace) = corroborate(&places(&[Same, NoSuchType, NoSuchType])).await;
    assert!(few.is_err(), "{trace}");
}

#[test]
fn a_quorum_is_one_to_all() {
    for (quorum, is_one) in [(0, false), (1, true), (3, true), (4, false)] {
        assert_eq!(places(&[Says::Same; 3]).with_quorum(quorum).is_ok(), is_one, "{quorum}");
    }
}

#[test]
fn what_says_nothing_of_what_was_seen_is_no_evidence() {
    let timeline = r#""timeline":{"request":"BwcHBwcHBwcHBwcHBwcHBw","subject":"","events":[],"dropped":0}"#;
    let read = |seen: &str| serde_json::from_str::<Evidence>(&format!("{{{seen}{timeline}}}"));

    assert_eq!(read(r#""seen":"same","#).unwrap().seen, Seen::Same);
    assert!(read("").is_err());
    assert!(read(r#""seen":null,"#).is_err());
    assert!(serde_json::from_str::<Task>(r#"{"request":"BwcHBwcHBwcHBwcHBwcHBw","more":1}"#).is_err());
}

/// A perspective that says this.
struct Saying(&'static str, Evidence);

#[async_trait]
impl Perspective for Saying {
    fn name(&self) -> &str {
        self.0
    }

    fn offers(&self, _: &ChallengeType) -> bool {
        true
    }

    async fn look(&self, _: &Task) -> Result<Evidence, BoxError> {
        Ok(self.1.clone())
    }
}

fn evidence(seen: Seen, steps: usize, step: &str) -> Evidence {
    let trace = Trace::new(RequestId::from_bytes([7; 16]), "a step");
    (0..steps).for_each(|number| trace.record(TraceEvent::note(format!("{number} {step}"))));
    Evidence { seen, timeline: trace.timeline() }
}

#[tokio::test]
async fn one_that_tells_much_does_not_push_out_what_others_saw() {
    let wrong = || Seen::Wrong(Problem::new(ProblemType::Unauthorized, "no"));
    let loud: Arc<dyn Perspective> = Arc::new(Saying("loud", evidence(wrong(), 200, &"x".repeat(4_000))));
    let terse: Arc<dyn Perspective> = Arc::new(Saying("terse", evidence(wrong(), 1, "step")));
    let trace = Trace::new(RequestId::from_bytes([7; 16]), "http-01 a.test");
    trace.record(TraceEvent::note("the own step"));
    let places = Perspectives::new([loud, terse]).with_quorum(1).unwrap();

    let result = places.corroborate(task(), Duration::from_secs(1), &trace).await;
    trace.finish(&result);

    let stored = trace.timeline().to_json(coyote_storage::TraceRecord::MAX_BYTES);
    let stored: Timeline = serde_json::from_str(&stored).unwrap();
    let shown = stored.to_string();
    for line in [
        "the own step",
        "elsewhere  loud, after",
        "elsewhere  terse, after",
        "terse: sees otherwise",
        "quorum",
        "verdict",
    ] {
        assert!(shown.contains(line), "no {line:?} in\n{shown}");
    }
    let own = stored.events.iter().filter(|one| matches!(one.event, TraceEvent::Elsewhere { .. })).count();
    assert_eq!(own + stored.dropped, 201, "what there is no room for is counted");
}

#[tokio::test]
async fn a_client_is_told_kinds_of_problems_that_a_validation_has_and_a_harmless_sentence() {
    let seen = Seen::Wrong(Problem::new(ProblemType::RateLimited, "a\u{202e}b\nc"));
    let place: Arc<dyn Perspective> = Arc::new(Saying("odd", evidence(seen, 0, "")));
    let trace = Trace::new(RequestId::from_bytes([7; 16]), "http-01 a.test");

    let refused = Perspectives::new([place]).corroborate(task(), Duration::from_secs(1), &trace).await;

    let problem = refused.unwrap_err().problem().clone();
    assert_eq!(problem.kind, ProblemType::Unauthorized);
    assert_eq!(problem.detail, "1 of 1 other perspectives do not see what this server sees: abc");
}
