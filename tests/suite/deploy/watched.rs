//! A gateway under load, scraped by Prometheus as it is shipped for: every query of the dashboard returns data, every
//! rule is evaluated, and every alert has its runbook.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use opgate_telemetry::CATALOGUE;
use serde_json::Value;

use super::dashboard::{named, panels};
use super::load::Load;
use super::prometheus::{Prometheus, promtool};
use super::shipped;
use crate::clients::run;
use crate::process::PATIENCE;

const RUNBOOKS: &str = "https://github.com/opgate/opgate/blob/main/docs/runbooks.md#";
/// What each runbook says, in this order.
const PARTS: [&str; 4] = ["**Meaning.**", "**First look.**", "**Safe.**", "**Not.**"];

/// A query as Grafana would send it.
fn filled(query: &str) -> String {
    let filled = query
        .replace("$job", "opgate")
        .replace("$instance", ".+")
        .replace("$__rate_interval", "10s")
        .replace("$__range", "1m");
    assert!(!filled.contains('$'), "a variable nobody knows: {filled}");
    filled
}

/// Whether there is a number among the samples: a ratio of nothing is none.
fn has_data(series: &[Value]) -> bool {
    let number = |sample: &Value| sample["value"][1].as_str().is_some_and(|text| text != "NaN");
    series.iter().any(number)
}

fn lint(text: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("metrics");
    std::fs::write(&file, text).unwrap();
    let file = std::fs::File::open(file).unwrap();
    run(promtool().args(["check", "metrics"]).stdin(file))
}

#[test]
fn every_panel_of_a_gateway_under_load_has_data() {
    let load = Load::start();
    let dir = tempfile::tempdir().unwrap();
    let prometheus = Prometheus::start(dir.path(), load.admin());
    let mut missing: Vec<(String, String)> = panels()
        .into_iter()
        .flat_map(|panel| {
            let title = panel.title;
            panel.queries.into_iter().map(move |query| (title.clone(), filled(&query)))
        })
        .collect();
    let ends = Instant::now() + 2 * PATIENCE;
    while !missing.is_empty() {
        missing.retain(|(_, query)| !has_data(&prometheus.query(query)));
        assert!(Instant::now() < ends, "no data: {missing:#?}");
        // Only so that asking leaves time for what is asked for: a scrape comes every second.
        std::thread::sleep(Duration::from_millis(500));
    }
    let exposition = load.metrics();
    assert_eq!(lint(&exposition), "", "promtool check metrics");

    // Rules were evaluated meanwhile, and those that are recorded made series.
    for rule in prometheus.rules() {
        let name = rule["name"].as_str().unwrap();
        assert_eq!((&rule["health"], &rule["lastError"]), (&"ok".into(), &Value::Null), "{rule}");
        if rule["type"] == "recording" {
            assert!(has_data(&prometheus.query(name)), "{name} has no series");
        }
    }
    load.stop();
}

#[test]
fn every_alert_leads_to_its_runbook_and_names_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    // Nobody listens there: only the rules are looked at.
    let prometheus = Prometheus::start(dir.path(), "127.0.0.1:1".parse().unwrap());
    let runbooks = shipped("docs/runbooks.md");
    let rules = prometheus.rules();
    let recorded: BTreeSet<&str> = rules
        .iter()
        .filter(|rule| rule["type"] == "recording")
        .map(|rule| rule["name"].as_str().unwrap())
        .collect();
    let exposed: BTreeSet<&str> = CATALOGUE.iter().map(|spec| spec.name).collect();
    let mut pages: BTreeSet<&str> =
        runbooks.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    for rule in &rules {
        let (name, query) = (rule["name"].as_str().unwrap(), rule["query"].as_str().unwrap());
        for named in named(query) {
            assert!(exposed.contains(&*named), "{name} names {named}, which is not exposed");
        }
        let words =
            query.split(|letter: char| !letter.is_ascii_alphanumeric() && !"_:".contains(letter));
        for word in words.filter(|word| word.contains("opgate") && word.contains(':')) {
            assert!(recorded.contains(word), "{name} names {word}, which is not recorded");
        }
        // A quantile that was computed may be compared, not computed with.
        let quantiles = query.matches("quantile").count() + query.matches(":p99").count();
        assert!(quantiles <= 1, "{name}: {query}");
        if query.contains("quantile") {
            assert!(
                query.starts_with("histogram_quantile(0.99, sum by (job, instance, le) (rate(")
            );
        }
        if rule["type"] == "recording" {
            continue;
        }
        assert!(name.starts_with("Opgate"), "{name}");
        let text = |of: &Value| of.as_str().unwrap_or_default().to_owned();
        assert!(["critical", "warning"].contains(&&*text(&rule["labels"]["severity"])), "{name}");
        for annotation in ["summary", "description"] {
            assert!(text(&rule["annotations"][annotation]).len() > 10, "{name}: {annotation}");
        }
        // The anchor that a heading of one word has.
        let url = format!("{RUNBOOKS}{}", name.to_lowercase());
        assert_eq!(text(&rule["annotations"]["runbook_url"]), url);
        assert!(pages.remove(name), "{name} has no page");
        let page = runbooks.split("\n## ").find(|page| page.lines().next() == Some(name)).unwrap();
        let places = PARTS.map(|part| page.find(part).unwrap_or_else(|| panic!("{name}: {part}")));
        assert!(places.is_sorted(), "{name}: {PARTS:?}");
    }
    assert!(pages.is_empty(), "pages of no alert: {pages:?}");
}
