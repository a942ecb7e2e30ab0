//! What a status means. OCI's services spell theirs in some ways of their own (oci.md, 2), and what
//! is not known is taken for running: nothing is ended by a word that nobody has explained.

/// What a status means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::backend) enum Phase {
    /// It goes on.
    Running,
    /// It goes on once somebody has done something.
    Waiting,
    /// It goes on, by a word that is not known.
    Unknown,
    /// It has ended with success.
    Succeeded,
    /// It has ended without.
    Failed,
    /// It has ended without, and something of it is done.
    Partial,
    /// It has ended because somebody asked.
    Canceled,
}

impl Phase {
    /// The meaning of a status, whatever its case, with `_`, `-`, a space or nothing between words.
    pub(in crate::backend) fn of(status: &str) -> Self {
        let letters = status.chars().filter(|letter| !matches!(letter, '_' | '-' | ' '));
        let word: String = letters.map(|letter| letter.to_ascii_uppercase()).collect();
        match word.as_str() {
            "ACCEPTED" | "CREATED" | "INPROGRESS" | "CANCELING" | "CANCELLING" | "SUSPENDING" => {
                Self::Running
            }
            "WAITING" | "NEEDSATTENTION" | "SUSPENDED" => Self::Waiting,
            "SUCCEEDED" | "COMPLETED" | "SKIPPED" => Self::Succeeded,
            "FAILED" => Self::Failed,
            "PARTIALLYSUCCEEDED" => Self::Partial,
            "CANCELED" | "CANCELLED" => Self::Canceled,
            _ => Self::Unknown,
        }
    }

    /// Whether it has ended for a reason that is told elsewhere.
    pub(in crate::backend) const fn has_reason(self) -> bool {
        match self {
            Self::Failed | Self::Partial | Self::Canceled => true,
            Self::Running | Self::Waiting | Self::Unknown | Self::Succeeded => false,
        }
    }

    /// Whether nothing follows.
    pub(in crate::backend) const fn is_end(self) -> bool {
        match self {
            Self::Running | Self::Waiting | Self::Unknown => false,
            Self::Succeeded | Self::Failed | Self::Partial | Self::Canceled => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every word in `oci-workrequest-models.json`.
    const WORDS: [(&str, Phase); 18] = [
        ("ACCEPTED", Phase::Running),
        ("IN_PROGRESS", Phase::Running),
        ("INPROGRESS", Phase::Running),
        ("CREATED", Phase::Running),
        ("CANCELING", Phase::Running),
        ("CANCELLING", Phase::Running),
        ("SUSPENDING", Phase::Running),
        ("WAITING", Phase::Waiting),
        ("NEEDS_ATTENTION", Phase::Waiting),
        ("SUSPENDED", Phase::Waiting),
        ("SUCCEEDED", Phase::Succeeded),
        ("COMPLETED", Phase::Succeeded),
        ("SKIPPED", Phase::Succeeded),
        ("FAILED", Phase::Failed),
        ("PARTIALLY_SUCCEEDED", Phase::Partial),
        ("CANCELED", Phase::Canceled),
        ("CANCELLED", Phase::Canceled),
        ("LIFECYCLE_PROMOTION", Phase::Unknown),
    ];

    #[test]
    fn every_word_has_its_meaning() {
        for (word, phase) in WORDS {
            assert_eq!(Phase::of(word), phase, "{word}");
        }
    }

    proptest! {
        /// Neither case nor what stands between the words matters.
        #[test]
        fn a_word_is_known_however_it_is_spelled(
            index in 0..WORDS.len(),
            upper in any::<u32>(),
            between in prop::sample::select(vec!["_", "-", " ", ""]),
        ) {
            let (word, phase) = WORDS[index];
            let spelled: String = word
                .chars()
                .enumerate()
                .map(|(at, letter)| match (letter, upper >> at & 1) {
                    ('_', _) => between.to_owned(),
                    (letter, 1) => letter.to_string(),
                    (letter, _) => letter.to_ascii_lowercase().to_string(),
                })
                .collect();
            prop_assert_eq!(Phase::of(&spelled), phase, "{}", spelled);
        }

        /// What is not a word of these ends nothing.
        #[test]
        fn other_words_are_running(word in "\\PC{0,24}") {
            let known = WORDS.iter().any(|(known, _)| {
                let letters = |text: &str| text.replace(['_', '-', ' '], "").to_ascii_uppercase();
                letters(known) == letters(&word)
            });
            prop_assume!(!known);
            prop_assert_eq!(Phase::of(&word), Phase::Unknown);
        }
    }
}
