//! Lists by offset.

use fe2o3_amqp_types::primitives::SimpleValue;
use opgate_bus::Caller;
use opgate_bus::core::OperationId;
use proptest::prelude::*;
use serde_amqp::Value;

use super::node::*;

fn page(offset: usize, count: usize) -> Ask {
    let number = |number: usize| SimpleValue::Uint(u32::try_from(number).unwrap());
    let ask = ask("QUERY", MANAGEMENT).with("name", "self").with("entityType", OPERATION);
    ask.with("offset", number(offset))
        .with("count", number(count))
        .body(map([("attributeNames", Value::List(vec!["identity".into()]))]))
}

#[tokio::test]
async fn a_query_has_the_columns_that_were_asked_for() {
    let node = Node::open();
    let identity = node.running().await;
    let names = ["state", "none", "identity", "state"].map(Value::from).to_vec();
    let body = map([("attributeNames", Value::List(names.clone()))]);
    let found = node.send(ask("QUERY", MANAGEMENT).body(body)).await;
    assert_eq!(found.field("attributeNames"), Value::List(names));
    let [row] = &*found.rows() else { panic!("{found:?}") };
    assert_eq!(row[1..3], [Value::Null, identity.into()]);
    assert_eq!(row[0], row[3]);
    // All of them, but for what is large.
    let found = node.send(ask("QUERY", "")).await;
    let Value::List(names) = found.field("attributeNames") else { panic!("{found:?}") };
    assert!(names.contains(&"state".into()) && !names.contains(&"input".into()));
    assert_eq!(found.rows()[0].len(), names.len());
    // Of other types there are no entities.
    let other = ask("QUERY", MANAGEMENT).with("entityType", "org.apache.qpid.dispatch.router");
    assert_eq!(node.send(other).await.rows().len(), 0);
    assert_eq!(node.send(page(0, 0)).await.rows().len(), 0);
    assert_eq!(node.send(page(7, 10)).await.rows().len(), 0);
}

#[tokio::test]
async fn an_argument_in_the_wrong_place_is_told_and_not_passed_over() {
    let node = Node::open();
    for name in ["filter", "count", "offset", "entityType"] {
        let refused = node.send(ask("QUERY", MANAGEMENT).body(map([(name, "1".into())]))).await;
        assert_eq!(refused.refusal(name).0, 400);
    }
    // A client has it so.
    let other = map([("attribute_names", Value::List(Vec::new()))]);
    assert_eq!(node.send(ask("QUERY", MANAGEMENT).body(other)).await.status(), 200);
}

#[tokio::test]
async fn a_query_is_of_what_lies_beneath_its_node_and_passes_the_filter() {
    let node = Node::open();
    for (route, parent) in [("run", "p/a"), ("nothing", "p/a"), ("nothing", "p/b"), ("run", "q")] {
        let body = map([("route", route.into()), ("parent", parent.into())]);
        assert_eq!(node.send(ask("CREATE", OPERATION).body(body)).await.status(), 201);
    }
    let count = |ask: Ask| async { node.send(ask).await.rows().len() };
    assert_eq!(count(page(0, 10)).await, 4);
    assert_eq!(count(page(0, 10).at("p/$management")).await, 3);
    assert_eq!(count(page(0, 10).at("p/a/$management")).await, 2);
    assert_eq!(count(page(0, 10).with("filter", "state = SUCCEEDED")).await, 2);
    let both = page(0, 10).at("p/a/$management").with("filter", "state = SUCCEEDED");
    assert_eq!(count(both).await, 1);
}

#[tokio::test]
async fn more_rows_than_fit_are_not_cut_without_a_word() {
    let node = Node::open();
    for _ in 0..1001 {
        node.running().await;
    }
    let refused = node.send(page(0, 5000)).await;
    assert_eq!(refused.refusal("count"), (400, "amqp:invalid-field".to_owned()));
    assert_eq!(node.send(page(0, 1000)).await.rows().len(), 1000);
    assert_eq!(node.send(page(1000, 5000)).await.rows().len(), 1);
    // Who says no number takes what there is.
    assert_eq!(node.send(ask("QUERY", MANAGEMENT)).await.rows().len(), 1000);
}

#[tokio::test]
async fn what_is_gone_keeps_its_row() {
    let node = Node::open();
    let mut made = Vec::new();
    for _ in 0..4 {
        made.insert(0, node.running().await);
    }
    assert_eq!(node.send(page(0, 2)).await.column(), made[..2]);
    for gone in [&made[1], &made[3]] {
        let gone: OperationId = gone.parse().unwrap();
        node.bus.remove(&Caller::anonymous(), gone).await.unwrap();
    }
    // Its row was told of: what follows has not moved. What was not told of yet is not there.
    let again = page(1, 1)
        .body(map([("attributeNames", Value::List(vec!["identity".into(), "state".into()]))]));
    assert_eq!(node.send(again).await.rows(), [[Value::from(&*made[1]), Value::Null]]);
    assert_eq!(node.send(page(2, 10)).await.column(), made[2..3]);
}

/// What happens between two pages.
#[derive(Clone, Debug)]
enum Step {
    /// A page of so many rows by one of two who read.
    Page(usize, usize),
    /// Somebody starts operations.
    Start(usize),
    /// Somebody deletes the one in this place.
    Delete(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..2_usize, 1..6_usize).prop_map(|(who, count)| Step::Page(who, count)),
        2 => (1..4_usize).prop_map(Step::Start),
        1 => (0..20_usize).prop_map(Step::Delete),
    ];
    proptest::collection::vec(step, 0..30)
}

/// One who reads a list to its end.
#[derive(Default)]
struct Reader {
    offset: usize,
    seen: Vec<String>,
    /// Whether a page was short: there is no other, and to ask from 0 would be a new list.
    done: bool,
    /// What was there at its first page.
    there: Option<Vec<String>>,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Each operation that was there when a list was begun is in exactly one row, however its pages are
    /// cut, whatever is started meanwhile, and whoever reads beside; nothing newer is in any, and what
    /// is deleted before its row is read may be missing.
    #[test]
    fn a_list_is_what_it_was_when_it_was_begun(first in 0..12_usize, steps in steps(), same_link: bool) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let node = Node::open();
            let mut stored = Vec::new();
            for _ in 0..first {
                stored.push(node.running().await);
            }
            let mut deleted = Vec::new();
            let mut readers = [Reader::default(), Reader::default()];
            let rest = (0..2).flat_map(|who| std::iter::repeat_n(Step::Page(who, 5), 12));
            for step in steps.into_iter().chain(rest) {
                match step {
                    Step::Start(count) => for _ in 0..count {
                        stored.push(node.running().await);
                    },
                    Step::Delete(place) => {
                        if place < stored.len() {
                            let gone = stored.remove(place);
                            let deletion = ask("DELETE", OPERATION).identity(&gone);
                            assert_eq!(node.send(deletion).await.status(), 204);
                            deleted.push(gone);
                        }
                    }
                    Step::Page(who, count) => {
                        let reader = &mut readers[who];
                        if reader.done {
                            continue;
                        }
                        if reader.there.is_none() {
                            reader.there = Some(stored.clone());
                        }
                        // Two who read over one link never stand at one offset: they could not be told
                        // apart.
                        let link = if same_link { 1 } else { 1 + u64::try_from(who).unwrap() };
                        let filter = if same_link && who == 1 { "state != FAILED" } else { "" };
                        let ask = page(reader.offset, count).by(link).with("filter", filter);
                        let rows = node.send(ask).await.column();
                        assert!(rows.len() <= count);
                        reader.done = rows.len() < count;
                        reader.offset += rows.len();
                        reader.seen.extend(rows);
                    }
                }
            }
            for Reader { mut seen, there, .. } in readers {
                let there = there.unwrap();
                let rows = seen.len();
                seen.sort();
                seen.dedup();
                assert_eq!(seen.len(), rows, "a row came twice");
                assert!(seen.iter().all(|row| there.contains(row)), "something newer came");
                let missing: Vec<&String> = there.iter().filter(|one| !seen.contains(one)).collect();
                assert!(missing.iter().all(|one| deleted.contains(one)), "{missing:?} did not come");
            }
        });
    }
}
