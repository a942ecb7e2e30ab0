//! Names that were misspelled.

/// The most letters that a slip may differ in, however long the word is.
const LETTERS_MAX: usize = 4;

/// The candidate that differs from `word` in the fewest letters, if few enough to be a slip; of equals
/// the first.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (word.len() / 3).clamp(1, LETTERS_MAX);
    candidates
        .into_iter()
        .map(|candidate| (letters_between(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// What a message about a name that is not known ends with: the candidate nearest to it, or nothing.
pub fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, candidates).map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}

/// Letters to insert, remove, replace or swap with their neighbour to turn one word into the other.
pub fn letters_between(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    // Rows of the table of distances between prefixes: two back, one back, and the current one.
    let mut older: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in to.iter().enumerate() {
            let replaced = last[j] + usize::from(a != b);
            let mut least = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == to[j - 1] && from[i - 1] == *b {
                least = least.min(older[j - 1] + 1);
            }
            row.push(least);
        }
        older = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name_and_another_word_does_not() {
        let keys = ["listen", "allow_plaintext", "connections"];
        assert_eq!(nearest("lisen", keys), Some("listen"));
        assert_eq!(nearest("litsen", keys), Some("listen"));
        assert_eq!(nearest("allow-plaintext", keys), Some("allow_plaintext"));
        assert_eq!(nearest("body", keys), None);
        assert_eq!(did_you_mean("lisen", keys), "; did you mean `listen`?");
        assert_eq!(did_you_mean("body", keys), "");
    }

    #[test]
    fn a_long_name_may_not_differ_in_more_letters_for_being_long() {
        assert_eq!(nearest("acme.v1.Nothing.At.All", ["acme.v1.Workflow.At.All"]), None);
    }

    #[test]
    fn a_swap_counts_once() {
        assert_eq!(letters_between("listen", "litsen"), 1);
        assert_eq!(letters_between("", "abc"), 3);
        assert_eq!(letters_between("kitten", "sitting"), 3);
    }
}
