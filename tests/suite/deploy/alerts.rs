//! Each alert in a case in which it fires and in one in which it does not, by `promtool test rules`.

mod cases;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::prometheus::{configuration, promtool};
use super::shipped;
use crate::clients::run;
use cases::CASES;

/// Series as they are scraped: each with its values, in promtool's notation.
type Series = &'static [(&'static str, &'static str)];

/// What one alert is to make of what is scraped.
struct Case {
    alert: &'static str,
    /// How often it is scraped and looked at: minutes.
    every: u32,
    /// How long, in minutes.
    minutes: u32,
    /// It fires then.
    fires: Series,
    /// It does not then, though it nearly does.
    silent: Series,
}

#[test]
fn every_alert_fires_when_it_should_and_not_before() {
    let rules = shipped("deploy/prometheus/rules/alerts.yml");
    let alerts: BTreeSet<&str> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert_eq!(CASES.iter().map(|case| case.alert).collect::<BTreeSet<_>>(), alerts);

    let dir = tempfile::tempdir().unwrap();
    configuration(dir.path(), "127.0.0.1:1");
    for every in CASES.iter().map(|case| case.every).collect::<BTreeSet<_>>() {
        let cases = CASES.iter().filter(|case| case.every == every);
        let tests: Vec<Value> = cases.flat_map(|case| [fires(case), is_silent(case)]).collect();
        // JSON is YAML.
        let file = dir.path().join("test.yml");
        let test = json!({
            "rule_files": ["rules/recording.yml", "rules/alerts.yml"],
            // What is recorded is recorded before it is looked at.
            "group_eval_order": ["opgate-recording", "opgate-alerts"],
            "evaluation_interval": format!("{every}m"),
            "tests": tests,
        });
        std::fs::write(&file, test.to_string()).unwrap();
        run(promtool().args(["test", "rules"]).arg(&file));
    }
}

fn fires(case: &Case) -> Value {
    test(case, "fires", case.fires, &json!([{"labels": "{}", "value": 1}]))
}

fn is_silent(case: &Case) -> Value {
    test(case, "is silent", case.silent, &json!([]))
}

fn test(case: &Case, what: &str, series: Series, firing: &Value) -> Value {
    let Case { alert, every, minutes, .. } = case;
    let series = series.iter().map(|(series, values)| json!({"series": series, "values": values}));
    json!({
        "name": format!("{alert} {what}"),
        "interval": format!("{every}m"),
        "input_series": series.collect::<Vec<_>>(),
        "promql_expr_test": [{
            "expr": format!("count(ALERTS{{alertname=\"{alert}\", alertstate=\"firing\"}})"),
            "eval_time": format!("{minutes}m"),
            "exp_samples": firing,
        }],
    })
}

#[test]
fn promtool_has_nothing_to_say_of_the_configuration_and_the_rules() {
    let dir = tempfile::tempdir().unwrap();
    let config = configuration(dir.path(), "127.0.0.1:1");
    run(promtool().args(["check", "config", "--lint=all", "--lint-fatal"]).arg(&config));
    for rules in ["recording", "alerts"] {
        let rules = dir.path().join(format!("rules/{rules}.yml"));
        run(promtool().args(["check", "rules", "--lint=all", "--lint-fatal"]).arg(&rules));
    }
}
