//! Which headers of a caller may go along to another system.

use http::HeaderName;

/// Whether a caller's header may ever be sent to another system: not what vouches for somebody, what
/// is of one hop, what describes the body, and what opgate says itself. A protocol has more of its own.
pub fn may_pass(name: &HeaderName) -> bool {
    let name = name.as_str();
    let of_a_family =
        ["content-", "proxy-", "grpc-", ":"].iter().any(|stem| name.starts_with(stem));
    let vouches = matches!(
        name,
        "authorization"
            | "cookie"
            | "set-cookie"
            | "x-api-key"
            | "x-goog-api-key"
            | "x-goog-iam-authorization-token"
            | "opc-obo-token"
            | "temporal-callback-token"
            | "x-forwarded-for"
            | "forwarded"
    );
    let ours = matches!(
        name,
        "accept-encoding"
            | "connection"
            | "expect"
            | "host"
            | "keep-alive"
            | "te"
            | "trailer"
            | "traceparent"
            | "tracestate"
            | "transfer-encoding"
            | "upgrade"
            | "user-agent"
    );
    !(of_a_family || vouches || ours)
}

/// A list of headers, separated by commas. A name may end in `*`, which stands for anything.
#[derive(Clone, Copy, Debug)]
pub struct Passing<'a>(&'a str);

impl<'a> Passing<'a> {
    /// The list in this text.
    pub const fn new(list: &'a str) -> Self {
        Self(list)
    }

    /// Whether the list is right, where only what `may` says can be on it by its name.
    ///
    /// # Errors
    /// The first entry that is wrong, and why.
    pub fn check(self, may: impl Fn(&HeaderName) -> bool) -> Result<(), String> {
        self.patterns().filter(|pattern| *pattern != "*").try_for_each(|pattern| {
            let stem = pattern.strip_suffix('*');
            let name: HeaderName = stem.unwrap_or(pattern).parse().map_err(|_| {
                format!("{pattern:?} is no name of a header, nor one that ends in *")
            })?;
            if stem.is_none() && !may(&name) {
                return Err(format!("{pattern} is never sent along"));
            }
            Ok(())
        })
    }

    /// Whether a header is on the list.
    pub fn holds(self, name: &HeaderName) -> bool {
        self.patterns().any(|pattern| match pattern.strip_suffix('*') {
            Some(stem) => {
                name.as_str().get(..stem.len()).is_some_and(|head| head.eq_ignore_ascii_case(stem))
            }
            None => pattern.eq_ignore_ascii_case(name.as_str()),
        })
    }

    fn patterns(self) -> impl Iterator<Item = &'a str> {
        self.0.split(',').filter(|pattern| !pattern.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_names_headers_and_families_of_them() {
        let list = Passing::new("x-tenant,Acme-*");
        for (name, holds) in
            [("x-tenant", true), ("acme-one", true), ("acme", false), ("x-tenants", false)]
        {
            assert_eq!(list.holds(&name.parse().unwrap()), holds, "{name}");
        }
        assert!(Passing::new("*").holds(&"anything".parse().unwrap()));
        assert!(!Passing::new("").holds(&"anything".parse().unwrap()));
    }

    #[test]
    fn what_may_not_pass_is_not_on_a_list_by_its_name() {
        for (list, right) in [
            ("", true),
            ("*", true),
            ("x-a,b-*", true),
            ("auth*", true),
            ("x a", false),
            ("cookie", false),
            ("x-a,Authorization", false),
            ("content-type", false),
        ] {
            assert_eq!(Passing::new(list).check(may_pass).is_ok(), right, "{list:?}");
        }
    }
}
