//! How far long work has come: one line of a terminal that is written over. Nothing is written where standard
//! error is no terminal.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// How often the line is written, at most.
const EVERY: Duration = Duration::from_millis(100);
/// Characters of a full bar.
const WIDTH: usize = 30;
/// Characters of the line: more would wrap on the narrowest of terminals, and stay there.
const LINE: usize = 79;

/// The line. It is wiped when this is dropped.
#[derive(Debug)]
pub(crate) struct Progress {
    on: bool,
    written: Option<Instant>,
}

impl Progress {
    /// A line that is empty so far.
    pub(crate) fn new() -> Self {
        Self { on: io::stderr().is_terminal(), written: None }
    }

    /// Whether anybody sees it.
    pub(crate) const fn is_seen(&self) -> bool {
        self.on
    }

    /// So much of it all is done.
    pub(crate) fn of(&mut self, what: &str, done: u64, all: u64) {
        #[expect(clippy::cast_precision_loss, reason = "of a percentage nobody sees the last bits")]
        let percent = (all > 0).then(|| done.min(all) as f64 * 100.0 / all as f64);
        self.say(percent, what, done == all);
    }

    /// So many percent, as far as that is known, and in words. What is `last` is shown in any case.
    pub(crate) fn say(&mut self, percent: Option<f64>, text: &str, last: bool) {
        let soon = self.written.is_some_and(|written| written.elapsed() < EVERY);
        if self.on && (last || !soon) {
            self.written = Some(Instant::now());
            put(&format!("\r\x1b[K{}", line(percent, text)));
        }
    }

    /// Wipes the line, so that something else can be written.
    pub(crate) fn wipe(&mut self) {
        if self.written.take().is_some() {
            put("\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.wipe();
    }
}

/// Whether it was seen changes nothing.
fn put(text: &str) {
    let mut out = io::stderr().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).unwrap_or_default();
}

fn line(percent: Option<f64>, text: &str) -> String {
    let head = match percent {
        Some(percent) => {
            let percent = percent.clamp(0.0, 100.0);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "it is from 0 to 30"
            )]
            let full = (percent / 100.0 * WIDTH as f64) as usize;
            format!("[{}{}] {percent:3.0} %", "#".repeat(full), " ".repeat(WIDTH - full))
        }
        None => String::new(),
    };
    let text: String =
        text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    let whole = format!("{head}  {text}");
    whole.trim().chars().take(LINE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_a_bar_and_stays_one_line() {
        let bar = |full: usize| format!("[{}{}]", "#".repeat(full), " ".repeat(WIDTH - full));
        assert_eq!(line(Some(0.0), "a"), format!("{}   0 %  a", bar(0)));
        assert_eq!(line(Some(50.0), "a\nb"), format!("{}  50 %  a b", bar(15)));
        assert_eq!(line(Some(1000.0), ""), format!("{} 100 %", bar(30)));
        assert_eq!(line(None, "waits"), "waits");
        assert_eq!(line(Some(1.0), &"x".repeat(200)).chars().count(), LINE);
    }
}
