//! Listing.

use std::collections::HashSet;
use std::sync::Arc;

use opgate_bus::core::{Error, ErrorKind, Operation, OperationId, Parent};
use opgate_bus::{Filter, List, Listing, Start};
use tempfile::tempdir;

use crate::support::{Bench, Setup, start, stranger};

fn list(scope: &str, page_size: usize) -> List {
    List { scope: Parent::new(scope).unwrap(), page_size, page_token: String::new(), filter: None }
}

async fn start_in(bench: &Bench, parent: &str, instruction: &str) -> OperationId {
    let start = Start { parent: Parent::new(parent).unwrap(), ..start(instruction) };
    bench.bus.start(&bench.caller, start).await.unwrap().snapshot.id
}

fn ids(listing: &Listing) -> Vec<OperationId> {
    listing.items.iter().map(|item| item.id).collect()
}

#[tokio::test]
async fn a_walk_among_inserts_is_complete_and_without_repeats() {
    let dir = tempdir().unwrap();
    let bench = Setup::at(&dir).open();
    let mut expected = Vec::new();
    for n in 0..95 {
        expected.push(start_in(&bench, &format!("projects/{}", n % 40), "done").await);
    }
    expected.reverse();
    let mut seen = Vec::new();
    let mut page = list("", 7);
    loop {
        let listing = bench.bus.list(&bench.caller, page.clone()).await.unwrap();
        seen.extend(ids(&listing));
        if listing.next_page_token.is_empty() {
            break;
        }
        page.page_token = listing.next_page_token;
        // Page sizes may change on the way, and others start operations meanwhile.
        page.page_size = page.page_size % 11 + 1;
        start_in(&bench, "projects/new", "done").await;
    }
    assert_eq!(seen, expected);
    assert_eq!(seen.iter().collect::<HashSet<_>>().len(), seen.len());
}

#[tokio::test]
async fn a_scope_is_itself_and_what_lies_beneath_it() {
    let dir = tempdir().unwrap();
    let bench = Setup::at(&dir).open();
    let inside = start_in(&bench, "projects/p", "done").await;
    let beneath = start_in(&bench, "projects/p/locations/l", "done").await;
    let beside = start_in(&bench, "projects/pq", "done").await;
    let removed = start_in(&bench, "projects/p", "done").await;
    bench.bus.remove(&bench.caller, removed).await.unwrap();
    for (scope, expected) in [
        ("", vec![beside, beneath, inside]),
        ("projects/p", vec![beneath, inside]),
        ("projects/p/locations/l", vec![beneath]),
        ("nowhere", vec![]),
    ] {
        let listing = bench.bus.list(&bench.caller, list(scope, 100)).await.unwrap();
        assert_eq!((ids(&listing), listing.next_page_token.as_str()), (expected, ""), "{scope}");
    }
    let none = bench.bus.list(&stranger(), list("", 100)).await.unwrap();
    assert!(none.items.is_empty());
}

#[tokio::test]
async fn a_filter_lets_through_what_passes_it() {
    let dir = tempdir().unwrap();
    let bench = Setup::at(&dir).open();
    bench.start("done").await;
    let held = bench.start("hold").await;
    let mut open = list("", 100);
    open.filter = Some(Filter {
        text: "done = false".into(),
        passes: Arc::new(|operation: &Operation| !operation.is_done()),
    });
    let listing = bench.bus.list(&bench.caller, open).await.unwrap();
    assert_eq!(ids(&listing), [held]);
}

#[tokio::test]
async fn a_token_is_good_for_its_own_listing_only() {
    let dir = tempdir().unwrap();
    let bench = Setup::at(&dir).open();
    for _ in 0..3 {
        start_in(&bench, "p", "done").await;
    }
    let token = bench.bus.list(&bench.caller, list("p", 1)).await.unwrap().next_page_token;
    let with = |scope: &str, token: &str| List { page_token: token.to_owned(), ..list(scope, 1) };
    assert_eq!(bench.bus.list(&bench.caller, with("p", &token)).await.unwrap().items.len(), 1);
    let refused = |result: Result<Listing, Error>| {
        let error = result.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidArgument);
        assert_eq!(error.field.unwrap().field, "page_token");
    };
    refused(bench.bus.list(&bench.caller, with("", &token)).await);
    refused(bench.bus.list(&stranger(), with("p", &token)).await);
    refused(bench.bus.list(&bench.caller, with("p", "not a token")).await);
    refused(bench.bus.list(&bench.caller, with("p", &token.to_lowercase())).await);
    let filter = Filter { text: "x".into(), passes: Arc::new(|_: &Operation| true) };
    let filtered = List { filter: Some(filter), ..with("p", &token) };
    refused(bench.bus.list(&bench.caller, filtered).await);
}

#[tokio::test]
async fn a_token_outlives_the_process() {
    let dir = tempdir().unwrap();
    let first = Setup::at(&dir).open();
    let oldest = start_in(&first, "p", "done").await;
    start_in(&first, "p", "done").await;
    let token = first.bus.list(&first.caller, list("p", 1)).await.unwrap().next_page_token;
    first.bus.drain().await;
    drop(first);
    let second = Setup::at(&dir).open();
    let page = List { page_token: token, ..list("p", 1) };
    let listing = second.bus.list(&second.caller, page).await.unwrap();
    assert_eq!((ids(&listing), listing.next_page_token.as_str()), (vec![oldest], ""));
}
