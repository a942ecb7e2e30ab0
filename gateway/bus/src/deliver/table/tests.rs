//! What the table promises, at any sequence of what may happen to it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const SINCE: Timestamp = Timestamp::from_nanos(0);
const SECOND: Duration = Duration::from_secs(1);

fn limits() -> Callbacks {
    Callbacks {
        concurrency: 4,
        per_destination: 2,
        failures: 3,
        pause: SECOND * 60,
        owed: 8,
        ..Callbacks::default()
    }
}

fn key(n: u128) -> Key {
    Key { id: OperationId::from_bits(n), callback: 0 }
}

fn term(due: Instant) -> Term {
    Term { attempts: 0, since: SINCE, due, until: due + SECOND * 1000 }
}

struct Bench {
    table: Table,
    now: Instant,
}

impl Bench {
    fn new(limits: Callbacks) -> Self {
        Self { table: Table::new(limits), now: Instant::now() }
    }

    fn learn(&mut self, n: u128, destination: &str, after: Duration) {
        self.table.learn(key(n), &destination.into(), term(self.now + after), self.now);
    }

    /// All that may be begun now.
    fn begun(&mut self) -> Vec<u128> {
        let now = self.now;
        std::iter::from_fn(|| self.table.next(now)).map(|job| job.key().id.to_bits()).collect()
    }

    fn answered(&mut self, n: u128) {
        self.table.ended(Job::Attempt(key(n), 0), Went::Answered, None, self.now);
    }

    /// A failure, to be repeated a second later.
    fn failed(&mut self, n: u128) {
        let again = Some(term(self.now + SECOND));
        self.table.ended(Job::Attempt(key(n), 0), Went::Failed, again, self.now);
    }
}

#[test]
fn nothing_is_begun_before_it_is_due_and_the_table_says_when_to_look() {
    let mut bench = Bench::new(limits());
    assert_eq!(bench.table.looks(bench.now), None);
    bench.learn(1, "a", SECOND * 5);
    bench.learn(2, "a", SECOND * 3);
    assert_eq!(bench.begun(), [] as [u128; 0]);
    assert_eq!(bench.table.looks(bench.now), Some(bench.now + SECOND * 3));
    bench.now += SECOND * 3;
    assert_eq!(bench.begun(), [2]);
    bench.now += SECOND * 2;
    assert_eq!(bench.begun(), [1]);
}

#[test]
fn it_tells_which_is_owed_longest() {
    let (mut bench, at) = (Bench::new(limits()), |n| Timestamp::from_nanos(n));
    let owe = |bench: &mut Bench, n: u128, since: i64| {
        let term = Term { since: at(since), ..term(bench.now) };
        bench.table.learn(key(n), &"a".into(), term, bench.now);
    };
    assert_eq!(bench.table.oldest(), None);
    for (n, since) in [(1, 20), (2, 10), (3, 30)] {
        owe(&mut bench, n, since);
    }
    assert_eq!(bench.table.oldest(), Some(at(10)));
    bench.begun();
    assert_eq!(bench.table.oldest(), Some(at(10)), "it is under way, and owed");
    bench.answered(2);
    assert_eq!(bench.table.oldest(), Some(at(20)));
    let again = Some(Term { since: at(20), ..term(bench.now) });
    bench.table.ended(Job::Attempt(key(1), 0), Went::Failed, again, bench.now);
    assert_eq!(bench.table.oldest(), Some(at(20)));
    bench.begun();
    bench.answered(1);
    bench.answered(3);
    assert_eq!(bench.table.oldest(), None);
}

#[test]
fn destinations_take_turns_and_none_has_more_than_its_share_under_way() {
    let mut bench = Bench::new(limits());
    for n in 1..=4 {
        bench.learn(n, "a", Duration::ZERO);
    }
    bench.learn(5, "b", Duration::ZERO);
    bench.learn(6, "c", Duration::ZERO);
    let begun = bench.begun();
    assert_eq!(begun.len(), 4);
    assert!(begun.contains(&5) && begun.contains(&6), "{begun:?}");
    assert_eq!(bench.table.looks(bench.now), None, "as many as may be are under way");
    bench.answered(5);
    assert_eq!(bench.begun(), [] as [u128; 0], "a has its two, and nobody else waits");
    bench.answered(1);
    assert_eq!(bench.begun(), [3]);
}

#[test]
fn a_destination_that_fails_in_a_row_is_left_alone_and_then_tried_once() {
    let mut bench = Bench::new(limits());
    for n in 1..=6 {
        bench.learn(n, "a", Duration::ZERO);
    }
    bench.learn(7, "b", Duration::ZERO);
    assert_eq!(bench.begun(), [1, 7, 2]);
    bench.failed(1);
    assert_eq!(bench.begun(), [3]);
    bench.failed(2);
    assert_eq!((bench.begun(), bench.table.open()), (vec![4], 0));
    bench.failed(3);
    assert_eq!(bench.table.open(), 1);
    // What was under way with it may still end, and changes nothing.
    bench.failed(4);
    bench.answered(7);
    assert_eq!(bench.begun(), [] as [u128; 0]);
    assert_eq!(bench.table.looks(bench.now), Some(bench.now + SECOND * 60));

    bench.now += SECOND * 60;
    let probe = bench.begun();
    assert_eq!(probe.len(), 1);
    bench.failed(probe[0]);
    bench.now += SECOND * 59;
    assert_eq!(bench.begun(), [] as [u128; 0]);
    bench.now += SECOND;
    let probe = bench.begun();
    assert_eq!(probe.len(), 1);
    bench.answered(probe[0]);
    assert_eq!((bench.table.open(), bench.begun().len()), (0, 2));
}

#[test]
fn what_was_no_attempt_tells_nothing_of_the_destination() {
    let mut bench = Bench::new(Callbacks { failures: 1, ..limits() });
    bench.learn(1, "a", Duration::ZERO);
    bench.learn(2, "a", SECOND * 30);
    assert_eq!(bench.begun(), [1]);
    bench.failed(1);
    bench.now += SECOND * 60;
    let [probe] = bench.begun()[..] else { panic!("one probe") };
    bench.table.ended(Job::Attempt(key(probe), 0), Went::Unmade, None, bench.now);
    assert_eq!(bench.table.open(), 1);
    let [other] = bench.begun()[..] else { panic!("another probe at once") };
    assert_ne!(other, probe);
}

#[test]
fn what_is_over_while_its_destination_is_left_alone_is_given_up_unattempted() {
    let mut bench = Bench::new(Callbacks { failures: 1, ..limits() });
    let (a, now) = ("a".into(), bench.now);
    bench.table.learn(key(1), &a, term(now), now);
    let short = Term { until: now + SECOND * 60, ..term(now) };
    bench.table.learn(key(2), &a, short, now);
    bench.table.learn(key(3), &a, term(now), now);
    assert_eq!(bench.begun(), [1, 2]);
    bench.table.ended(Job::Attempt(key(2), 0), Went::Failed, Some(short), now);
    bench.failed(1);
    bench.now += SECOND * 60;
    let [probe] = bench.begun()[..] else { panic!("one probe") };
    bench.failed(probe);
    if probe != 2 {
        assert_eq!(bench.table.next(bench.now), Some(Job::GiveUp(key(2))));
        bench.table.ended(Job::GiveUp(key(2)), Went::Unmade, None, bench.now);
    }
    assert_eq!(bench.begun(), [] as [u128; 0]);
    assert_eq!(bench.table.open(), 1);
}

#[test]
fn of_a_full_table_the_largest_destination_makes_room() {
    let mut bench = Bench::new(limits());
    for n in 1..=9 {
        bench.learn(n, "a", SECOND * u32::try_from(n).unwrap());
    }
    assert!(!bench.table.touch(key(9)), "no room for one more of its own");
    bench.learn(10, "b", Duration::ZERO);
    assert!(bench.table.touch(key(10)) && !bench.table.touch(key(8)), "the last due has left");
    assert_eq!(bench.begun(), [10]);
    assert!(!bench.table.take_behind(), "there is no room yet");
    bench.answered(10);
    bench.now += SECOND * 7;
    let mut ended = 0;
    while let [first, ..] = bench.begun()[..] {
        for n in first..first + 2 {
            bench.answered(n);
            ended += 1;
        }
    }
    assert_eq!(ended, 8);
    assert!(bench.table.take_behind());
    assert!(!bench.table.take_behind(), "it is asked for once");
}

#[test]
fn what_is_heard_of_while_it_is_under_way_is_not_forgotten() {
    let mut bench = Bench::new(limits());
    bench.learn(1, "a", Duration::ZERO);
    assert_eq!(bench.begun(), [1]);
    assert!(bench.table.touch(key(1)));
    assert!(bench.table.ended(Job::Attempt(key(1), 0), Went::Answered, None, bench.now));
    assert!(bench.table.destinations.is_empty() && bench.table.sizes.is_empty());
}

#[derive(Clone, Debug)]
enum Step {
    Learn(u128, u8, u8),
    Pass(u8),
    End(usize, u8, Option<u8>),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0_u128..30, 0_u8..4, 0_u8..90).prop_map(|(n, to, due)| Step::Learn(n, to, due)),
        1 => (0_u8..70).prop_map(Step::Pass),
        4 => (any::<usize>(), 0_u8..3, proptest::option::of(0_u8..90))
            .prop_map(|(which, went, again)| Step::End(which, went, again)),
    ]
}

proptest! {
    #[test]
    fn nothing_is_early_lost_doubled_or_too_much_whatever_happens(steps in vec(step(), 0..200)) {
        let limits = limits();
        let mut bench = Bench::new(limits);
        let mut jobs: BTreeMap<Key, (Job, Arc<str>)> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Learn(n, to, due) => {
                    let after = SECOND * u32::from(due);
                    let until = bench.now + after + SECOND * 30;
                    let term = Term { attempts: 0, since: SINCE, due: bench.now + after, until };
                    bench.table.learn(key(n), &to.to_string().into(), term, bench.now);
                }
                Step::Pass(seconds) => bench.now += SECOND * u32::from(seconds),
                Step::End(which, went, again) => {
                    let Some((job, _)) = jobs.values().nth(which % jobs.len().max(1)).cloned() else {
                        continue;
                    };
                    jobs.remove(&job.key());
                    let went = [Went::Answered, Went::Failed, Went::Unmade][usize::from(went)];
                    let again = again.map(|due| {
                        let due = bench.now + SECOND * u32::from(due);
                        Term { attempts: 0, since: SINCE, due, until: due + SECOND * 30 }
                    });
                    bench.table.ended(job, went, again, bench.now);
                }
            }
            while let Some(job) = bench.table.next(bench.now) {
                let entry = &bench.table.entries[&job.key()];
                prop_assert!(entry.term.due <= bench.now, "early");
                if let Job::GiveUp(_) = job {
                    prop_assert!(entry.term.until <= bench.now, "given up early");
                }
                let doubled = jobs.insert(job.key(), (job, Arc::clone(&entry.destination)));
                prop_assert!(doubled.is_none());
            }
            let table = &bench.table;
            prop_assert!(table.entries.len() <= limits.owed);
            prop_assert_eq!(table.running, jobs.len());
            prop_assert!(jobs.len() <= limits.concurrency);
            let mut held = BTreeMap::<&str, usize>::new();
            for entry in table.entries.values() {
                *held.entry(&entry.destination).or_default() += 1;
            }
            prop_assert_eq!(table.destinations.len(), held.len());
            let open = table.destinations.values().filter(|destination| destination.is_open());
            prop_assert_eq!(table.open, open.count());
            for (name, destination) in &table.destinations {
                prop_assert_eq!(destination.held, held[&**name]);
                prop_assert!(table.sizes.contains(&(destination.held, Arc::clone(name))));
                let to_it = |(job, to): &&(Job, Arc<str>)| to == name && matches!(job, Job::Attempt(..));
                prop_assert_eq!(destination.running, jobs.values().filter(to_it).count());
                prop_assert!(destination.running <= limits.per_destination);
                // Whoever may be attempted some time is on the agenda or in line.
                match (destination.opens(limits.per_destination), destination.stand) {
                    (None, stand) => prop_assert_eq!(stand, Stand::Idle),
                    (Some(_), Stand::Turn(turn)) => prop_assert_eq!(&table.turns[&turn], name),
                    (Some(opens), Stand::At(at)) => {
                        prop_assert_eq!(opens, at);
                        prop_assert!(table.agenda.contains(&(at, Arc::clone(name))));
                    }
                    (Some(_), Stand::Idle) => prop_assert!(false, "stranded"),
                }
            }
            let stood: BTreeSet<_> = table.turns.values().chain(table.agenda.iter().map(|(_, name)| name)).collect();
            prop_assert_eq!(stood.len(), table.turns.len() + table.agenda.len());
        }
    }
}
