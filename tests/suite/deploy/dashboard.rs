//! The dashboard by itself: what it names is there, all there is is shown, and it can be imported anywhere.

use std::collections::BTreeSet;

use opgate_telemetry::{CATALOGUE, Kind};
use serde_json::Value;

use super::shipped;

/// Metrics that no panel shows, and why.
const WAIVED: [(&str, &str); 1] =
    [("process_virtual_memory_bytes", "address space that is reserved costs nothing")];

/// A panel that shows something.
pub(super) struct Panel {
    pub(super) title: String,
    pub(super) queries: Vec<String>,
    json: Value,
}

fn dashboard() -> Value {
    serde_json::from_str(&shipped("deploy/grafana/opgate.json")).unwrap()
}

/// All panels but the headings of rows.
pub(super) fn panels() -> Vec<Panel> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    panels
        .filter(|panel| panel["type"] != "row")
        .map(|panel| Panel {
            title: text(&panel["title"]),
            queries: panel["targets"]
                .as_array()
                .unwrap()
                .iter()
                .map(|target| text(&target["expr"]))
                .collect(),
            json: panel.clone(),
        })
        .collect()
}

/// The metrics of the catalogue, and what else looks like one, that a query names.
pub(super) fn named(query: &str) -> BTreeSet<String> {
    let word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == ':';
    let words = query.split(|letter| !word(letter));
    let ours = words.filter(|word| word.starts_with("opgate_") || word.starts_with("process_"));
    ours.map(|word| {
        let histogram = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| {
            let bare = word.strip_suffix(suffix)?;
            let spec = CATALOGUE.iter().find(|spec| spec.name == bare)?;
            (spec.kind == Kind::Histogram).then_some(bare)
        });
        histogram.unwrap_or(word).to_owned()
    })
    .collect()
}

#[test]
fn every_metric_that_is_named_is_exposed_and_every_one_exposed_is_shown_or_waived() {
    let exposed: BTreeSet<String> = CATALOGUE.iter().map(|spec| spec.name.to_owned()).collect();
    let shown: BTreeSet<String> =
        panels().iter().flat_map(|panel| &panel.queries).flat_map(|query| named(query)).collect();
    let unknown: Vec<_> = shown.difference(&exposed).collect();
    assert!(unknown.is_empty(), "named, but not exposed: {unknown:?}");
    let hidden: BTreeSet<&str> = exposed.difference(&shown).map(String::as_str).collect();
    assert_eq!(hidden, WAIVED.iter().map(|(name, _)| *name).collect());
}

#[test]
fn labels_that_are_named_are_there() {
    for panel in panels() {
        for query in &panel.queries {
            let named = named(query);
            let labels: BTreeSet<&str> = CATALOGUE
                .iter()
                .filter(|spec| named.contains(spec.name))
                .flat_map(|spec| spec.labels.iter().copied())
                .chain(["job", "instance", "le"])
                .collect();
            let grouped = query.split(" by (").skip(1).filter_map(|rest| rest.split(')').next());
            for label in grouped.flat_map(|list| list.split(", ")) {
                assert!(labels.contains(label), "{}: {label} in {query}", panel.title);
            }
        }
    }
}

#[test]
fn it_can_be_imported_anywhere() {
    let dashboard = dashboard();
    assert_eq!(dashboard["uid"], "opgate");
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    assert_eq!(variables[0]["name"], "datasource");
    assert_eq!(
        (&variables[0]["type"], &variables[0]["query"]),
        (&"datasource".into(), &"prometheus".into())
    );
    let mut ids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "two panels of one id: {panel}");
    }
    for Panel { title, queries, json } in panels() {
        let from = "${datasource}";
        assert_eq!(json["datasource"]["uid"], from, "{title}");
        for target in json["targets"].as_array().unwrap() {
            assert_eq!(target["datasource"]["uid"], from, "{title}");
        }
        let unit = json["fieldConfig"]["defaults"]["unit"].as_str();
        assert!(unit.is_some_and(|unit| !unit.is_empty()), "{title} has no unit");
        for query in queries {
            // Several gateways may be scraped, by several jobs.
            let selected = query.matches(r#"{job="$job", instance=~"$instance""#).count();
            let metrics = query.matches("opgate_").count() + query.matches("process_").count();
            assert_eq!(selected, metrics, "{title}: {query}");
        }
    }
}

/// Quantiles cannot be added up, nor averaged: of several series the buckets can.
#[test]
fn quantiles_are_of_buckets_that_were_added_up_before() {
    let mut seen = 0;
    for Panel { title, queries, .. } in panels() {
        for query in queries.iter().filter(|query| query.contains("quantile")) {
            let buckets = query
                .strip_prefix("histogram_quantile(0.5, sum by (le")
                .or_else(|| query.strip_prefix("histogram_quantile(0.99, sum by (le"));
            assert!(
                buckets.is_some_and(|rest| !rest.contains("quantile") && rest.contains("_bucket{")),
                "{title}: {query}"
            );
            seen += 1;
        }
    }
    assert!(seen > 10, "{seen} quantiles");
}
