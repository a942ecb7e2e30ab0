use opgate_core::{ErrorKind, Header, OperationId, Outcome, Payload, State};
use proptest::prelude::*;

use super::*;
use crate::sample::{at, busy, ended, operation};

/// An execution of one action, as a build tool starts it.
fn execution() -> Operation {
    let mut execution = operation(None, None);
    execution.input = Payload::json(r#"{"actionDigest":{"hash":"ab12","sizeBytes":"34"}}"#);
    let header = |name: &str, value: &str| Header {
        name: name.into(),
        value: value.as_bytes().to_vec().into(),
    };
    // tool_details { tool_name: "bazel" tool_version: "9.1" } tool_invocation_id: "inv"
    // correlated_invocations_id: "cor" action_mnemonic: "CppCompile" target_id: "//a:b"
    // configuration_id: "cfg"
    let said = "CgwKBWJhemVsEgM5LjEaA2ludiIDY29yKgpDcHBDb21waWxlMgUvL2E6YjoDY2Zn";
    execution.headers = vec![
        header("build.bazel.remote.execution.v2.requestmetadata-bin", said),
        header("x-request-workflow", "build"),
        header("x-request-actor", "ci"),
        header("x-request-subject", "anna@example"),
    ];
    execution
}

fn passes(filter: &str, operation: &Operation) -> bool {
    let parsed = Filter::parse(filter).unwrap_or_else(|error| panic!("{filter}: {error:?}"));
    let passes = parsed.passes(operation);
    let early = parsed.early(&Operation { input: Payload::json(""), ..operation.clone() });
    assert!(early.is_none_or(|early| early == passes), "{filter}: decided early otherwise");
    passes
}

#[test]
fn every_key_reads_what_it_is_for() {
    let mut execution = execution();
    execution.times.started = Some(at(2));
    let id = execution.id.to_string();
    for (filter, expected) in [
        ("stage=QUEUED", true),
        ("stage = queued", true),
        ("stage!=queued", false),
        ("stage>CACHE_CHECK & stage<executing", true),
        (&format!("name={id}"), true),
        (&format!("name!={id}"), false),
        ("name>0", true),
        ("action_digest=ab12/34", true),
        ("action_digest!=ab12/34", false),
        ("action_digest=ab12/35", false),
        ("invocation_id=inv", true),
        ("correlated_invocations_id=cor", true),
        ("tool_name=bazel", true),
        ("tool_version>=9.1", true),
        ("tool_version>9.1", false),
        ("action_mnemonic=CppCompile", true),
        ("target_id=//a:b", true),
        ("configuration_id=cfg", true),
        ("client_workflow=build&client_actor=ci", true),
        ("client_subject=anna@example", true),
        ("queued_time=1970-01-01T00:00:01Z", true),
        ("queued_time=1970-01-01T02:00:01+02:00", true),
        ("queued_time>=1970-01-01", true),
        ("queued_time<9999-01-01", true),
        ("start_time>1970-01-01T00:00:01.999", true),
        ("start_time>1970-01-01T00:00:02", false),
        ("tool_name=bazel&tool_name=other", false),
        (" tool_name = bazel \t& stage = QUEUED ", true),
    ] {
        assert_eq!(passes(filter, &execution), expected, "{filter}");
    }
}

#[test]
fn what_is_not_set_matches_nothing() {
    let bare = operation(None, None);
    let text = |name: &str| match name {
        "stage" => "COMPLETED",
        "queued_time" | "start_time" | "completed_time" => "2000-01-01",
        "action_digest" => "ab/1",
        _ => "a:b",
    };
    for (name, key) in Key::ALL {
        let set = matches!(key, Key::Stage | Key::Name | Key::QueuedTime);
        let [equal, unequal] =
            ["=", "!="].map(|sign| passes(&format!("{name}{sign}{}", text(name)), &bare));
        assert_eq!((equal, unequal), (false, set), "{name}");
    }
}

#[test]
fn what_has_ended_is_hidden_until_something_is_asked() {
    let running = busy("");
    let done = ended(operation(None, None), Outcome::Canceled(None));
    for (filter, expected) in [
        ("", (true, false)),
        ("  ", (true, false)),
        ("stage=COMPLETED", (false, true)),
        ("queued_time>1970-01-01", (true, true)),
        ("sort_order=queued_time", (true, true)),
        ("completed_time>=1970-01-01", (false, true)),
    ] {
        assert_eq!((passes(filter, &running), passes(filter, &done)), expected, "{filter:?}");
    }
}

#[test]
fn a_payload_is_needed_only_where_the_record_does_not_decide() {
    let record = operation(None, None);
    for (filter, expected) in [
        ("", Some(true)),
        ("stage=EXECUTING", Some(false)),
        ("action_digest=ab/1", None),
        ("action_digest=ab/1&stage=EXECUTING", Some(false)),
        ("action_digest=ab/1&stage=QUEUED", None),
    ] {
        assert_eq!(Filter::parse(filter).unwrap().early(&record), expected, "{filter}");
    }
}

#[test]
fn what_is_wrong_is_told_with_its_column() {
    for (filter, expected) in [
        ("colour=red", "column 1: `colour` is no key; there are: stage, name, command"),
        ("stage=QUEUED& colour=red", "column 15: `colour`"),
        ("stage=LATE", "column 7: `LATE` is no stage: UNKNOWN"),
        ("queued_time=yesterday", "column 13: `yesterday` is no time"),
        ("queued_time=12026-01-01", "column 13: `12026-01-01` is no time"),
        ("action_digest=xyz", "column 15: `xyz` is no digest"),
        ("platform=OSFamily", "column 10: `OSFamily` is no platform property"),
        ("stage", "column 6: an operator is expected"),
        ("stage~QUEUED", "column 6: an operator is expected"),
        ("stage=", "column 7: a value is expected"),
        ("stage==QUEUED", "column 7: a value holds neither"),
        ("tool_name=a b", "column 12: a value holds neither"),
        ("&stage=QUEUED", "column 1: a key is expected"),
        ("stage=QUEUED&", "column 14: a key is expected"),
        ("=QUEUED", "column 1: a key is expected"),
        ("é=1&stage=LATE", "column 1: a key is expected"),
        ("tool_name=é&stage=LATE", "column 19: `LATE`"),
        ("sort_order>name", "column 11: `sort_order` takes `=` only"),
        ("sort_order=tool_name", "column 12: `tool_name` is nothing to sort by; there are: stage"),
        ("sort_order=(desc)", "column 12: `(desc)` is nothing to sort by"),
        ("sort_order=name(down)", "column 12: `name(down)` is nothing"),
        ("done=true", "column 1: `done` is no key"),
    ] {
        let error = Filter::parse(filter).unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidArgument);
        let field = error.field.unwrap();
        assert_eq!(field.field, "filter");
        assert!(field.description.starts_with(expected), "{filter}: {}", field.description);
    }
}

#[test]
fn filters_have_a_length_and_a_number_of_terms() {
    let terms = |count: usize| vec!["name=x"; count].join("&");
    assert!(Filter::parse(&terms(TERMS_MAX)).is_ok());
    assert!(Filter::parse(&terms(TERMS_MAX + 1)).is_err());
    assert!(Filter::parse(&["sort_order=name"; 9].join("&")).is_err());
    assert!(Filter::parse(&format!("name={}", "x".repeat(BYTES_MAX))).is_err());
}

/// Operations that differ in everything that can be sorted by.
fn several() -> Vec<Operation> {
    let mut all = Vec::new();
    for (bits, accepted, started, state) in [
        (3, 5, None, State::Accepted),
        (1, 5, Some(7), State::Running),
        (2, 4, Some(6), State::Running),
        (4, 9, None, State::Accepted),
    ] {
        let mut one = operation(None, None);
        one.id = OperationId::from_bits(bits);
        one.times.accepted = at(accepted);
        one.times.started = started.map(at);
        one.state = state;
        all.push(one);
    }
    all
}

fn sorted(filter: &str) -> Vec<u128> {
    let filter = Filter::parse(filter).unwrap();
    let order = filter.order();
    let mut places: Vec<_> = several().iter().map(|one| order.place(one)).collect();
    places.sort_by(|this, other| order.compare(this, other));
    for place in &places {
        assert_eq!(order.read(&place.write()).as_ref(), Some(place), "it reads back");
    }
    places.iter().map(|place| place.id.to_bits()).collect()
}

#[test]
fn lists_sort_by_one_key_after_another_and_by_name_in_the_end() {
    for (filter, expected) in [
        ("sort_order=name", [1, 2, 3, 4]),
        ("sort_order=name(desc)", [4, 3, 2, 1]),
        ("sort_order=Queued_Time", [2, 1, 3, 4]),
        ("sort_order=queued_time(asc)", [2, 1, 3, 4]),
        ("sort_order=queued_time(desc)", [4, 1, 3, 2]),
        ("sort_order=queued_time(desc)&sort_order=name(desc)", [4, 3, 1, 2]),
        // What is not set comes last, and first when turned round.
        ("sort_order=start_time", [2, 1, 3, 4]),
        ("sort_order=start_time(desc)", [3, 4, 1, 2]),
        ("sort_order=stage(desc)&sort_order=queued_time", [2, 1, 3, 4]),
        ("sort_order=action_digest", [1, 2, 3, 4]),
    ] {
        assert_eq!(sorted(filter), expected, "{filter}");
    }
}

proptest! {
    #[test]
    fn no_text_panics(text: String, odd in "[a-z_&=!<>() :/T0-9.+-]{0,60}") {
        for text in [text, odd] {
            if let Ok(filter) = Filter::parse(&text) {
                filter.passes(&execution());
            }
        }
    }

    #[test]
    fn the_order_of_terms_plays_no_part(
        terms in proptest::collection::vec(
            prop_oneof![
                Just("stage=QUEUED"), Just("stage!=QUEUED"), Just("tool_name=bazel"),
                Just("tool_name<a"), Just("action_digest=ab12/34"), Just("action_digest<ab/0"),
                Just("command=make"), Just("queued_time>1970-01-01"),
            ],
            1..6,
        ).prop_flat_map(|terms| (Just(terms.clone()), Just(terms).prop_shuffle())),
    ) {
        let (terms, shuffled) = terms;
        let execution = execution();
        let each = terms.iter().all(|term| passes(term, &execution));
        prop_assert_eq!(passes(&terms.join("&"), &execution), each);
        prop_assert_eq!(passes(&shuffled.join(" & "), &execution), each);
    }

    #[test]
    fn no_bytes_make_a_place_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        let filter = Filter::parse("sort_order=stage&sort_order=queued_time&sort_order=name").unwrap();
        if let Some(place) = filter.order().read(&bytes) {
            prop_assert_eq!(place.write(), bytes);
        }
    }
}
