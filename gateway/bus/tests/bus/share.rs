//! Operations that share one job: who begins it, who joins it, and when it is canceled.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use opgate_bus::core::{
    Error, ErrorKind, Expects, Face, Kind, OperationId, Outcome, Payload, Progress, Report, State,
};
use opgate_bus::{
    Admission, Backend, Backoff, Bus, Caller, CancelAttempt, Lease, Offer, Options, Route, Router,
    Snapshot, Start, Until,
};
use opgate_store::{Clock, Durability, Store};
use opgate_telemetry::Metrics;
use proptest::prelude::*;
use tempfile::{TempDir, tempdir};
use tokio::sync::{Notify, watch};

use crate::support::{LONG, RETENTION, stranger, succeeded};

/// What an upstream knows of a job.
#[derive(Clone, Debug, Default)]
struct Job {
    /// How often it was told to cancel it.
    cancels: u32,
    ended: Option<Outcome>,
    percent: f64,
}

/// An upstream that ends jobs when it is told to.
#[derive(Debug)]
struct Upstream {
    jobs: watch::Sender<BTreeMap<OperationId, Job>>,
    /// Who looks at a job now.
    looking: Mutex<HashMap<OperationId, usize>>,
}

impl Upstream {
    fn new() -> Arc<Self> {
        Arc::new(Self { jobs: watch::channel(BTreeMap::new()).0, looking: Mutex::default() })
    }

    fn change(&self, job: OperationId, change: impl FnOnce(&mut Job)) {
        self.jobs.send_modify(|jobs| change(jobs.entry(job).or_default()));
    }

    fn end(&self, job: OperationId, outcome: Outcome) {
        self.change(job, |job| job.ended = job.ended.take().or(Some(outcome)));
    }

    /// The job once `holds` is true of what is known of it here.
    async fn until(&self, job: OperationId, holds: impl Fn(&Job) -> bool) -> Job {
        let mut jobs = self.jobs.subscribe();
        let known = jobs.wait_for(|jobs| jobs.get(&job).is_some_and(&holds)).await.unwrap();
        known[&job].clone()
    }

    async fn carry(self: Arc<Self>, lease: Lease) -> Result<Outcome, Error> {
        let id = lease.operation().id;
        assert!(lease.operation().is_job(), "an interest is no work");
        let looking = {
            let mut looking = self.looking.lock().unwrap();
            let count = looking.entry(id).or_default();
            *count += 1;
            *count
        };
        assert_eq!(looking, 1, "one looks at a time");
        let _looks = Looks(Arc::clone(&self), id);
        // What is told twice is the same start.
        self.change(id, |_| {});
        let hurry = Notify::new();
        let attempt = |_| async {
            self.change(id, |job| {
                job.cancels += 1;
                job.ended = Some(Outcome::Canceled(None));
            });
            CancelAttempt::Acknowledged
        };
        let ended = async {
            let mut told = 0.0;
            loop {
                let job = self.until(id, |job| job.ended.is_some() || job.percent > told).await;
                if job.percent > told {
                    told = job.percent;
                    let progress = Progress { percent: Some(told), ..Progress::default() };
                    lease.report(Report { progress: Some(progress), ..Report::default() }).await?;
                }
                if let Some(outcome) = job.ended {
                    return Ok(outcome);
                }
            }
        };
        tokio::select! {
            biased;
            outcome = ended => outcome,
            never = lease.pass_cancel_on(Backoff::default(), &hurry, attempt) => match never {},
        }
    }
}

/// Counts who looks at a job.
struct Looks(Arc<Upstream>, OperationId);

impl Drop for Looks {
    fn drop(&mut self) {
        *self.0.looking.lock().unwrap().get_mut(&self.1).unwrap() -= 1;
    }
}

#[derive(Debug)]
struct Calls(Arc<Upstream>);

impl Backend for Calls {
    fn admit(&self, offer: &Offer<'_>) -> Result<Admission, Error> {
        match &*offer.start.input.bytes {
            br#"{"key":"done"}"# => Ok(Admission::Done(succeeded("done"))),
            _ => Ok(Admission::Accept),
        }
    }

    fn run(&self, lease: Lease) -> Pin<Box<dyn Future<Output = Result<Outcome, Error>> + Send>> {
        Box::pin(Arc::clone(&self.0).carry(lease))
    }
}

struct Bench {
    bus: Bus,
    store: Store,
    upstream: Arc<Upstream>,
    caller: Caller,
}

impl Bench {
    fn open(dir: &TempDir, upstream: &Arc<Upstream>) -> Self {
        let mut options = opgate_store::Options::new(dir.path().join("data"));
        options.durability = Durability::Memory;
        let metrics = Metrics::register(&["upstream"]);
        let (store, _) = Store::open(&options, Clock::System, &metrics).unwrap();
        let router = Router::builder()
            // There is room for one job, and for any number of those who share it.
            .backend("upstream", Arc::new(Calls(Arc::clone(upstream))), 1)
            .route(Route {
                name: "route".into(),
                kind: Kind::new("test", "share").unwrap(),
                backend: "upstream".into(),
                retention: RETENTION,
                timeout: None,
                options: BTreeMap::new(),
                expects: Expects::default(),
                resources: Vec::new(),
            })
            .share("route", "${/key}")
            .build()
            .unwrap();
        let bus = Bus::open(store.clone(), router, Options::default(), metrics);
        Self { bus, store, upstream: Arc::clone(upstream), caller: Caller::anonymous() }
    }

    async fn restart(self, dir: &TempDir) -> Self {
        self.bus.drain().await;
        let upstream = Arc::clone(&self.upstream);
        drop(self);
        Self::open(dir, &upstream)
    }

    async fn start_for(&self, caller: &Caller, input: &str) -> Arc<Snapshot> {
        let start = Start::new(Face::Native, "test", "route", Payload::json(input.to_owned()));
        self.bus.start(caller, start).await.unwrap().snapshot
    }

    async fn start(&self, key: &str) -> Arc<Snapshot> {
        self.start_for(&self.caller, &format!(r#"{{"key":"{key}"}}"#)).await
    }

    async fn ended(&self, id: OperationId) -> Arc<Snapshot> {
        let now = self.bus.wait(&self.caller, id, Until::Done, LONG).await.unwrap();
        assert!(now.is_done(), "{now:?}");
        now
    }

    async fn job(&self, id: OperationId) -> Arc<Snapshot> {
        self.store.get(id).await.unwrap().unwrap()
    }
}

#[tokio::test]
async fn one_job_is_begun_and_each_has_its_progress_and_its_end() {
    let dir = tempdir().unwrap();
    let bench = Bench::open(&dir, &Upstream::new());
    let first = bench.start("a").await;
    let job = first.job().unwrap();
    let second = bench.start("a").await;
    assert_eq!((second.job(), second.id == first.id), (Some(job), false));
    assert_eq!(bench.job(job).await.interests(), [first.id, second.id]);
    // Another key, another tenant, and an input without a key are other work.
    let others =
        [bench.start("b").await.job(), bench.start_for(&stranger(), r#"{"key":"a"}"#).await.job()];
    assert!(!others.contains(&Some(job)) && others[0] != others[1]);
    let own = bench.start_for(&bench.caller, "{}").await;
    assert_eq!((own.job(), own.is_job()), (None, false));
    // What is done at once is nobody else's.
    assert_eq!(bench.start("done").await.job(), None);

    bench.upstream.change(job, |job| job.percent = 40.0);
    for id in [first.id, second.id] {
        let mut now = bench.bus.get(&bench.caller, id).await.unwrap();
        while now.progress.as_ref().and_then(|progress| progress.percent) != Some(40.0) {
            let until = Until::Newer(now.version);
            now = bench.bus.wait(&bench.caller, id, until, LONG).await.unwrap();
        }
    }
    bench.upstream.end(job, succeeded("built"));
    for id in [first.id, second.id] {
        assert_eq!(bench.ended(id).await.outcome, Some(succeeded("built")));
    }
    // The next one with that key is another's.
    assert_ne!(bench.start("a").await.job(), Some(job));
}

#[tokio::test]
async fn nobody_sees_a_job_and_nobody_can_touch_it() {
    let dir = tempdir().unwrap();
    let bench = Bench::open(&dir, &Upstream::new());
    let interest = bench.start("a").await;
    let job = interest.job().unwrap();
    let (bus, caller) = (&bench.bus, &bench.caller);
    let refused = [
        bus.get(caller, job).await.map(drop),
        bus.cancel(caller, job, "").await.map(drop),
        bus.remove(caller, job).await.map(drop),
        bus.finish(caller, job, succeeded("by hand")).await.map(drop),
    ];
    assert!(refused.iter().all(|told| told.as_ref().unwrap_err().kind == ErrorKind::NotFound));
    assert!(bench.job(job).await.cancel.is_none());
}

#[tokio::test]
async fn who_leaves_is_canceled_at_once_and_the_last_one_takes_the_job_along() {
    let dir = tempdir().unwrap();
    let bench = Bench::open(&dir, &Upstream::new());
    let (first, second) = (bench.start("a").await, bench.start("a").await);
    let job = first.job().unwrap();
    bench.upstream.until(job, |_| true).await;
    let canceled = bench.bus.cancel(&bench.caller, first.id, "enough").await.unwrap().snapshot;
    assert_eq!(canceled.state, State::Canceled);
    assert!(bench.job(job).await.cancel.is_none());
    let third = bench.start("a").await;
    assert_eq!(third.job(), Some(job));
    bench.bus.remove(&bench.caller, second.id).await.unwrap();
    assert!(bench.job(job).await.cancel.is_none());
    bench.bus.cancel(&bench.caller, third.id, "enough").await.unwrap();
    let left = bench.job(job).await;
    assert_eq!(left.cancel.as_ref().map(|cancel| &*cancel.reason), Some("enough"));
    // Who comes now is not canceled along with it.
    let fourth = bench.start("a").await;
    assert_ne!(fourth.job(), Some(job));
    assert_eq!(bench.upstream.until(job, |job| job.ended.is_some()).await.cancels, 1);
}

/// What happens.
#[derive(Clone, Debug)]
enum Step {
    /// Somebody starts work of this key.
    Start(u8),
    /// One of those who started some leaves it.
    Leave(prop::sample::Index, Way),
    /// The work of one of them ends upstream.
    End(prop::sample::Index),
    Restart,
}

#[derive(Clone, Copy, Debug)]
enum Way {
    Cancel,
    Remove,
    ByHand,
}

/// A job as it ought to be.
#[derive(Debug, Default)]
struct Expected {
    interests: Vec<OperationId>,
    /// It has ended upstream, and here about now.
    ended: bool,
    /// All had left before.
    canceled: bool,
}

async fn play(dir: &TempDir, steps: &[Step]) {
    let upstream = Upstream::new();
    let mut bench = Bench::open(dir, &upstream);
    let mut jobs: BTreeMap<OperationId, Expected> = BTreeMap::new();
    let mut of_key: HashMap<u8, OperationId> = HashMap::new();
    // All that were started, and whose.
    let mut started: Vec<(OperationId, OperationId)> = Vec::new();
    let mut left = BTreeSet::new();
    for step in steps {
        match step {
            Step::Start(key) => {
                let snapshot = bench.start(&key.to_string()).await;
                let job = snapshot.job().unwrap();
                let before = of_key.insert(*key, job);
                let joins = before.and_then(|before| {
                    let known = &jobs[&before];
                    // What is about to end may be joined, or may have ended.
                    let ends = known.ended && before == job;
                    (ends || !(known.ended || known.canceled)).then_some(before)
                });
                assert_eq!(joins.is_some(), jobs.contains_key(&job), "{steps:?}");
                assert!(joins.is_none_or(|before| before == job), "{steps:?}");
                jobs.entry(job).or_default().interests.push(snapshot.id);
                started.push((snapshot.id, job));
            }
            Step::Leave(index, way) if !started.is_empty() => {
                let (id, job) = *index.get(&started);
                let expected = jobs.get_mut(&job).unwrap();
                if expected.ended || !left.insert(id) {
                    continue;
                }
                let (bus, caller) = (&bench.bus, &bench.caller);
                match way {
                    Way::Cancel => {
                        let now = bus.cancel(caller, id, "").await.unwrap().snapshot;
                        assert_eq!(now.state, State::Canceled);
                    }
                    Way::Remove => drop(bus.remove(caller, id).await.unwrap()),
                    Way::ByHand => drop(bus.finish(caller, id, succeeded("mine")).await.unwrap()),
                }
                expected.interests.retain(|known| *known != id);
                expected.canceled = expected.interests.is_empty();
                let now = bench.job(job).await;
                assert_eq!(now.interests(), expected.interests, "{steps:?}");
                assert_eq!(now.cancel.is_some(), expected.canceled, "{steps:?}");
            }
            Step::End(index) if !started.is_empty() => {
                let (_, job) = *index.get(&started);
                let expected = jobs.get_mut(&job).unwrap();
                if !expected.canceled {
                    expected.ended = true;
                    upstream.end(job, succeeded("built"));
                }
            }
            Step::Leave(..) | Step::End(_) => {}
            Step::Restart => bench = bench.restart(dir).await,
        }
    }
    // Each job that is not over ends; there is room for one at a time.
    for (job, expected) in &jobs {
        if !expected.canceled {
            upstream.end(*job, succeeded("built"));
        }
    }
    for (id, _) in started.iter().filter(|(id, _)| !left.contains(id)) {
        assert_eq!(bench.ended(*id).await.outcome, Some(succeeded("built")), "{steps:?}");
    }
    // A batch is shown operation by operation: that of the last end is, as a whole, before this one is answered.
    bench.start("done").await;
    for (id, job) in &started {
        assert!(!bench.job(*job).await.interests().contains(id), "{steps:?}");
    }
    bench.bus.drain().await;
    let known = upstream.jobs.borrow();
    assert!(known.keys().all(|job| jobs.contains_key(job)), "{steps:?}");
    for (job, expected) in &jobs {
        let told = known.get(job).map_or(0, |job| job.cancels);
        assert!(told <= u32::from(expected.canceled), "{steps:?}");
    }
}

#[test]
fn in_whatever_order_a_job_is_begun_once_and_canceled_exactly_when_all_have_left() {
    let way = prop_oneof![Just(Way::Cancel), Just(Way::Remove), Just(Way::ByHand)];
    let step = prop_oneof![
        5 => (0..2_u8).prop_map(Step::Start),
        6 => (any::<prop::sample::Index>(), way).prop_map(|(index, way)| Step::Leave(index, way)),
        1 => any::<prop::sample::Index>().prop_map(Step::End),
        1 => Just(Step::Restart),
    ];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let cases = ProptestConfig::with_cases(48);
    proptest!(cases, |(steps in prop::collection::vec(step, 0..24))| {
        let dir = tempdir().unwrap();
        runtime.block_on(play(&dir, &steps));
    });
}
