//! A second evaluator, as plain as can be: every field as a text or a number, no types bound
//! before, no order of terms, no borrowed values.

use opgate_core::filter::{Expr, Operator, Term};
use opgate_core::{Code, Operation, Outcome};

enum Plain {
    Truth(bool),
    Text(String),
    Fixed(&'static str),
    Number(f64),
    Code(Code),
    Nanos(i64),
}

/// The fields with values, by path.
fn fields(operation: &Operation) -> Vec<(&'static str, Plain)> {
    let mut fields = vec![
        ("parent", Plain::Text(operation.parent.as_str().to_owned())),
        ("state", Plain::Fixed(operation.state.name())),
        ("done", Plain::Truth(operation.times.closed.is_some())),
        ("create_time", Plain::Nanos(operation.times.accepted.nanos())),
        ("epoch", Plain::Number(f64::from(operation.epoch.0))),
        ("native_state", Plain::Text(operation.native_state.to_string())),
    ];
    fields.extend(operation.times.started.map(|at| ("start_time", Plain::Nanos(at.nanos()))));
    if let Some(failure) = operation.outcome.as_ref().and_then(Outcome::failure) {
        fields.push(("error.code", Plain::Code(failure.code)));
        fields.push(("error.message", Plain::Text(failure.message.clone())));
    }
    fields.retain(|(_, value)| !matches!(value, Plain::Text(text) if text.is_empty()));
    fields
}

/// The times the strategy of the laws uses.
pub(crate) const TIMES: [(&str, i64); 3] = [
    ("1970-01-01T00:00:00.000005Z", 5_000),
    ("1969-12-31T23:59:59.999990+00:00", -10_000),
    ("1970-01-01T01:00:00.00001+01:00", 10_000),
];

pub(crate) fn passes(expr: &Expr, operation: &Operation) -> bool {
    match expr {
        Expr::And(members) => {
            members.iter().filter(|member| !passes(member, operation)).count() == 0
        }
        Expr::Or(members) => members.iter().filter(|member| passes(member, operation)).count() > 0,
        Expr::Not(inner) => !passes(inner, operation),
        Expr::Term(Term::Anywhere(text)) => panic!("not generated: {text}"),
        Expr::Term(Term::Compare { path, operator, value, .. }) => {
            let path = path.segments.join(".");
            fields(operation)
                .iter()
                .any(|(name, found)| *name == path && compares(found, *operator, value))
        }
    }
}

fn compares(found: &Plain, operator: Operator, wanted: &str) -> bool {
    let present = operator == Operator::Has && wanted == "*";
    match found {
        Plain::Truth(truth) if present => *truth,
        Plain::Number(number) if present => *number != 0.0,
        _ if present => true,
        Plain::Truth(truth) => equal(truth.to_string() == wanted, operator),
        Plain::Fixed(name) => equal(*name == wanted, operator),
        Plain::Text(text) => match operator {
            Operator::Eq => like(text, wanted),
            Operator::Ne => !like(text, wanted),
            Operator::Has => like(text, &format!("*{wanted}*")),
            Operator::Lt => text.as_str() < wanted,
            Operator::Le => text.as_str() <= wanted,
            Operator::Gt => text.as_str() > wanted,
            Operator::Ge => text.as_str() >= wanted,
        },
        Plain::Number(number) => ordered(*number, operator, wanted.parse().unwrap()),
        Plain::Code(code) => {
            let wanted =
                Code::from_name(wanted).map_or_else(|| wanted.parse().unwrap(), Code::number);
            ordered(code.number().into(), operator, wanted.into())
        }
        Plain::Nanos(nanos) => {
            let wanted = TIMES.iter().find(|(text, _)| *text == wanted).unwrap().1;
            match operator {
                Operator::Eq | Operator::Has => *nanos == wanted,
                Operator::Ne => *nanos != wanted,
                Operator::Lt => *nanos < wanted,
                Operator::Le => *nanos <= wanted,
                Operator::Gt => *nanos > wanted,
                Operator::Ge => *nanos >= wanted,
            }
        }
    }
}

fn equal(equal: bool, operator: Operator) -> bool {
    match operator {
        Operator::Eq | Operator::Has => equal,
        Operator::Ne => !equal,
        Operator::Lt | Operator::Le | Operator::Gt | Operator::Ge => panic!("not generated"),
    }
}

#[expect(clippy::float_cmp, reason = "whole numbers")]
fn ordered(number: f64, operator: Operator, wanted: f64) -> bool {
    match operator {
        Operator::Eq | Operator::Has => number == wanted,
        Operator::Ne => number != wanted,
        Operator::Lt => number < wanted,
        Operator::Le => number <= wanted,
        Operator::Gt => number > wanted,
        Operator::Ge => number >= wanted,
    }
}

/// Every way to spread the text over the asterisks.
fn like(text: &str, pattern: &str) -> bool {
    match pattern.chars().next() {
        None => text.is_empty(),
        Some('*') => {
            let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
            ends.into_iter().any(|at| like(text.get(at..).unwrap(), pattern.get(1..).unwrap()))
        }
        Some(wanted) => text
            .strip_prefix(wanted)
            .is_some_and(|rest| like(rest, pattern.get(wanted.len_utf8()..).unwrap())),
    }
}
