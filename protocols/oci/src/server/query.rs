//! Query parameters.

use http::Uri;
use opgate_rpc::transcode::query_pairs;

use crate::wire::error::Refusal;

/// The parameters of one request, escapes resolved.
#[derive(Debug)]
pub(super) struct Query(Vec<(String, String)>);

/// In which direction a list goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Ascending,
    Descending,
}

impl Query {
    pub(super) fn new(uri: &Uri) -> Result<Self, Refusal> {
        match query_pairs(uri.query()) {
            Ok(pairs) => Ok(Self(pairs)),
            Err(error) => Err(Refusal::from(&error)),
        }
    }

    /// Every value of a parameter; an empty one is none.
    pub(super) fn all<'q>(&'q self, name: &'q str) -> impl Iterator<Item = &'q str> {
        let pairs = self.0.iter().filter(move |(given, value)| given == name && !value.is_empty());
        pairs.map(|(_, value)| value.as_str())
    }

    /// The only value of a parameter.
    pub(super) fn one(&self, name: &str) -> Result<Option<&str>, Refusal> {
        let mut pairs = self.0.iter().filter(|(given, value)| given == name && !value.is_empty());
        let first = pairs.next();
        if pairs.next().is_some() {
            return Err(Refusal::invalid(name, "is given more than once"));
        }
        Ok(first.map(|(_, value)| value.as_str()))
    }

    pub(super) fn required(&self, name: &str) -> Result<&str, Refusal> {
        self.one(name)?.ok_or_else(|| Refusal::missing(name))
    }

    /// How many items a page has at most, 1 to 1000, and `default` where nobody said.
    pub(super) fn limit(&self, default: usize) -> Result<usize, Refusal> {
        let Some(text) = self.one("limit")? else { return Ok(default) };
        let limit = text.parse().ok().filter(|limit| (1..=1000).contains(limit));
        limit.ok_or_else(|| {
            let problem = format!("is {}, and must be a whole number from 1 to 1000", quoted(text));
            Refusal::invalid("limit", &problem)
        })
    }

    pub(super) fn direction(&self) -> Result<Option<Direction>, Refusal> {
        let known = [("ASC", Direction::Ascending), ("DESC", Direction::Descending)];
        self.one("sortOrder")?.map(|word| choice("sortOrder", word, &known)).transpose()
    }
}

/// One of a closed set of words, in upper or lower case: clients differ in that.
pub(super) fn choice<T: Copy>(
    parameter: &str,
    word: &str,
    known: &[(&str, T)],
) -> Result<T, Refusal> {
    let found = known.iter().find(|(known, _)| known.eq_ignore_ascii_case(word));
    found.map(|(_, choice)| *choice).ok_or_else(|| {
        let words: Vec<&str> = known.iter().map(|(known, _)| *known).collect();
        let problem = format!("is {}, and must be one of {}", quoted(word), words.join(", "));
        Refusal::invalid(parameter, &problem)
    })
}

/// As much of a value as a message quotes.
fn quoted(value: &str) -> String {
    const BYTES_SHOWN: usize = 64;
    match value.get(..value.floor_char_boundary(BYTES_SHOWN)) {
        Some(shown) if shown.len() < value.len() => format!("{shown:?}..."),
        _ => format!("{value:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        Query::new(&format!("/x?{text}").parse().unwrap()).unwrap()
    }

    fn said<T: std::fmt::Debug>(result: Result<T, Refusal>) -> (u16, String, String) {
        let refusal = result.unwrap_err();
        (refusal.status.as_u16(), refusal.code.into_owned(), refusal.message.into_owned())
    }

    #[test]
    fn a_limit_is_from_1_to_1000() {
        assert_eq!(query("limit=1").limit(100), Ok(1));
        assert_eq!(query("limit=1000").limit(100), Ok(1000));
        assert_eq!(query("limit=").limit(100), Ok(100));
        for text in ["0", "1001", "-1", "x", "1.5", "99999999999999999999"] {
            let (status, code, message) = said(query(&format!("limit={text}")).limit(100));
            assert_eq!((status, &*code), (400, "InvalidParameter"));
            assert!(
                message.starts_with("limit: is ") && message.contains("1 to 1000"),
                "{message}"
            );
        }
        assert_eq!(said(query("limit=1&limit=2").limit(1)).2, "limit: is given more than once");
    }

    #[test]
    fn what_is_missing_and_what_cannot_be_read_is_named() {
        assert_eq!(
            said(query("a=1").required("compartmentId")),
            (400, "MissingParameter".to_owned(), "compartmentId: is missing".to_owned())
        );
        let (status, code, message) = said(Query::new(&"/x?page=%zz".parse().unwrap()));
        assert_eq!((status, &*code), (400, "InvalidParameter"));
        assert!(message.starts_with("page: "), "{message}");
        let (_, _, message) = said(query("sortOrder=up").direction());
        assert_eq!(message, "sortOrder: is \"up\", and must be one of ASC, DESC");
        assert_eq!(query("sortOrder=asc").direction(), Ok(Some(Direction::Ascending)));
    }

    #[test]
    fn fuzz_queries() {
        bolero::check!().for_each(|bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes);
            let Ok(uri) = format!("/x?{text}").parse::<Uri>() else { return };
            let Ok(query) = Query::new(&uri) else { return };
            let _limit = query.limit(1).map(|limit| assert!((1..=1000).contains(&limit)));
            let _direction = query.direction();
            assert!(query.all("status").all(|value| !value.is_empty()));
        });
    }
}
