//! From text to [`Expr`], by recursive descent.

use super::cursor::{self, Cursor};
use super::expr::{Expr, Operator, Path, Place, Term};
use super::{NESTING, Problem, TERMS, quoted};

/// The field that the values within parentheses are compared to.
type On<'a> = Option<(&'a Path, Operator)>;

/// Reads a whole filter.
pub(super) fn filter(text: &str) -> Result<Option<Expr>, Problem> {
    let mut parser = Parser { cursor: Cursor::new(text), nesting: 0, terms: 0 };
    parser.cursor.blanks();
    if parser.cursor.peek().is_none() {
        return Ok(None);
    }
    let expr = parser.expression(None)?;
    match parser.cursor.peek() {
        None => Ok(Some(expr)),
        Some(_) => Err(parser.wrong("a `)` without its `(`")),
    }
}

struct Parser<'a> {
    cursor: Cursor<'a>,
    nesting: usize,
    terms: usize,
}

impl Parser<'_> {
    fn wrong(&self, text: impl Into<String>) -> Problem {
        Problem::at(self.cursor.place(), text)
    }

    /// Factors up to the end or a closing parenthesis.
    fn expression(&mut self, on: On<'_>) -> Result<Expr, Problem> {
        let mut members = vec![self.factor(on)?];
        loop {
            let apart = self.cursor.blanks();
            if matches!(self.cursor.peek(), None | Some(')')) {
                return Ok(all(members));
            }
            if !self.cursor.take_word("AND") && !apart {
                let text = format!("AND, OR or a blank is expected, not {}", self.cursor.found());
                return Err(self.wrong(text));
            }
            members.push(self.factor(on)?);
        }
    }

    /// Terms with OR between them. Stops before blanks that no OR follows.
    fn factor(&mut self, on: On<'_>) -> Result<Expr, Problem> {
        let mut members = vec![self.term(on)?];
        while self.follows("OR") {
            members.push(self.term(on)?);
        }
        Ok(any(members))
    }

    /// Passes over blanks and this word; over nothing where it does not follow.
    fn follows(&mut self, word: &str) -> bool {
        let mut ahead = self.cursor.clone();
        ahead.blanks();
        let follows = ahead.take_word(word);
        if follows {
            self.cursor = ahead;
        }
        follows
    }

    fn term(&mut self, on: On<'_>) -> Result<Expr, Problem> {
        self.cursor.blanks();
        if self.cursor.take_word("NOT") {
            self.cursor.blanks();
        } else if !self.cursor.take("-") {
            return self.simple(on);
        } else if self.cursor.peek().is_none_or(char::is_whitespace) {
            return Err(self.wrong("`-` stands directly before what it negates"));
        }
        if self.cursor.peek() == Some('-') || self.cursor.word() == "NOT" {
            return Err(self.wrong("a second negation needs parentheses"));
        }
        Ok(Expr::Not(Box::new(self.simple(on)?)))
    }

    fn simple(&mut self, on: On<'_>) -> Result<Expr, Problem> {
        if self.cursor.peek() == Some('(') { self.group(on) } else { self.restriction(on) }
    }

    fn group(&mut self, on: On<'_>) -> Result<Expr, Problem> {
        let open = self.cursor.place();
        if self.nesting == NESTING {
            let text = format!("more than {NESTING} parentheses within each other");
            return Err(self.wrong(text));
        }
        self.nesting += 1;
        self.cursor.take("(");
        let expr = self.expression(on)?;
        self.nesting -= 1;
        if self.cursor.take(")") {
            return Ok(expr);
        }
        Err(Problem::at(open, "a `(` without its `)`"))
    }

    fn restriction(&mut self, on: On<'_>) -> Result<Expr, Problem> {
        self.terms += 1;
        if self.terms > TERMS {
            return Err(self.wrong(format!("more than {TERMS} terms")));
        }
        let at = self.cursor.place();
        self.no_keyword()?;
        if let Some((path, operator)) = on {
            let value = self.cursor.value()?;
            return Ok(Expr::Term(Term::Compare { path: path.clone(), operator, value, at }));
        }
        let path = self.path(at)?;
        match self.cursor.operator() {
            None => Ok(Expr::Term(Term::Anywhere(path.segments.join(".")))),
            Some(operator) => self.compare(path, operator),
        }
    }

    fn path(&mut self, at: Place) -> Result<Path, Problem> {
        let mut segments = vec![self.cursor.segment()?];
        while self.cursor.take(".") {
            segments.push(self.cursor.segment()?);
        }
        if self.cursor.peek() == Some('(') {
            return Err(cursor::function(at, &segments.join(".")));
        }
        Ok(Path { segments, at })
    }

    fn compare(&mut self, path: Path, operator: Operator) -> Result<Expr, Problem> {
        self.cursor.blanks();
        if self.cursor.peek() == Some('(') {
            // Each of the values inside is a term of its own.
            return self.group(Some((&path, operator)));
        }
        let at = self.cursor.place();
        let value = self.cursor.value()?;
        Ok(Expr::Term(Term::Compare { path, operator, value, at }))
    }

    /// Refuses a keyword where a term has to stand, and what was likely meant as one.
    fn no_keyword(&self) -> Result<(), Problem> {
        let word = self.cursor.word();
        let text = match word {
            "AND" | "OR" | "NOT" => format!("a term is expected, not {word}"),
            "and" | "or" | "not" => {
                format!("{} is no operator: write it in capitals, or in quotes", quoted(word))
            }
            _ => return Ok(()),
        };
        Err(self.wrong(text))
    }
}

/// These together; one alone is itself.
fn all(members: Vec<Expr>) -> Expr {
    let mut flat = Vec::with_capacity(members.len());
    for member in members {
        match member {
            Expr::And(inner) => flat.extend(inner),
            other @ (Expr::Or(_) | Expr::Not(_) | Expr::Term(_)) => flat.push(other),
        }
    }
    one_or(flat, Expr::And)
}

fn any(members: Vec<Expr>) -> Expr {
    let mut flat = Vec::with_capacity(members.len());
    for member in members {
        match member {
            Expr::Or(inner) => flat.extend(inner),
            other @ (Expr::And(_) | Expr::Not(_) | Expr::Term(_)) => flat.push(other),
        }
    }
    one_or(flat, Expr::Or)
}

fn one_or(mut members: Vec<Expr>, of: fn(Vec<Expr>) -> Expr) -> Expr {
    match members.pop() {
        Some(only) if members.is_empty() => only,
        last => {
            members.extend(last);
            of(members)
        }
    }
}
