//! Runs that start, stop between any two steps, overtake each other and are killed, while clients write wherever they can.

use std::{
    future::poll_fn,
    mem::replace,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
};

use async_trait::async_trait;
use coyote_server::{
    Entropy, SystemEntropy,
    jose::{Algorithm, SigningKey},
    protocol::Timestamp,
    storage::{
        Account, AccountId, Archive, DirectoryId, ExternalAccountKey, MemoryStorage, Record, RecordKey,
        RecordKind, Result, Standing,
    },
};

use super::{Move, Moved, Route};
use crate::failure::Failure;

/// A storage before each of whose operations another run may go on.
struct Stepped(Arc<MemoryStorage>);

async fn step() {
    let mut over = false;
    poll_fn(|_| if replace(&mut over, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}

#[async_trait]
impl Archive for Stepped {
    async fn export(&self, kind: RecordKind, after: Option<&RecordKey>, limit: u32) -> Result<Vec<Record>> {
        step().await;
        self.0.export(kind, after, limit).await
    }

    async fn count(&self, kind: RecordKind) -> Result<u64> {
        self.0.count(kind).await
    }

    async fn import(&self, standing: &Standing, records: Vec<Record>) -> Result<u64> {
        step().await;
        self.0.import(standing, records).await
    }

    async fn remove(&self, standing: &Standing, keys: Vec<RecordKey>) -> Result<()> {
        step().await;
        self.0.remove(standing, keys).await
    }

    async fn standing(&self) -> Result<Standing> {
        step().await;
        self.0.standing().await
    }

    async fn stand(&self, from: &Standing, to: Standing) -> Result<bool> {
        step().await;
        self.0.stand(from, to).await
    }
}

/// What a run is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    There,
    Back,
    WithoutTarget,
}

/// What came of one.
#[derive(Debug, Default)]
struct Outcomes {
    moved: u32,
    moved_back: u32,
    refused: u32,
    killed: u32,
}

type Run = Pin<Box<dyn Future<Output = (Wanted, std::result::Result<(), Failure>)>>>;

/// Two storages, their clients, and the runs on them.
struct Scene {
    source: Arc<MemoryStorage>,
    target: Arc<MemoryStorage>,
    /// What they are called.
    from: [&'static str; 2],
    runs: Vec<Run>,
    names: u32,
    /// What a client was told is stored.
    acknowledged: Vec<Record>,
    outcomes: Outcomes,
}

impl Scene {
    fn new() -> Self {
        Self {
            source: Arc::default(),
            target: Arc::default(),
            from: ["source", "target"],
            runs: Vec::new(),
            names: 0,
            acknowledged: Vec::new(),
            outcomes: Outcomes::default(),
        }
    }

    /// The standing of the source and of the target.
    fn standings(&self) -> [Standing; 2] {
        [&self.source, &self.target].map(|storage| at_once(storage.standing()).unwrap())
    }

    fn start(&mut self, wanted: Wanted) {
        self.names += 1;
        let (source, target) = (Stepped(self.source.clone()), Stepped(self.target.clone()));
        let [from, to] = self.from.map(str::to_owned);
        let names = Move { from, to, run: self.names.to_string() };
        self.runs.push(Box::pin(async move {
            let route = Route { source: &source, target: &target, names, is_quiet: true };
            let done = match wanted {
                Wanted::There => route.there().await.map(|_: Moved| ()),
                Wanted::Back => route.back().await,
                Wanted::WithoutTarget => route.names.without_target(&source).await,
            };
            (wanted, done)
        }));
    }

    /// Does all of it.
    fn end(&mut self, wanted: Wanted) {
        self.start(wanted);
        while !self.runs.is_empty() {
            self.go_on(0);
        }
    }

    /// Two, with an account, which has gone from the one to the other.
    fn with_account() -> Self {
        let mut scene = Self::new();
        at_once(scene.source.import(&Standing::InService, vec![Record::Account(account())])).unwrap();
        scene.end(Wanted::There);
        scene
    }

    /// Lets one go on as far as its next operation.
    fn go_on(&mut self, run: usize) {
        let Poll::Ready((wanted, done)) = poll(self.runs[run].as_mut()) else { return };
        drop(self.runs.swap_remove(run));
        *match (wanted, done) {
            (_, Err(_)) => &mut self.outcomes.refused,
            (Wanted::There, Ok(())) => &mut self.outcomes.moved,
            (Wanted::Back | Wanted::WithoutTarget, Ok(())) => &mut self.outcomes.moved_back,
        } += 1;
    }

    /// A client writes, if it is let.
    fn write(&mut self, storage: &Arc<MemoryStorage>) {
        let record = Record::ExternalAccountKey(ExternalAccountKey {
            kid: self.acknowledged.len().to_string(),
            directory: DirectoryId::default(),
            secret: Vec::new(),
            comment: String::new(),
            created: Timestamp::from_seconds(0),
            expires: None,
            most_accounts: None,
            accounts: 0,
            domains: Vec::new(),
            revoked: None,
        });
        if at_once(storage.import(&Standing::InService, vec![record.clone()])).is_ok() {
            self.acknowledged.push(record);
        }
    }

    /// One thing happens. Of the runs that start, so many of nine are moves.
    fn happen(&mut self, moves: usize, dice: &mut Dice) {
        match dice.throw(120) {
            run @ 0..9 if run < moves && self.runs.len() < 3 => self.start(Wanted::There),
            0..9 if self.runs.len() < 3 => self.start(Wanted::Back),
            9 if !self.runs.is_empty() => {
                drop(self.runs.swap_remove(dice.throw(self.runs.len())));
                self.outcomes.killed += 1;
            }
            10..13 => self.write(&self.source.clone()),
            // Before anything has gone there, nobody serves from the target.
            13..16 if self.standings()[0] != Standing::InService => self.write(&self.target.clone()),
            _ if !self.runs.is_empty() => self.go_on(dice.throw(self.runs.len())),
            _ => {}
        }
    }
}

/// A new one each time.
fn account() -> Account {
    let mut id = [0; 16];
    SystemEntropy.fill(&mut id).unwrap();
    Account {
        id: AccountId::from_bytes(id),
        directory: DirectoryId::default(),
        key: SigningKey::generate(Algorithm::ES256).unwrap().jwk().clone(),
        contact: Vec::new(),
        terms_of_service_agreed: None,
        external_account: None,
        created: Timestamp::from_seconds(0),
        deactivated: None,
        revoked: None,
    }
}

/// Numbers that are the same for the same seed.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }
}

fn poll<T>(run: Pin<&mut (impl Future<Output = T> + ?Sized)>) -> Poll<T> {
    run.poll(&mut Context::from_waker(Waker::noop()))
}

/// What a store in memory does is done at once.
fn at_once<T>(work: impl Future<Output = T>) -> T {
    let Poll::Ready(done) = poll(pin!(work)) else { panic!("it waits") };
    done
}

#[test]
fn runs_in_any_order_that_are_killed_anywhere_leave_one_storage_in_service_and_lose_nothing() {
    let mut all = Outcomes::default();
    for seed in 0..3_000 {
        let (mut scene, mut dice) = (Scene::new(), Dice(seed));
        scene.write(&scene.source.clone());
        let (mut is_new, moves) = (true, 1 + dice.throw(8));
        for _ in 0..1_000 {
            scene.happen(moves, &mut dice);
            let [source, target] = scene.standings();
            is_new &= target == Standing::InService;
            let both = source == Standing::InService && target == Standing::InService && !is_new;
            assert!(!both, "both are in service; seed {seed}");
        }
        scene.runs.clear();
        // Whatever was left, somebody brings it to an end.
        scene.end(Wanted::Back);
        let in_service = match scene.standings() {
            [Standing::InService, _] => &scene.source,
            [_, Standing::InService] => &scene.target,
            neither => panic!("neither is in service: {neither:?}; seed {seed}"),
        };
        let mut kept = at_once(in_service.export(RecordKind::ExternalAccountKey, None, 1000)).unwrap();
        for record in &scene.acknowledged {
            let place = kept.iter().position(|kept| kept == record);
            kept.swap_remove(place.unwrap_or_else(|| panic!("{record:?} is lost; seed {seed}")));
        }
        assert!(kept.is_empty(), "{kept:?} were given up; seed {seed}");
        let Outcomes { moved, moved_back, refused, killed } = scene.outcomes;
        all.moved += moved;
        all.moved_back += moved_back;
        all.refused += refused;
        all.killed += killed;
    }
    let Outcomes { moved, moved_back, refused, killed } = all;
    println!("{moved} moves, {moved_back} ways back, {refused} refused, {killed} killed");
    assert!([moved, moved_back, refused, killed].iter().all(|times| *times > 1_000), "{all:?}");
}

#[test]
fn a_move_beside_a_target_that_is_said_to_be_lost_is_stopped_before_it_opens_it() {
    let mut scene = Scene::new();
    scene.write(&scene.source.clone());
    scene.start(Wanted::There);
    while scene.standings()[0] == Standing::InService {
        scene.go_on(0);
    }
    scene.start(Wanted::WithoutTarget);
    while scene.outcomes.moved_back == 0 {
        scene.go_on(1);
    }
    while !scene.runs.is_empty() {
        scene.go_on(0);
    }
    assert_eq!(scene.outcomes.refused, 1);
    let [source, target] = scene.standings();
    assert_eq!(source, Standing::InService);
    assert!(matches!(target, Standing::Arriving { .. }), "{target:?}");
}

#[test]
fn a_target_that_is_in_use_is_refused_and_takes_writes_all_the_time() {
    let mut scene = Scene::new();
    scene.write(&scene.target.clone());
    scene.start(Wanted::There);
    while !scene.runs.is_empty() {
        scene.go_on(0);
        let written = scene.acknowledged.len();
        scene.write(&scene.target.clone());
        assert_eq!(scene.acknowledged.len(), written + 1, "{:?}", scene.standings());
    }
    assert_eq!(scene.outcomes.refused, 1);
    assert_eq!(scene.standings(), [Standing::InService, Standing::InService]);
}

#[test]
fn a_way_back_that_another_has_overtaken_opens_nothing() {
    let mut scene = Scene::new();
    scene.write(&scene.source.clone());
    scene.start(Wanted::There);
    while scene.outcomes.moved == 0 {
        scene.go_on(0);
    }
    let moved = scene.standings();
    scene.start(Wanted::Back);
    while scene.standings() == moved {
        scene.go_on(0);
    }
    scene.start(Wanted::Back);
    while scene.outcomes.moved_back == 0 {
        scene.go_on(1);
    }
    scene.write(&scene.source.clone());
    while !scene.runs.is_empty() {
        scene.go_on(0);
    }
    assert_eq!(scene.outcomes.refused, 1);
    let [source, target] = scene.standings();
    assert_eq!(source, Standing::InService);
    assert!(matches!(target, Standing::Left { .. }), "{target:?}");
}

/// A target that was lost, and made anew, is not what everything went to.
#[test]
fn a_target_that_was_made_anew_is_not_taken_for_the_old_one_and_not_filled_again_unasked() {
    for anew in [Arc::default(), Scene::with_account().target] {
        let mut scene = Scene::with_account();
        scene.target = anew;
        let before = at_once(scene.target.count(RecordKind::Account)).unwrap();

        scene.end(Wanted::There);
        assert_eq!(scene.outcomes.refused, 1);
        assert_eq!(at_once(scene.target.count(RecordKind::Account)).unwrap(), before);

        scene.end(Wanted::WithoutTarget);
        assert_eq!(scene.standings()[0], Standing::InService, "that is the way back");
    }
}

/// Also where a run that was to fill it was killed.
#[test]
fn what_arrives_is_not_removed_for_a_database_that_knows_nothing_of_it() {
    let mut scene = Scene::with_account();
    scene.start(Wanted::Back);
    while scene.standings()[0] != Standing::InService {
        scene.go_on(0);
    }
    scene.runs.clear();
    scene.start(Wanted::There);
    while !matches!(scene.standings()[1], Standing::Arriving { .. }) {
        scene.go_on(0);
    }
    scene.runs.clear();
    scene.source = Arc::default();

    scene.end(Wanted::There);

    assert_eq!(at_once(scene.target.count(RecordKind::Account)).unwrap(), 1);
}

#[test]
fn what_is_left_is_not_removed_for_a_database_that_knows_nothing_of_it() {
    let world = Scene::with_account();
    let mut back = Scene { source: world.target.clone(), target: world.source.clone(), ..Scene::new() };
    for anew in [Arc::default(), Scene::with_account().target] {
        back.source = anew;
        back.from = ["target", "source"];
        back.end(Wanted::There);
        assert_eq!(at_once(back.target.count(RecordKind::Account)).unwrap(), 1);
    }
    assert_eq!(back.outcomes.refused, 2);

    back.source = world.target;
    back.end(Wanted::There);
    assert_eq!(back.outcomes.moved, 1, "the one that everything went to is moved from");
}

#[test]
fn a_database_with_two_names_is_not_moved_to_itself() {
    let mut scene = Scene::new();
    scene.target = scene.source.clone();
    scene.end(Wanted::There);
    assert_eq!(scene.outcomes.refused, 1);
    assert_eq!(scene.standings()[0], Standing::InService);
}
