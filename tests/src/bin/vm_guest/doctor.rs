//! What `memtrace doctor` says of this kernel is what `tests/vm/kernels.toml` expects, probe by probe.
use crate::{Test, note, test};
use memtrace_tests::Memtrace;
use std::collections::BTreeMap;

pub(crate) fn tests() -> Vec<Test> {
    vec![test("doctor_says_of_each_probe_what_is_expected_of_this_kernel", verdicts)]
}

fn verdicts() {
    let expected = std::env::var("VM_PROBES").expect("the expected verdicts");
    let expected: BTreeMap<&str, &str> = expected.split(',').filter_map(|pair| pair.split_once(':')).collect();
    let said = Memtrace::json(&["doctor"]);
    let probes = said["probes"].as_array().expect("probes");
    let text = |value: &'static str| move |probe: &serde_json::Value| probe[value].as_str().unwrap_or("").to_owned();
    let found: BTreeMap<String, String> = probes.iter().map(|p| (text("name")(p), text("verdict")(p))).collect();
    let mut wrong = Vec::new();
    for (name, verdict) in &found {
        match expected.get(name.as_str()) {
            Some(expected) if expected == verdict => {}
            other => wrong.push(format!("{name} is {verdict}, expected {}", other.unwrap_or(&"nothing"))),
        }
    }
    let absent = expected.keys().filter(|name| !found.contains_key(**name));
    wrong.extend(absent.map(|name| format!("{name} is no probe")));
    for probe in probes.iter().filter(|probe| probe["verdict"] != "ok") {
        let [name, verdict, reason, loses] = ["name", "verdict", "reason", "loses"].map(|key| text(key)(probe));
        note(&format!("`{name}` is {verdict}: {reason}. Not known without it: {loses}"));
    }
    said["notes"].as_array().expect("notes").iter().filter_map(serde_json::Value::as_str).for_each(note);
    assert!(wrong.is_empty(), "{}", wrong.join("; "));
    assert_eq!(said["ready"], true, "{said}");
}
