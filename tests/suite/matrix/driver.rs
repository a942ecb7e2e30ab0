//! Programs that are told what to do by lines of JSON: vendors' clients, and those who carry operations out.
//! See `tests/clients/matrix/driver.py`.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::process::PATIENCE;

/// Longer than the programs' own patience, so that they say themselves what did not come.
const LONGER: Duration = PATIENCE.saturating_add(Duration::from_secs(30));

/// Who waits for which answer. None any more once the program has ended.
type Waiting = Arc<Mutex<Option<HashMap<u64, Sender<Value>>>>>;

/// Such a program. Killed when dropped.
pub(super) struct Driver {
    name: String,
    child: Child,
    commands: Mutex<ChildStdin>,
    waiting: Waiting,
    next: AtomicU64,
}

impl Driver {
    pub(super) fn start(name: &str, command: &mut Command) -> Self {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap_or_else(|error| {
                panic!("{command:?}: {error}");
            });
        let answers = BufReader::new(child.stdout.take().unwrap());
        let commands = Mutex::new(child.stdin.take().unwrap());
        let waiting: Waiting = Arc::new(Mutex::new(Some(HashMap::new())));
        std::thread::spawn({
            let waiting = Arc::clone(&waiting);
            move || {
                for line in answers.lines().map_while(Result::ok) {
                    let answer: Value = serde_json::from_str(&line).unwrap();
                    let id = answer["id"].as_u64().unwrap();
                    let asker = waiting.lock().unwrap().as_mut().and_then(|all| all.remove(&id));
                    // Who asked may have given up.
                    asker.map(|asker| asker.send(answer).unwrap_or_default()).unwrap_or_default();
                }
                *waiting.lock().unwrap() = None;
            }
        });
        Self { name: name.to_owned(), child, commands, waiting, next: AtomicU64::new(1) }
    }

    /// Has a command carried out, which must be a success. Others may be under way.
    pub(super) fn tell(&self, what: &str, mut command: Value) -> Value {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        (command["id"], command["do"]) = (json!(id), json!(what));
        let (sender, answer) = channel();
        let mut waiting = self.waiting.lock().unwrap();
        waiting.as_mut().unwrap_or_else(|| panic!("{} has ended", self.name)).insert(id, sender);
        drop(waiting);
        // Where it has ended meanwhile, there will be no answer either.
        writeln!(self.commands.lock().unwrap(), "{command}").unwrap_or_default();
        let answer = answer.recv_timeout(LONGER);
        let mut answer = answer.unwrap_or_else(|error| panic!("{}: {command}: {error}", self.name));
        if let Some(error) = answer["error"].as_str() {
            panic!("{}: {command}: {error}", self.name);
        }
        answer["ok"].take()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // It may have ended already, and both then fail.
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}
