//! Rules and dashboards: right by Prometheus' own tool, and of no metric that memtrace does not have.
use crate::{done, read, root, tool, yaml};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::process::Command;

fn promtool(arguments: &[&str]) -> Command {
    let mut promtool = Command::new(tool("services/promtool", "services"));
    promtool.args(arguments);
    promtool
}

/// Of docs/metrics.md, which a unit test compares with what is served.
fn documented() -> BTreeSet<String> {
    let page = read("docs/metrics.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `memtrace_")?.split_once('`'));
    let names = rows.map(|(name, rest)| (format!("memtrace_{name}"), rest.starts_with(" | histogram ")));
    names.flat_map(|(name, is_histogram)| if is_histogram { series_of(&name) } else { vec![name] }).collect()
}

/// It has no sum.
fn series_of(histogram: &str) -> Vec<String> {
    ["_bucket", "_count"].iter().map(|part| format!("{histogram}{part}")).collect()
}

/// Recorded by the rules themselves, with what they are made of.
fn rules() -> Vec<Value> {
    let [rules] = yaml(&read("deploy/prometheus/rules.yaml")).try_into().expect("one document");
    let groups = rules["groups"].as_array().expect("groups");
    groups.iter().flat_map(|group| group["rules"].as_array().expect("rules").clone()).collect()
}

/// Names of series in an expression: what memtrace's look like, recorded ones with their level and operation.
fn names(expression: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let words = expression.split(|c: char| !is_part(c));
    words.filter(|word| word.contains("memtrace_")).map(str::to_owned).collect()
}

/// Names in braces and quotes are no metrics, but a metric in a label's place would be one that is not known.
#[track_caller]
fn assert_known(place: &str, expression: &str, recorded: &BTreeSet<String>) {
    let (found, documented) = (names(expression), documented());
    assert!(documented.len() > 30, "{documented:?}");
    let unknown: Vec<_> =
        found.iter().filter(|name| !documented.contains(*name) && !recorded.contains(*name)).collect();
    assert!(!found.is_empty() && unknown.is_empty(), "{place}: {unknown:?} in {expression}");
}

#[test]
fn the_rules_pass_their_own_tests() {
    let checked =
        done(&mut promtool(&["check", "rules", "--lint=all", "--lint-fatal", "deploy/prometheus/rules.yaml"]), "");
    let rules = rules();
    assert!(checked.contains(&format!("SUCCESS: {} rules found", rules.len())), "{checked}");
    let tested = done(&mut promtool(&["test", "rules", "deploy/prometheus/rules.test.yaml"]), "");
    assert!(tested.contains("SUCCESS"), "{tested}");
    // Each alert is seen to fire in them.
    let [tests] = yaml(&read("deploy/prometheus/rules.test.yaml")).try_into().expect("one document");
    let tests = tests["tests"].as_array().expect("tests");
    let cases = tests.iter().filter_map(|test| test["alert_rule_test"].as_array()).flatten();
    let fired: BTreeSet<_> = cases
        .filter(|case| case["exp_alerts"] != json!([]))
        .map(|case| &case["alertname"])
        .map(Value::to_string)
        .collect();
    let alerts: BTreeSet<_> =
        rules.iter().map(|rule| &rule["alert"]).filter(|name| name.is_string()).map(Value::to_string).collect();
    assert_eq!(fired, alerts);
}

#[test]
fn rules_know_only_documented_metrics() {
    let rules = rules();
    let recorded = rules.iter().filter_map(|rule| rule["record"].as_str()).map(str::to_owned).collect();
    for rule in &rules {
        assert_known(&rule.to_string(), rule["expr"].as_str().expect("an expression"), &recorded);
        if rule["alert"].is_string() {
            for text in ["summary", "description"] {
                assert!(rule["annotations"][text].is_string(), "{rule} has no {text}");
            }
            assert!(["info", "warning", "critical"].map(Value::from).contains(&rule["labels"]["severity"]), "{rule}");
        }
    }
}

/// Every target of every panel, with its panel's title.
fn targets(dashboard: &Value) -> Vec<(&str, &Value)> {
    let panels = dashboard["panels"].as_array().expect("panels").iter().filter(|panel| panel["type"] != "row");
    let of_panel = |panel: &'_ Value| panel["targets"].as_array().expect("targets").len();
    let mut all = Vec::new();
    for panel in panels {
        assert!(of_panel(panel) > 0, "{panel}");
        let title = panel["title"].as_str().expect("a title");
        all.extend(panel["targets"].as_array().expect("targets").iter().map(|target| (title, target)));
    }
    all
}

#[test]
fn dashboards_know_only_documented_metrics_and_no_datasource_by_name() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut uids = BTreeSet::new();
    for name in ["node", "workload", "fleet"] {
        let text = read(&format!("deploy/grafana/{name}.json"));
        let dashboard: Value = serde_json::from_str(&text).expect("JSON");
        uids.insert(dashboard["uid"].as_str().expect("a uid").to_owned());
        let variables = dashboard["templating"]["list"].as_array().expect("variables");
        assert_eq!((&variables[0]["type"], &variables[0]["name"]), (&json!("datasource"), &json!("datasource")));
        let datasource = json!({"type": "prometheus", "uid": "${datasource}"});
        for variable in &variables[1..] {
            assert_eq!(variable["datasource"], datasource, "{variable}");
            assert_known(name, variable["definition"].as_str().expect("a query"), &BTreeSet::new());
        }
        for panel in dashboard["panels"].as_array().expect("panels").iter().filter(|panel| panel["type"] != "row") {
            assert_eq!(panel["datasource"], datasource, "{panel}");
        }
        let mut rules = Vec::new();
        for (title, target) in targets(&dashboard) {
            assert_eq!(target["datasource"], datasource, "{title}");
            let expression = target["expr"].as_str().expect("an expression");
            assert_known(title, expression, &BTreeSet::new());
            rules.push(json!({"record": "a:b:c", "expr": plain(expression), "labels": {"n": rules.len().to_string()}}));
        }
        assert!(rules.len() > 15, "{name}: {}", rules.len());
        // As rules, so that Prometheus itself reads each.
        let file = directory.path().join(format!("{name}.yaml"));
        std::fs::write(&file, json!({"groups": [{"name": name, "rules": rules}]}).to_string()).expect("a file");
        done(&mut promtool(&["check", "rules", file.to_str().expect("UTF-8")]), "");
        // Nobody's names: no address, no home.
        assert!(!text.contains("http://") && !text.contains("https://"), "{name}");
    }
    assert_eq!(uids.len(), 3);
    assert_eq!(std::fs::read_dir(root().join("deploy/grafana")).expect("a directory").count(), 3);
}

/// With a value for each variable of Grafana's.
fn plain(expression: &str) -> String {
    let known = ["$__range", "$instance", "$namespace", "$container", "$exe", "$pod"];
    let plain = known
        .iter()
        .fold(expression.to_owned(), |text, name| text.replace(name, if *name == "$__range" { "1h" } else { "x" }));
    assert!(!plain.contains('$'), "{plain}");
    plain
}
