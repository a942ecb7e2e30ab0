//! How a handler wants to be told which operation is meant.

use std::sync::atomic::{AtomicU8, Ordering};

/// Where the reference of an operation stands in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// In a header: the specification since 2025-02.
    Header,
    /// In the path: before that.
    Path,
}

/// Which form a handler has answered to, for as long as the process lives.
#[derive(Debug, Default)]
pub(super) struct Known(AtomicU8);

impl Known {
    /// Both, the likely one first.
    pub(super) fn order(&self) -> [Form; 2] {
        match self.0.load(Ordering::Relaxed) {
            2 => [Form::Path, Form::Header],
            _ => [Form::Header, Form::Path],
        }
    }

    /// Hears that the handler has answered to this form.
    pub(super) fn heard(&self, form: Form) {
        let number = match form {
            Form::Header => 1,
            Form::Path => 2,
        };
        self.0.store(number, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_present_form_comes_first_until_a_handler_answers_to_the_other() {
        let known = Known::default();
        assert_eq!(known.order(), [Form::Header, Form::Path]);
        known.heard(Form::Path);
        assert_eq!(known.order(), [Form::Path, Form::Header]);
        known.heard(Form::Header);
        assert_eq!(known.order(), [Form::Header, Form::Path]);
    }
}
