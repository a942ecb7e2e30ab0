//! What holds for every filter.

use opgate_core::arbitrary::submission;
use opgate_core::filter::{BYTES, Expr, Filter, Operator, Path, Place, Predicate, Term, canonical};
use opgate_core::machine::{Decision, apply, decide};
use opgate_core::{Change, Operation, Seq, Timestamp};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::naive::{self, TIMES};

fn operation() -> impl Strategy<Value = Option<Operation>> {
    vec(submission(1), 1..20).prop_map(|commands| {
        (1..).zip(commands).fold(None, |operation, (n, submission)| {
            match decide(operation.as_ref(), submission) {
                Decision::Change(events) => {
                    let at = Timestamp::from_nanos(n * 1_000);
                    apply(operation, &Change { seq: Seq(n.unsigned_abs()), at, events })
                }
                Decision::Same | Decision::Refused { .. } => operation,
            }
        })
    })
}

fn compare(path: &'static str, operator: Operator, value: &str) -> Expr {
    let segments = path.split('.').map(str::to_owned).collect();
    let at = Place::default();
    let path = Path { segments, at };
    Expr::Term(Term::Compare { path, operator, value: value.to_owned(), at })
}

/// A condition that the canonical operation can be asked for.
fn condition() -> impl Strategy<Value = Expr> {
    let unordered = || select(vec![Operator::Eq, Operator::Ne, Operator::Has]);
    let any = || select(Operator::ALL.to_vec());
    let text = "(projects)?[a/*]{0,4}";
    prop_oneof![
        (select(vec!["parent", "native_state", "error.message"]), any(), text)
            .prop_map(|(path, operator, value)| compare(path, operator, &value)),
        (unordered(), select(vec!["RUNNING", "ACCEPTED", "FAILED", "CANCELED"]))
            .prop_map(|(operator, value)| compare("state", operator, value)),
        (unordered(), select(vec!["true", "false"]))
            .prop_map(|(operator, value)| compare("done", operator, value)),
        (select(vec!["create_time", "start_time"]), any(), select(TIMES.to_vec()))
            .prop_map(|(path, operator, (value, _))| compare(path, operator, value)),
        (any(), 0_u8..3).prop_map(|(operator, value)| compare(
            "epoch",
            operator,
            &value.to_string()
        )),
        (any(), select(vec!["1", "8", "INTERNAL", "CANCELED"]))
            .prop_map(|(operator, value)| compare("error.code", operator, value)),
        select(vec!["native_state", "done", "error.code", "start_time", "epoch"])
            .prop_map(|path| compare(path, Operator::Has, "*")),
    ]
}

/// Anything that can be written, with odd names and texts.
fn odd() -> impl Strategy<Value = Expr> {
    let word = "[a-zA@*/é -]{1,3}|AND|not|\"|\\\\|\\PC{0,3}";
    prop_oneof![
        word.prop_map(|text: String| Expr::Term(Term::Anywhere(text))),
        (vec(word, 1..3), select(Operator::ALL.to_vec()), word).prop_map(
            |(segments, operator, value)| {
                let at = Place::default();
                Expr::Term(Term::Compare { path: Path { segments, at }, operator, value, at })
            }
        ),
    ]
}

/// Expressions in the form in which they are read: no `And` in an `And`, no `Or` in an `Or`.
fn expression(leaf: impl Strategy<Value = Expr> + 'static) -> impl Strategy<Value = Expr> {
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 2..4).prop_map(|members| joined(members, true)),
            vec(inner.clone(), 2..4).prop_map(|members| joined(members, false)),
            inner.prop_map(|inner| Expr::Not(Box::new(inner))),
        ]
    })
}

fn joined(members: Vec<Expr>, and: bool) -> Expr {
    let flat = members.into_iter().flat_map(|member| match member {
        Expr::And(inner) if and => inner,
        Expr::Or(inner) if !and => inner,
        other @ (Expr::And(_) | Expr::Or(_) | Expr::Not(_) | Expr::Term(_)) => vec![other],
    });
    if and { Expr::And(flat.collect()) } else { Expr::Or(flat.collect()) }
}

/// The same, every list of members turned round.
fn turned(expr: &Expr) -> Expr {
    let all = |members: &[Expr]| members.iter().rev().map(turned).collect();
    match expr {
        Expr::And(members) => Expr::And(all(members)),
        Expr::Or(members) => Expr::Or(all(members)),
        Expr::Not(inner) => Expr::Not(Box::new(turned(inner))),
        Expr::Term(term) => Expr::Term(term.clone()),
    }
}

proptest! {
    #[test]
    fn what_is_printed_reads_back_as_the_same(expr in expression(odd())) {
        let printed = expr.to_string();
        prop_assume!(printed.len() <= BYTES);
        let read = Filter::parse(&printed);
        prop_assert!(read.is_ok(), "{}: {:?}", printed, read.err());
        let read = read.unwrap();
        prop_assert_eq!(read.expr(), Some(&expr), "{}", printed);
    }

    #[test]
    fn no_text_panics_and_what_reads_prints_and_reads_back(
        text in "([a-z.]{1,4}|[ =:<>!()\"'*\\\\-]|AND|OR|NOT|\\PC){0,30}",
    ) {
        if let Ok(read) = Filter::parse(&text) {
            let printed = read.to_string();
            let again = Filter::parse(&printed);
            prop_assert!(again.is_ok(), "{} as {}: {:?}", text, printed, again.err());
            let again = again.unwrap();
            prop_assert_eq!(again.expr(), read.expr());
        }
        drop(canonical(&text));
    }

    #[test]
    fn it_decides_as_the_plain_evaluator_in_any_order_of_terms(
        expr in expression(condition()),
        operation in operation(),
    ) {
        let (text, round) = (expr.to_string(), turned(&expr).to_string());
        prop_assume!(text.len() <= BYTES);
        if let Some(operation) = operation {
            let expected = naive::passes(&expr, &operation);
            let filter = canonical(&text).map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!(filter.passes(&operation), expected, "{}", text);
            prop_assert_eq!(canonical(&round).unwrap().passes(&operation), expected, "{}", round);
        }
    }
}
