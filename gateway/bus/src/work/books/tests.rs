use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const QUEUE: QueueIndex = QueueIndex(0);
const OTHER: QueueIndex = QueueIndex(1);

fn id(n: u128) -> OperationId {
    OperationId::from_bits(n)
}

fn books(concurrency: usize) -> Books<&'static str> {
    Books::new(concurrency, 2, 2)
}

fn arrive(books: &mut Books<&'static str>, queue: QueueIndex, ids: impl IntoIterator<Item = u128>) {
    for n in ids {
        let tenant = Tenant::anonymous();
        books.arrive(Arrival { id: id(n), tenant, queue, canceling: false, held: None });
    }
}

/// Everything that can be dealt now.
fn dealt(books: &mut Books<&'static str>) -> Vec<(&'static str, Vec<u128>)> {
    let deals = std::iter::from_fn(|| books.deal());
    deals
        .map(|deal| (deal.reply, deal.ids.into_iter().map(OperationId::to_bits).collect()))
        .collect()
}

#[test]
fn what_is_ready_is_shared_out_evenly_and_the_longest_wait_comes_first() {
    let mut books = books(100);
    books.ask(QUEUE, 100, "first");
    books.ask(QUEUE, 1, "second");
    books.ask(QUEUE, 100, "third");
    arrive(&mut books, QUEUE, 1..=7);
    let shares = [("first", vec![1, 2, 3]), ("second", vec![4]), ("third", vec![5, 6, 7])];
    assert_eq!(dealt(&mut books), shares);
}

#[test]
fn one_operation_is_dealt_to_one_asker() {
    let mut books = books(100);
    books.ask(QUEUE, 100, "first");
    books.ask(QUEUE, 100, "second");
    arrive(&mut books, QUEUE, [1]);
    assert_eq!(dealt(&mut books), [("first", vec![1])]);
    arrive(&mut books, OTHER, [2]);
    assert_eq!(dealt(&mut books), []);
    assert_eq!(books.counts(), [1, 1, 1]);
}

#[test]
fn queues_take_turns_where_there_is_room_for_one() {
    let mut books = books(1);
    for _ in 0..2 {
        books.ask(QUEUE, 1, "here");
        books.ask(OTHER, 1, "there");
    }
    arrive(&mut books, QUEUE, [1, 2]);
    arrive(&mut books, OTHER, [3, 4]);
    let mut order = Vec::new();
    while let [(_, ids)] = &dealt(&mut books)[..] {
        order.push(ids[0]);
        books.forget(id(ids[0]));
    }
    assert_eq!(order, [1, 3, 2, 4]);
}

#[test]
fn what_leads_to_another_queue_goes_there_from_wherever_it_is() {
    let mut books = books(100);
    arrive(&mut books, QUEUE, [1, 2, 3, 4]);
    books.ask(QUEUE, 1, "gone");
    assert_eq!(dealt(&mut books), [("gone", vec![1])]);
    for n in [1, 2] {
        assert_eq!(books.reroute(id(n), Some(OTHER)), Moved::Within);
        assert_eq!(books.reroute(id(n), Some(OTHER)), Moved::No);
    }
    // What was claimed has no place of its own there: it must not take another's.
    books.give_back(id(1));
    assert_eq!(books.reroute(id(3), None), Moved::Gone);
    assert_eq!(books.reroute(id(3), None), Moved::No);
    assert_eq!([QUEUE, OTHER].map(|queue| books.depth(queue)), [1, 2]);
    books.ask(OTHER, 100, "there");
    books.ask(QUEUE, 100, "here");
    let mut dealt = dealt(&mut books);
    dealt.sort_unstable();
    assert_eq!(dealt, [("here", vec![4]), ("there", vec![2, 1])]);
    assert_eq!(books.counts(), [0, 3, 0]);
}

#[test]
fn what_somebody_holds_leaves_when_nobody_does() {
    let mut books = books(100);
    arrive(&mut books, QUEUE, [1, 2, 3]);
    books.ask(QUEUE, 3, "all");
    assert_eq!(dealt(&mut books).len(), 1);
    let until = Instant::now();
    books.hold(id(1), Epoch(1), until, "ann");
    books.hold(id(2), Epoch(1), until + Duration::from_secs(1), "bob");
    for n in 1..=3 {
        assert_eq!(books.reroute(id(n), None), Moved::No);
    }
    assert_eq!(books.ends(), []);
    // One that its route leads back to stays.
    assert_eq!(books.reroute(id(2), Some(QUEUE)), Moved::No);
    assert_eq!(books.due(until + Duration::from_secs(2)).len(), 2);
    books.give_back(id(3));
    assert_eq!(books.ends(), [(id(1), End::Moved), (id(3), End::Moved)]);
    assert_eq!(books.depth(QUEUE), 1);
}

#[test]
fn what_an_asker_leaves_keeps_its_place() {
    let mut books = books(100);
    arrive(&mut books, QUEUE, [1, 2]);
    books.ask(QUEUE, 1, "gone");
    assert_eq!(dealt(&mut books), [("gone", vec![1])]);
    books.give_back(id(1));
    books.ask(QUEUE, 1, "next");
    assert_eq!(dealt(&mut books), [("next", vec![1])]);
    // It ends while it is dealt: there is nothing to give back or to hold.
    books.forget(id(1));
    books.give_back(id(1));
    assert_eq!(books.hold(id(1), Epoch(1), Instant::now(), "next"), None);
    assert_eq!(books.counts(), [1, 0, 0]);
}

#[test]
fn what_is_to_end_is_told_once_and_again_to_a_new_listener() {
    let mut books = books(100);
    arrive(&mut books, QUEUE, [1]);
    books.cancel(id(1));
    books.cancel(id(1));
    assert_eq!(books.ends(), [(id(1), End::Canceled)]);
    assert_eq!(books.ends(), []);
    books.retell();
    assert_eq!(books.ends(), [(id(1), End::Canceled)]);
    books.ask(QUEUE, 1, "late");
    assert_eq!(dealt(&mut books), []);
}

#[test]
fn what_is_overdue_is_dealt_no_more_once_nobody_holds_it() {
    let mut books = books(100);
    arrive(&mut books, QUEUE, [1, 2]);
    books.ask(QUEUE, 1, "holder");
    assert_eq!(dealt(&mut books), [("holder", vec![1])]);
    books.hold(id(1), Epoch(1), Instant::now(), "holder");
    books.overdue(id(1));
    books.overdue(id(2));
    assert_eq!(books.due(Instant::now()).len(), 1);
    books.ask(QUEUE, 2, "next");
    assert_eq!(dealt(&mut books), []);
    assert_eq!(books.ends(), []);
    assert_eq!(books.counts(), [0, 0, 1]);
}

#[test]
fn more_presumed_leases_than_allowed_leave_no_room() {
    let mut books = books(1);
    let until = Instant::now() + Duration::from_secs(1);
    for n in 1..=2 {
        let (tenant, held) = (Tenant::anonymous(), Some((Epoch(1), until)));
        books.arrive(Arrival { id: id(n), tenant, queue: QUEUE, canceling: false, held });
    }
    arrive(&mut books, QUEUE, [3]);
    books.ask(QUEUE, 1, "next");
    assert_eq!(dealt(&mut books), []);
    books.forget(id(1));
    assert_eq!(dealt(&mut books), []);
    books.forget(id(2));
    assert_eq!(dealt(&mut books), [("next", vec![3])]);
}

#[derive(Clone, Debug)]
enum Step {
    Arrive,
    Forget(u128),
    Cancel(u128),
    Overdue(u128),
    Ask(usize),
    LeaveAsk(u64),
    GiveBack(u128),
    Hold(u128),
    Release(u128, Option<u64>),
    Fail(u128),
    Due,
}

fn step() -> impl Strategy<Value = Step> {
    let some = 0_u128..12;
    prop_oneof![
        4 => Just(Step::Arrive),
        1 => some.clone().prop_map(Step::Forget),
        1 => some.clone().prop_map(Step::Cancel),
        1 => some.clone().prop_map(Step::Overdue),
        4 => (1..4_usize).prop_map(Step::Ask),
        1 => (0..12_u64).prop_map(Step::LeaveAsk),
        2 => some.clone().prop_map(Step::GiveBack),
        4 => some.clone().prop_map(Step::Hold),
        1 => some.clone().prop_map(Step::Fail),
        2 => (some, proptest::option::of(0..5_u64)).prop_map(|(n, rest)| Step::Release(n, rest)),
        2 => Just(Step::Due),
    ]
}

proptest! {
    /// Whatever happens, the counts are those of the places, and nothing is left undealt that
    /// could be dealt.
    #[test]
    fn the_counts_are_true(steps in vec(step(), 0..80)) {
        let mut books = books(3);
        let (mut now, mut next) = (Instant::now(), 0_u128);
        for step in steps {
            match step {
                Step::Arrive => {
                    arrive(&mut books, QueueIndex(usize::from(next % 3 == 0)), [next]);
                    next += 1;
                }
                Step::Forget(n) => _ = books.forget(id(n)),
                Step::Cancel(n) => books.cancel(id(n)),
                Step::Overdue(n) => books.overdue(id(n)),
                Step::Ask(max) => _ = books.ask(QUEUE, max, "asker"),
                Step::LeaveAsk(ticket) => books.leave_ask(QUEUE, ticket),
                Step::GiveBack(n) => books.give_back(id(n)),
                Step::Hold(n) => {
                    let until = now + Duration::from_secs(2);
                    books.hold(id(n), Epoch(1), until, "worker");
                }
                Step::Release(n, rest) => {
                    if books.held(id(n), Epoch(1), now).is_ok() {
                        let rest = rest.map(|rest| now + Duration::from_secs(rest));
                        books.release(id(n), Epoch(1), rest);
                    }
                }
                Step::Fail(n) => {
                    let before = books.items.get(&id(n)).map(|item| item.expired);
                    if let Some(lapse) = books.fail(id(n), Epoch(1)) {
                        prop_assert_eq!(Some(lapse.expired - 1), before);
                        prop_assert!(books.held(id(n), Epoch(1), now).is_err());
                    }
                }
                Step::Due => {
                    now += Duration::from_secs(1);
                    books.due(now);
                }
            }
            dealt(&mut books);
            let place = |holds: fn(&Place) -> bool| {
                books.items.values().filter(|item| holds(&item.place)).count()
            };
            let queued = place(|place| matches!(place, Place::Queued(_)));
            let resting = place(|place| matches!(place, Place::Resting(_)));
            let out = place(|place| matches!(place, Place::Claimed(_) | Place::Held(_)));
            let held = place(|place| matches!(place, Place::Held(_)));
            let asks: usize = books.queues.iter().map(|queue| queue.asks.len()).sum();
            prop_assert_eq!(books.counts(), [queued + resting, out, asks]);
            prop_assert_eq!(books.timers.len(), held + resting);
            let depths = books.depth(QUEUE) + books.depth(OTHER);
            prop_assert_eq!(depths, queued + resting);
            let ready: usize = books.queues[0].ready.len();
            prop_assert!(ready == 0 || books.queues[0].asks.is_empty() || out >= 3);
        }
    }
}

#[test]
fn a_cancel_request_that_was_missed_is_heard_of_when_the_operation_comes_again() {
    let mut books = books(100);
    arrive(&mut books, QUEUE, [1, 2]);
    let tenant = Tenant::anonymous();
    books.arrive(Arrival { id: id(1), tenant, queue: QUEUE, canceling: true, held: None });
    assert_eq!(books.ends(), [(id(1), End::Canceled)]);
    books.ask(QUEUE, 100, "worker");
    assert_eq!(dealt(&mut books), [("worker", vec![2])]);
}
