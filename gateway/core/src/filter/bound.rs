//! A filter bound to fields, and its evaluation.

use super::expr::{Expr, Operator, Path, Place, Term};
use super::literal::{Literal, Number};
use super::pattern::Pattern;
use super::schema::{FieldType, Needs, Resolved, Schema, Subject};
use super::{Problem, quoted};
use crate::failure::Code;

/// A filter that can be evaluated on what has these fields.
#[derive(Clone, Debug)]
pub struct Bound<F> {
    root: Option<Step<F>>,
}

/// A part of it, and the most that any of its terms needs.
#[derive(Clone, Debug)]
struct Step<F> {
    needs: Needs,
    test: Test<F>,
}

#[derive(Clone, Debug)]
enum Test<F> {
    All(Vec<Step<F>>),
    Any(Vec<Step<F>>),
    Not(Box<Step<F>>),
    Anywhere(Pattern),
    Present(F),
    Compare(F, Operator, Literal),
}

impl<F> Bound<F> {
    pub(super) fn new<S: Schema<Field = F>>(
        schema: &S,
        expr: Option<&Expr>,
    ) -> Result<Self, Problem> {
        Ok(Self { root: expr.map(|expr| bind(schema, expr)).transpose()? })
    }

    /// The most that evaluating it may take.
    pub fn needs(&self) -> Needs {
        self.root.as_ref().map_or(Needs::Record, |root| root.needs)
    }

    /// Whether the subject passes. None where that cannot be told without what the subject has not
    /// at hand; a term that lacks something does not matter where the others decide.
    pub fn test(&self, subject: &impl Subject<F>) -> Option<bool> {
        self.root.as_ref().map_or(Some(true), |root| root.test(subject))
    }
}

impl<F> Bound<F> {
    /// Whether whatever passes makes a term true, or false, of which `says` holds. `says` is given
    /// field, operator, value, and whether the term is true.
    pub(super) fn implies(&self, says: &impl Fn(&F, Operator, &Literal, bool) -> bool) -> bool {
        self.root.as_ref().is_some_and(|root| root.implies(true, says))
    }
}

impl<F> Step<F> {
    fn implies(&self, truth: bool, says: &impl Fn(&F, Operator, &Literal, bool) -> bool) -> bool {
        let each = |step: &Self| step.implies(truth, says);
        match &self.test {
            // That not all are true tells of none which it is; likewise of those of which one is true.
            Test::All(steps) if truth => steps.iter().any(each),
            Test::Any(steps) if !truth => steps.iter().any(each),
            Test::All(steps) | Test::Any(steps) => !steps.is_empty() && steps.iter().all(each),
            Test::Not(step) => step.implies(!truth, says),
            Test::Compare(field, operator, literal) => says(field, *operator, literal, truth),
            Test::Anywhere(_) | Test::Present(_) => false,
        }
    }

    fn of(test: fn(Vec<Self>) -> Test<F>, steps: Vec<Self>) -> Self {
        let needs = steps.iter().map(|step| step.needs).max().unwrap_or(Needs::Record);
        Self { needs, test: test(steps) }
    }

    fn test(&self, subject: &impl Subject<F>) -> Option<bool> {
        match &self.test {
            Test::All(steps) => until(false, steps, subject),
            Test::Any(steps) => until(true, steps, subject),
            Test::Not(step) => step.test(subject).map(|passes| !passes),
            Test::Anywhere(pattern) => subject.anywhere(&mut |text| pattern.is_in(text)),
            Test::Present(field) => subject.any(field, &mut |found| found.is_present()),
            Test::Compare(field, operator, literal) => {
                subject.any(field, &mut |found| found.compares(*operator, literal))
            }
        }
    }
}

/// One that says `decisive` decides; else all must be known.
fn until<F>(decisive: bool, steps: &[Step<F>], subject: &impl Subject<F>) -> Option<bool> {
    let mut outcome = Some(!decisive);
    for step in steps {
        match step.test(subject) {
            Some(said) if said == decisive => return Some(decisive),
            Some(_) => {}
            None => outcome = None,
        }
    }
    outcome
}

fn bind<S: Schema>(schema: &S, expr: &Expr) -> Result<Step<S::Field>, Problem> {
    match expr {
        Expr::And(members) => Ok(Step::of(Test::All, steps(schema, members)?)),
        Expr::Or(members) => Ok(Step::of(Test::Any, steps(schema, members)?)),
        Expr::Not(inner) => {
            let inner = bind(schema, inner)?;
            Ok(Step { needs: inner.needs, test: Test::Not(Box::new(inner)) })
        }
        Expr::Term(Term::Anywhere(text)) => {
            Ok(Step { needs: schema.anywhere(), test: Test::Anywhere(Pattern::new(text)) })
        }
        Expr::Term(Term::Compare { path, operator, value, at }) => {
            compare(schema, path, *operator, value, *at)
        }
    }
}

/// Cheap ones first; among equals the order is kept.
fn steps<S: Schema>(schema: &S, members: &[Expr]) -> Result<Vec<Step<S::Field>>, Problem> {
    let mut steps =
        members.iter().map(|member| bind(schema, member)).collect::<Result<Vec<_>, _>>()?;
    steps.sort_by_key(|step| step.needs);
    Ok(steps)
}

fn compare<S: Schema>(
    schema: &S,
    path: &Path,
    operator: Operator,
    value: &str,
    at: Place,
) -> Result<Step<S::Field>, Problem> {
    let resolve =
        |segments: &[String], at| schema.resolve(segments).map_err(|text| Problem::at(at, text));
    let Resolved { field, of, needs } = resolve(&path.segments, path.at)?;
    if operator == Operator::Has && value == "*" {
        return Ok(Step { needs, test: Test::Present(field) });
    }
    if of == FieldType::Message && operator == Operator::Has {
        let segments = [path.segments.as_slice(), &[value.to_owned()]].concat();
        let Resolved { field, needs, .. } = resolve(&segments, at)?;
        return Ok(Step { needs, test: Test::Present(field) });
    }
    check_operator(of, operator)
        .map_err(|text| Problem::at(at, format!("{} {text}", quoted(&path.to_string()))))?;
    let mut literal = Literal::new(value);
    check_value(of, &mut literal).map_err(|wanted| {
        let text = format!("{} is {wanted}, not {}", quoted(&path.to_string()), quoted(value));
        Problem::at(at, text)
    })?;
    Ok(Step { needs, test: Test::Compare(field, operator, literal) })
}

fn check_operator(of: FieldType, operator: Operator) -> Result<(), &'static str> {
    let has_order = match of {
        FieldType::Message => {
            return Err("has fields of its own: compare one of these, or ask for `:*`");
        }
        FieldType::Bool | FieldType::Names(_) => false,
        FieldType::Number
        | FieldType::Text
        | FieldType::Code
        | FieldType::Time
        | FieldType::Dynamic => true,
    };
    let orders = matches!(operator, Operator::Lt | Operator::Le | Operator::Gt | Operator::Ge);
    if orders && !has_order { Err("has no order: it takes =, != and :") } else { Ok(()) }
}

/// Whether the value can be of the type; else what it has to be.
fn check_value(of: FieldType, literal: &mut Literal) -> Result<(), String> {
    let (can_be, wanted) = match of {
        FieldType::Bool => (literal.truth().is_some(), "true or false"),
        FieldType::Number => (literal.number.is_some(), "a number"),
        FieldType::Time => {
            (literal.time.is_some(), "a timestamp such as 2026-01-02T03:04:05Z (RFC 3339)")
        }
        FieldType::Code => {
            if let Some(code) = Code::from_name(&literal.text) {
                literal.number = Some(Number::Int(code.number().into()));
            }
            (literal.number.is_some(), "a google.rpc.Code, by name or number")
        }
        FieldType::Names(names) => {
            let known = names.contains(&literal.text.as_str());
            return if known { Ok(()) } else { Err(format!("one of {}", names.join(", "))) };
        }
        FieldType::Text | FieldType::Message | FieldType::Dynamic => return Ok(()),
    };
    if can_be { Ok(()) } else { Err(wanted.to_owned()) }
}
