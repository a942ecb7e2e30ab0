//! W3C Trace Context, as far as opgate reads it: what is right is kept as it was said, what is wrong is left out.

use std::collections::HashSet;

use opgate_core::{Trace, limits};
use proptest::prelude::*;

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn parent(text: &str) -> Option<String> {
    Trace::of(text, &[]).map(|trace| trace.parent.into())
}

fn state(list: &str) -> String {
    Trace::of(PARENT, &[list]).map_or_else(String::new, |trace| trace.state.into())
}

#[test]
fn a_traceparent_is_a_version_two_ids_and_flags_in_lower_case_hex() {
    for right in [PARENT, &PARENT.replace("-01", "-00"), &PARENT.replace("-01", "-ff")] {
        assert_eq!(parent(right).as_deref(), Some(right));
    }
    for wrong in [
        "",
        "00",
        "00-0-0-01",
        &PARENT.to_uppercase(),
        &PARENT.replacen("0af", "0Af", 1),
        &PARENT.replacen("0af", "0gf", 1),
        &PARENT.replacen("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32), 1),
        &PARENT.replacen("b7ad6b7169203331", &"0".repeat(16), 1),
        &PARENT.replacen("00-", "0-", 1),
        &PARENT.replacen("00-", "ff-", 1),
        &PARENT.replace('-', "_"),
        &format!("{PARENT}-"),
        &format!("{PARENT}-00"),
        &format!(" {PARENT}"),
        &format!("{PARENT},{PARENT}"),
        PARENT.trim_end_matches('1'),
        &format!("{PARENT}0"),
    ] {
        assert_eq!(parent(wrong), None, "{wrong:?}");
    }
}

#[test]
fn of_a_later_version_is_kept_what_this_one_has() {
    let later = |flags: &str, more: &str| {
        parent(&format!("{}{more}", PARENT.replacen("00-", "cc-", 1).replace("-01", flags)))
    };
    let recorded = |flags: &str| Some(PARENT.replace("-01", flags));
    assert_eq!(later("-01", ""), recorded("-01"));
    assert_eq!(later("-03", "-what-comes"), recorded("-01"));
    assert_eq!(later("-02", &format!("-{}", "x".repeat(4096))), recorded("-00"));
    assert_eq!(later("-01", "what-comes"), None);
}

#[test]
fn a_tracestate_is_a_list_of_entries_each_there_once() {
    let (key, value) = ("k".repeat(256), "v".repeat(250));
    let most = (0..32).map(|number| format!("k{number}=1")).collect::<Vec<_>>().join(",");
    for right in [
        "a=1",
        "0a_-*/@z=!\"~",
        "tenant@system=1",
        "a=1,b=2",
        "a=1 ,\tb=  2",
        "a=1,,b=2, ",
        &format!("{key}={value}"),
        &most,
    ] {
        assert_eq!(state(right), right);
    }
    for wrong in [
        "a",
        "=1",
        "a=",
        "A=1",
        "_a=1",
        "a b=1",
        "a=1=2",
        "a=é",
        "a=1\t2",
        "a=1,b",
        "a=1,b=2,a=3",
        "a=1;b=2",
        &format!("k{key}=1"),
        &format!("a={}", "v".repeat(257)),
        &format!("{most},more=1"),
        ",",
        "  ",
    ] {
        assert_eq!(state(wrong), "", "{wrong:?}");
    }
}

#[test]
fn a_long_tracestate_loses_whole_entries_the_long_ones_first_and_then_the_last() {
    let entry = |key: &str, length: usize| format!("{key}={}", "v".repeat(length - key.len() - 1));
    let full = [entry("a", 256), entry("b", 255)].join(",");
    assert_eq!((full.len(), state(&full)), (limits::TRACE_STATE_BYTES, full.clone()));
    // Blanks are no reason to leave an entry out.
    assert_eq!(state(&full.replace(',', " , ")), full);
    let (long, short) = (entry("a", 129), |key| entry(key, 128));
    let told = [long, short("b"), short("c"), short("d"), "e=1".to_owned()].join(",");
    assert_eq!(state(&told), [short("b"), short("c"), short("d"), "e=1".to_owned()].join(","));
    let told = [short("a"), short("b"), short("c"), short("d"), "e=1".to_owned()].join(",");
    assert_eq!(state(&told), [short("a"), short("b"), short("c")].join(","));
}

/// What any text has that was kept.
fn is_right(trace: &Trace) -> bool {
    let fields: Vec<&str> = trace.parent.split('-').collect();
    let [version, id, parent, flags] = *fields else { return false };
    let hex = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let entries: Vec<&str> =
        trace.state.split(',').map(str::trim).filter(|entry| !entry.is_empty()).collect();
    let keys: HashSet<&str> =
        entries.iter().filter_map(|entry| Some(entry.split_once('=')?.0)).collect();
    version == "00"
        && [id, parent, flags].map(str::len) == [32, 16, 2]
        && [id, parent, flags].into_iter().all(hex)
        && ![id, parent].into_iter().any(|id| id.trim_start_matches('0').is_empty())
        && trace.parent.len() <= limits::TRACE_PARENT_BYTES
        && trace.state.len() <= limits::TRACE_STATE_BYTES
        && keys.len() == entries.len()
        && entries.len() <= 32
        && trace.state.bytes().all(|byte| byte == b'\t' || (0x20..=0x7e).contains(&byte))
}

fn some_parent() -> impl Strategy<Value = String> {
    let id = |id: &str| id.bytes().any(|digit| digit != b'0');
    ("[0-9a-f]{32}", "[0-9a-f]{16}", "[0-9a-f]{2}")
        .prop_filter("ids of zeros are none", move |(trace, parent, _)| id(trace) && id(parent))
        .prop_map(|(trace, parent, flags)| format!("00-{trace}-{parent}-{flags}"))
}

proptest! {
    #[test]
    fn what_is_right_is_kept_as_it_was_said(
        parent in some_parent(),
        entries in proptest::collection::btree_map(
            "[a-z0-9][a-z0-9_*/@-]{0,6}", "[ -+--<>-~]{0,8}[!-+--<>-~]", 0..=32,
        ),
    ) {
        let entries: Vec<String> =
            entries.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
        let list = entries.join(",");
        prop_assume!(list.len() <= limits::TRACE_STATE_BYTES);
        let trace = Trace::of(&parent, &[&list]).unwrap();
        prop_assert_eq!((&*trace.parent, &*trace.state), (&*parent, &*list));
        // In however many headers it came.
        let several: Vec<&str> = entries.iter().map(String::as_str).collect();
        prop_assert_eq!(Trace::of(&parent, &several), Some(trace));
    }

    #[test]
    fn what_is_changed_is_none_or_right(
        parent in some_parent(), at in any::<prop::sample::Index>(), by in "\\PC",
    ) {
        let mut changed: Vec<String> = parent.chars().map(String::from).collect();
        let at = at.index(changed.len());
        changed[at] = by;
        if let Some(trace) = Trace::of(&changed.concat(), &[]) {
            prop_assert!(is_right(&trace), "{trace:?}");
        }
    }

    #[test]
    fn any_text_is_none_or_right_and_is_read_alike_again(
        parent in prop_oneof![some_parent(), "[0-9a-fA-F-]{0,70}", "\\PC{0,70}"],
        states in proptest::collection::vec(
            prop_oneof!["\\PC{0,40}", "([a-c]=[a-c ]{0,200}[,=]?){0,8}", "([a-z]{1,4}=1,){0,40}"], 0..4,
        ),
    ) {
        let states: Vec<&str> = states.iter().map(String::as_str).collect();
        if let Some(trace) = Trace::of(&parent, &states) {
            prop_assert!(is_right(&trace), "{trace:?}");
            prop_assert_eq!(Trace::of(&trace.parent, &[&trace.state]), Some(trace));
        }
    }
}
