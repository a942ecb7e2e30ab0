//! What is read, and as what; what is refused, and where.

use opgate_core::ErrorKind;
use opgate_core::filter::{BYTES, Filter, NESTING, TERMS};

fn printed(text: &str) -> String {
    Filter::parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).to_string()
}

fn refused(text: &str) -> String {
    let error = match Filter::parse(text) {
        Ok(filter) => panic!("{text} was taken: {filter}"),
        Err(error) => error,
    };
    assert_eq!(error.kind, ErrorKind::InvalidArgument);
    let violation = error.field.unwrap();
    assert_eq!(violation.field, "filter");
    assert!(violation.description.len() < 300, "{}", violation.description);
    violation.description
}

#[test]
fn a_filter_is_read_as_its_explicit_form() {
    for (text, explicit) in [
        ("", ""),
        (" \t\n ", ""),
        ("a", r#""a""#),
        ("*", r#""*""#),
        ("projects/p/x-1.y", r#""projects/p/x-1.y""#),
        ("'one text'", r#""one text""#),
        ("Victor Hugo", r#""Victor" AND "Hugo""#),
        ("a AND b", r#""a" AND "b""#),
        ("a  AND  b c", r#""a" AND "b" AND "c""#),
        ("a AND b OR c", r#""a" AND "b" OR "c""#),
        ("a OR b c", r#""a" OR "b" AND "c""#),
        ("a OR (b c)", r#""a" OR ("b" AND "c")"#),
        ("a (b (c d))", r#""a" AND "b" AND "c" AND "d""#),
        ("(a)AND(b)OR(c)", r#""a" AND "b" OR "c""#),
        ("((a))", r#""a""#),
        ("-a", r#"NOT "a""#),
        ("NOT a", r#"NOT "a""#),
        ("NOT(a OR b)", r#"NOT ("a" OR "b")"#),
        ("-(-a)", r#"NOT (NOT "a")"#),
        ("-done=true b", r#"NOT done = "true" AND "b""#),
        ("done=true", r#"done = "true""#),
        ("done = true", r#"done = "true""#),
        (r#"done="true""#, r#"done = "true""#),
        (
            "a!=1 b<2 c<=3 d>4 e>=5 f:6",
            r#"a != "1" AND b < "2" AND c <= "3" AND d > "4" AND e >= "5" AND f : "6""#,
        ),
        ("x = -5.5e3", r#"x = "-5.5e3""#),
        ("error:*", r#"error : "*""#),
        ("a.b.c=1", r#"a.b.c = "1""#),
        (r#"a."b c".'d'=1"#, r#"a."b c".d = "1""#),
        (r#""AND"=1"#, r#""AND" = "1""#),
        ("a.AND=1", r#"a.AND = "1""#),
        (r#""-a"=1"#, r#""-a" = "1""#),
        (
            "metadata.@type=type.googleapis.com/a.b.C",
            r#"metadata.@type = "type.googleapis.com/a.b.C""#,
        ),
        ("t > 2026-01-02T03:04:05.6+07:00", r#"t > "2026-01-02T03:04:05.6+07:00""#),
        ("(name:workflows/x)", r#"name : "workflows/x""#),
        (r#"a = "q\"b\\n\n'""#, "a = \"q\\\"b\\\\n\n'\""),
        (r"a = 'it\'s \t'", "a = \"it's \t\""),
        ("state=(A OR B)", r#"state = "A" OR state = "B""#),
        ("x:(a -b 'c d')", r#"x : "a" AND NOT x : "b" AND x : "c d""#),
        ("é = ☃", r#"é = "☃""#),
    ] {
        assert_eq!(printed(text), explicit, "{text}");
        assert_eq!(printed(explicit), explicit, "not stable: {text}");
    }
}

#[test]
fn what_is_wrong_is_said_with_its_column() {
    for (text, expected) in [
        ("a =", "at column 4: a value is expected, not the end"),
        ("a = )", "at column 5: a value is expected, not `)`"),
        ("a = AND b", "at column 5: a value is expected, not AND"),
        ("(a", "at column 1: a `(` without its `)`"),
        ("é)", "at column 2: a `)` without its `(`"),
        ("()", "at column 2: a field or a value is expected, not `)`"),
        ("a AND", "at column 6: a field or a value is expected, not the end"),
        ("a OR", "at column 5: a field or a value is expected, not the end"),
        ("AND a", "at column 1: a term is expected, not AND"),
        ("a OR OR b", "at column 6: a term is expected, not OR"),
        ("a and b", "at column 3: `and` is no operator: write it in capitals, or in quotes"),
        ("NOT", "at column 4: a field or a value is expected, not the end"),
        ("NOT NOT a", "at column 5: a second negation needs parentheses"),
        ("--a", "at column 2: a second negation needs parentheses"),
        ("- a", "at column 2: `-` stands directly before what it negates"),
        ("a == b", "at column 4: a value with `=` in it needs quotes"),
        ("a = b=c", "at column 6: a value with `=` in it needs quotes"),
        ("a = b,c", "at column 6: a value with `,` in it needs quotes"),
        ("a <> b", "at column 4: a value with `>` in it needs quotes"),
        ("a = x'y'", "at column 6: a value with `'` in it needs quotes"),
        ("a.=1", "at column 3: a field or a value is expected, not `=`"),
        (".a=1", "at column 1: a field or a value is expected, not `.`"),
        ("a,b", "at column 2: AND, OR or a blank is expected, not `,`"),
        ("a!b", "at column 2: AND, OR or a blank is expected, not `!`"),
        (r#""a""b""#, "at column 4: AND, OR or a blank is expected, not `\"`"),
        ("a = \"b", "at column 5: a string that does not end"),
        ("'", "at column 1: a string that does not end"),
        (
            r"a = 'b\x'",
            "at column 7: an unknown escape: a backslash stands before \", ', \\, n, r or t",
        ),
        (r"'\", "at column 2: an unknown escape: a backslash stands before \", ', \\, n, r or t"),
        ("f.g(a)", "at column 1: function `f.g`: functions are not supported"),
        ("a = f(b)", "at column 5: function `f`: functions are not supported"),
        ("x:(a = b)", "at column 6: a value with `=` in it needs quotes"),
    ] {
        assert_eq!(refused(text), expected, "{text}");
    }
    let long = format!("{}(", "f".repeat(1000));
    assert!(refused(&long).starts_with("at column 1: function `ffff"));
}

#[test]
fn length_nesting_and_terms_are_bounded() {
    let longest = "a".repeat(BYTES);
    assert!(Filter::parse(&longest).is_ok());
    assert_eq!(refused(&format!("{longest}a")), "is 4097 bytes long, at most 4096 are allowed");
    let nested = |depth: usize| format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
    assert!(Filter::parse(&nested(NESTING)).is_ok());
    let deeper = "at column 21: more than 20 parentheses within each other";
    assert_eq!(refused(&nested(NESTING + 1)), deeper);
    assert!(Filter::parse(&"(a) ".repeat(2 * NESTING)).is_ok(), "beside each other");
    assert!(Filter::parse(&"a ".repeat(TERMS)).is_ok());
    assert_eq!(refused(&"a ".repeat(TERMS + 1)), "at column 513: more than 256 terms");
    assert_eq!(
        refused(&format!("f:({})", "a ".repeat(TERMS))),
        "at column 514: more than 256 terms"
    );
}
