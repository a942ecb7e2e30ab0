//! `opgate ops backends`.

use serde_json::Value;

use super::args::Output;
use super::{Failed, Session, pretty, write};
use crate::table;

const HEADING: [&str; 8] =
    ["BACKEND", "KIND", "BREAKER", "IN FLIGHT", "QUEUED", "WORKERS", "ADDRESS", "LAST ERROR"];
/// The widest each column may grow; the last takes what is left.
const MOST: [usize; 8] = [40, 12, 20, 12, 10, 8, 60, usize::MAX];

impl Session {
    /// Shows how it stands with each backend.
    pub(super) async fn backends(&self) -> Result<(), Failed> {
        let found = self.get("/backends").await?;
        match self.output {
            Output::Json => write(&pretty(&found)),
            Output::Table | Output::Wide => write(&table(&found)),
        }
    }
}

fn table(found: &Value) -> String {
    let backends = found["backends"].as_array().map_or(&[][..], Vec::as_slice);
    let rows: Vec<[String; 8]> =
        std::iter::once(HEADING.map(str::to_owned)).chain(backends.iter().map(row)).collect();
    table::lines(&rows, [0; 8], MOST)
}

fn row(backend: &Value) -> [String; 8] {
    let text = |key: &str| backend[key].as_str().map_or_else(|| "-".to_owned(), printable);
    let number =
        |key: &str| backend[key].as_u64().map_or_else(|| "-".to_owned(), |n| n.to_string());
    let breaker = match (&*text("breaker"), backend["breakerOpenSeconds"].as_f64()) {
        _ if backend["configured"] == false => "NOT CONFIGURED".to_owned(),
        ("OPEN", Some(left)) => format!("OPEN for {left:.0} s"),
        ("CLOSED", _) if backend["reachable"] == false => "CLOSED, no answer".to_owned(),
        (word, _) => word.to_owned(),
    };
    let error = &backend["lastError"];
    let said = |key: &str| error[key].as_str().map(printable).unwrap_or_default();
    [
        text("name"),
        text("kind"),
        breaker,
        format!("{} of {}", number("inFlight"), number("concurrency")),
        number("queued"),
        number("workers"),
        text("address"),
        if error.is_null() {
            "-".to_owned()
        } else {
            format!("{} {}", said("time"), said("message"))
        },
    ]
}

/// Text that cannot take the terminal over: upstreams chose it.
fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_backend_is_a_line() {
        let shown = table(&json!({ "backends": [
            { "name": "billing", "kind": "longrunning", "address": "http://h:1", "configured": true,
              "reachable": false, "breaker": "OPEN", "breakerOpenSeconds": 3.6, "concurrency": 8,
              "inFlight": 2, "queued": 5, "workers": null, "queues": [],
              "lastError": { "time": "T", "message": "gone\u{1b}[2J" } },
            { "name": "crew", "kind": "worker", "address": null, "configured": true,
              "reachable": true, "breaker": "CLOSED", "breakerOpenSeconds": null, "concurrency": 4,
              "inFlight": 0, "queued": 0, "workers": 3, "queues": ["crew"], "lastError": null },
        ] }));
        let lines: Vec<Vec<&str>> = shown
            .lines()
            .map(|line| line.split("  ").filter(|cell| !cell.is_empty()).map(str::trim).collect())
            .collect();
        assert_eq!(lines[0], HEADING);
        assert_eq!(
            lines[1],
            [
                "billing",
                "longrunning",
                "OPEN for 4 s",
                "2 of 8",
                "5",
                "-",
                "http://h:1",
                "T gone [2J"
            ]
        );
        assert_eq!(lines[2], ["crew", "worker", "CLOSED", "0 of 4", "0", "3", "-", "-"]);
    }
}
