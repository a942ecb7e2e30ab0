//! What a hop could not carry: the closed vocabulary of losses.
//!
//! A hop is one mapping between a protocol and the canonical operation. Each tells what it really
//! dropped, of that operation; `docs/loss.md` says of each token what it means, where it comes from, and
//! where what is lost is still to be had. Nothing here allocates: [`Losses`] is a set in one word.

use std::fmt;
use std::ops::{BitOr, BitOrAssign};

use crate::failure::{Code, Failure};
use crate::operation::{Operation, Outcome};
use crate::payload::Payload;

macro_rules! losses {
    ($($(#[$doc:meta])* $name:ident = $bit:literal $token:literal,)+) => {
        /// One thing that was not carried. The numbers are stored: one that goes is never used again.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Loss { $($(#[$doc])* $name = $bit,)+ }

        impl Loss {
            /// Every loss, in number order.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The word by which it is named in replies.
            pub const fn token(self) -> &'static str {
                match self { $(Self::$name => $token,)+ }
            }
        }
    };
}

losses! {
    /// The result as a whole.
    Result = 0 "result",
    /// The media type of the result, as it was spelled.
    ResultType = 1 "result-type",
    /// The content encoding of the result.
    ResultEncoding = 2 "result-encoding",
    /// Where one section of the result ended and the next began.
    ResultSections = 3 "result-sections",
    /// How the result was written: it was written anew.
    ResultText = 4 "result-text",
    /// Digits of a number in the result.
    ResultNumbers = 5 "result-numbers",
    /// What a message of the result held beyond its type, or in another order than usual.
    ResultFields = 6 "result-fields",
    /// Widths of numbers, and that texts were symbols, in AMQP values of the result.
    ResultValues = 7 "result-values",
    /// The code of the failure: it is shown as another.
    ErrorCode = 8 "error-code",
    /// The end of the failure's text.
    ErrorText = 9 "error-text",
    /// The cause type of the failure, as it was spelled.
    ErrorReason = 10 "error-reason",
    /// Whether and when to try again.
    ErrorRetry = 11 "error-retry",
    /// Typed details of the failure.
    ErrorDetails = 12 "error-details",
    /// The failure as the backend's own protocol said it.
    ErrorNative = 13 "error-native",
    /// What led to the failure, or more of it than a line for each cause.
    ErrorCauses = 14 "error-causes",
    /// How far the work is, or was.
    Progress = 15 "progress",
    /// The percentage, which is shown as another.
    PercentRounded = 16 "percent-rounded",
    /// Lines of the log.
    Log = 17 "log",
    /// What else is known of the work.
    Metadata = 18 "metadata",
    /// The media type of the input, as it was spelled.
    InputType = 19 "input-type",
    /// The content encoding of the input.
    InputEncoding = 20 "input-encoding",
    /// Where one section of the input ended and the next began.
    InputSections = 21 "input-sections",
    /// How the input was written: it was written anew.
    InputText = 22 "input-text",
    /// Digits of a number in the input.
    InputNumbers = 23 "input-numbers",
    /// Widths of numbers, and that texts were symbols, in AMQP values of the input.
    InputValues = 24 "input-values",
}

impl Loss {
    const fn bit(self) -> u32 {
        1 << self as u8
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.token())
    }
}

/// A set of losses. Shown as the tokens in number order, separated by `, `.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Losses(u32);

impl Losses {
    /// Nothing was lost.
    pub const NONE: Self = Self(0);

    /// All that a result can lose.
    pub const OF_RESULTS: Self = Self::NONE
        .with(Loss::Result, true)
        .with(Loss::ResultType, true)
        .with(Loss::ResultEncoding, true)
        .with(Loss::ResultSections, true)
        .with(Loss::ResultText, true)
        .with(Loss::ResultNumbers, true)
        .with(Loss::ResultFields, true)
        .with(Loss::ResultValues, true);

    /// Whether nothing was lost.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether this was lost.
    pub const fn has(self, loss: Loss) -> bool {
        self.0 & loss.bit() != 0
    }

    /// With this one, where it was lost.
    #[must_use]
    pub const fn with(self, loss: Loss, lost: bool) -> Self {
        if lost { Self(self.0 | loss.bit()) } else { self }
    }

    /// Those of these that are not among `others`.
    #[must_use]
    pub const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Each, in number order.
    pub fn iter(self) -> impl Iterator<Item = Loss> {
        Loss::ALL.iter().copied().filter(move |loss| self.has(*loss))
    }

    /// The only one, where there is one only.
    pub fn only(self) -> Option<Loss> {
        let mut all = self.iter();
        all.next().filter(|_| all.next().is_none())
    }

    /// The set as a number, as it is stored.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The set of a number. What a later version has stored and this one does not know is left out.
    pub fn from_bits(bits: u32) -> Self {
        Self(bits) & Loss::ALL.iter().map(|loss| Self::from(*loss)).fold(Self::NONE, BitOr::bitor)
    }

    /// What is lost where a result arrives as another.
    pub fn of_result(sent: Option<&Payload>, came: Option<&Payload>) -> Self {
        let Some(sent) = sent.filter(|sent| !sent.is_nothing()) else { return Self::NONE };
        let Some(came) = came else { return Loss::Result.into() };
        Self::NONE
            .with(Loss::ResultType, sent.media_type != came.media_type)
            .with(Loss::ResultEncoding, sent.encoding != came.encoding)
            .with(Loss::ResultSections, sent.sections != came.sections)
            .with(Loss::ResultText, sent.bytes != came.bytes)
    }

    /// The same losses, of an input.
    #[must_use]
    pub fn as_input(self) -> Self {
        let input = |loss| match loss {
            Loss::ResultType => Loss::InputType,
            Loss::ResultEncoding => Loss::InputEncoding,
            Loss::ResultSections => Loss::InputSections,
            Loss::Result | Loss::ResultText | Loss::ResultFields => Loss::InputText,
            Loss::ResultNumbers => Loss::InputNumbers,
            Loss::ResultValues => Loss::InputValues,
            Loss::ErrorCode
            | Loss::ErrorText
            | Loss::ErrorReason
            | Loss::ErrorRetry
            | Loss::ErrorDetails
            | Loss::ErrorNative
            | Loss::ErrorCauses
            | Loss::Progress
            | Loss::PercentRounded
            | Loss::Log
            | Loss::Metadata
            | Loss::InputType
            | Loss::InputEncoding
            | Loss::InputSections
            | Loss::InputText
            | Loss::InputNumbers
            | Loss::InputValues => loss,
        };
        self.iter().map(|loss| Self::from(input(loss))).fold(Self::NONE, BitOr::bitor)
    }

    /// What is lost of a failure where code and text are all that is carried of it, and of each of its
    /// causes.
    pub fn of_bare(failure: &Failure) -> Self {
        let tells = |failure: &Failure| {
            failure.native.as_ref().is_some_and(|native| native.tells_more(failure.code))
        };
        let mut causes =
            std::iter::successors(failure.cause.as_deref(), |cause| cause.cause.as_deref());
        let beyond = |cause: &Failure| {
            cause.reason.is_some()
                || cause.retryable.is_some()
                || cause.retry_after.is_some()
                || !cause.details.is_empty()
                || tells(cause)
        };
        Self::NONE
            .with(Loss::ErrorReason, failure.reason.is_some())
            .with(Loss::ErrorRetry, failure.retryable.is_some() || failure.retry_after.is_some())
            .with(Loss::ErrorDetails, !failure.details.is_empty())
            .with(Loss::ErrorNative, tells(failure))
            .with(Loss::ErrorCauses, causes.any(beyond))
    }

    /// What is lost of an end where its code alone tells whether it failed or was canceled.
    pub fn of_code(outcome: &Outcome) -> Self {
        let canceled = matches!(outcome, Outcome::Canceled(_));
        let says = outcome.failure().map(|failure| failure.code == Code::Cancelled);
        Self::NONE.with(Loss::ErrorCode, says.is_some_and(|says| says != canceled))
    }

    /// What is lost of how the work went where nothing of it is carried but its state. `word`: the word
    /// for the state that is carried; `linked`: whether links to what the work is about are.
    pub fn of_work(operation: &Operation, word: &str, linked: bool) -> Self {
        let else_known = operation.has_word_beside(word)
            || !operation.waiting.is_empty()
            || operation.cancel.is_some()
            || !operation.resources.is_empty()
            || (!linked && !operation.links_out.is_empty());
        Self::NONE
            .with(Loss::Progress, operation.progress.is_some())
            .with(Loss::Log, !operation.log.is_empty())
            .with(Loss::Metadata, else_known)
    }
}

impl Operation {
    /// Whether its backend has a word of its own for the state, beside opgate's and this one.
    pub fn has_word_beside(&self, word: &str) -> bool {
        let native = &*self.native_state;
        !native.is_empty()
            && !native.eq_ignore_ascii_case(word)
            && !native.eq_ignore_ascii_case(self.state.name())
    }
}

impl Outcome {
    /// The result, where it ended with one that says anything.
    pub fn result(&self) -> Option<&Payload> {
        match self {
            Self::Succeeded(result) => result.as_ref().filter(|result| !result.is_nothing()),
            Self::Failed(_) | Self::Canceled(_) => None,
        }
    }
}

impl From<Loss> for Losses {
    fn from(loss: Loss) -> Self {
        Self(loss.bit())
    }
}

impl BitOr for Losses {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Losses {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl std::ops::BitAnd for Losses {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl fmt::Display for Losses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, loss) in self.iter().enumerate() {
            f.write_str(if place > 0 { ", " } else { "" })?;
            f.write_str(loss.token())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Losses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Losses({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_loss_has_a_number_and_a_token_of_its_own() {
        let mut tokens: Vec<&str> = Loss::ALL.iter().map(|loss| loss.token()).collect();
        for (place, loss) in Loss::ALL.iter().enumerate() {
            assert_eq!(usize::from(*loss as u8), place);
            let fit = loss.token().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
            assert!(fit, "{loss}");
        }
        tokens.sort_unstable();
        tokens.dedup();
        assert_eq!(tokens.len(), Loss::ALL.len());
        assert!(tokens.len() <= 32, "a set is one word of 32 bits");
    }

    #[test]
    fn a_set_is_shown_in_order_and_stored_as_a_number() {
        let lost = Losses::from(Loss::Log) | Loss::Result.into();
        assert_eq!(lost.to_string(), "result, log");
        assert_eq!((lost.only(), Losses::from(Loss::Log).only()), (None, Some(Loss::Log)));
        assert_eq!(Losses::NONE.to_string(), "");
        assert_eq!(Losses::from_bits(lost.bits()), lost);
        assert_eq!(Losses::from_bits(u32::MAX).iter().count(), Loss::ALL.len());
        assert_eq!(lost.without(Loss::Log.into()), Loss::Result.into());
    }

    #[test]
    fn a_result_loses_what_arrives_otherwise() {
        let sent = Payload { sections: vec![1, 1], ..Payload::json("12") };
        let lost = |came: &Payload| Losses::of_result(Some(&sent), Some(came)).to_string();
        assert_eq!(lost(&sent), "");
        assert_eq!(lost(&Payload::json("12")), "result-sections");
        assert_eq!(lost(&Payload::new("", "1")), "result-type, result-sections, result-text");
        assert_eq!(Losses::of_result(Some(&sent), None), Loss::Result.into());
        assert_eq!(Losses::of_result(Some(&Payload::new("", "")), None), Losses::NONE);
        let input = Losses::of_result(Some(&sent), Some(&Payload::new("", "1"))).as_input();
        assert_eq!(input.to_string(), "input-type, input-sections, input-text");
    }
}
