use super::*;
use crate::host::facts::{Access, Facts};
use crate::host::plan::tests::{good, params_of};
use crate::host::plan::{Plan, Want, plan};
use memtrace_common::params::rss_mode;

fn planned(facts: &Facts) -> Plan {
    plan(facts, &params_of(rss_mode::PERCPU), &[], &Want::default())
}

fn text(facts: &Facts) -> String {
    let mut out = Vec::new();
    write_text(&mut out, facts, &planned(facts)).unwrap();
    String::from_utf8(out).unwrap()
}

fn json(facts: &Facts) -> serde_json::Value {
    let mut out = Vec::new();
    write_json(&mut out, facts, &planned(facts)).unwrap();
    assert_eq!(out.iter().filter(|b| **b == b'\n').count(), 1, "one line");
    serde_json::from_slice(&out).unwrap()
}

fn nobody() -> Facts {
    Facts { euid: 65534, capabilities: Vec::new(), tracefs: Access::Denied, tracepoints: None, ..good() }
}

#[test]
fn json_keeps_its_contract() {
    let value = json(&good());
    assert_eq!(value["schema"], SCHEMA);
    assert_eq!(value["kernel"], "6.18.44-fc");
    assert_eq!(value["ready"], true);
    for key in
        ["probes", "cgroup", "thp", "psi", "memory_pressure", "capabilities", "btf", "rss_method", "bystander_costs"]
    {
        assert!(value.get(key).is_some(), "{key}");
    }
    for key in ["version", "memory_path"] {
        assert!(value["cgroup"].get(key).is_some(), "{key}");
    }
    for probe in value["probes"].as_array().unwrap() {
        for key in ["name", "required", "verdict", "hook", "reason", "fix"] {
            assert!(probe.get(key).is_some(), "{key}");
        }
        assert_eq!(probe["verdict"], "ok");
        assert!(probe["reason"].is_null(), "absent knowledge is null");
    }
}

#[test]
fn a_user_without_rights_is_told_why_and_what_to_do() {
    let value = json(&nobody());
    assert_eq!(value["ready"], false);
    assert_eq!(value["probes"][0]["verdict"], "not_permitted");
    assert!(value["fixes"][0].as_str().unwrap().contains("root"));
    let text = text(&nobody());
    assert!(text.contains("ready      no\n"), "{text}");
    assert!(text.contains("this user lacks CAP_BPF and CAP_PERFMON"), "{text}");
    assert_eq!(text.matches("\nfix ").count(), 1, "one fix for one cause: {text}");
}

#[test]
fn text_fits_a_terminal() {
    let long = "a very long reason in many words ".repeat(9);
    let broken = Facts { btf: Access::Broken(long), lockdown: Some("integrity".into()), ..good() };
    for facts in [good(), nobody(), broken] {
        for line in text(&facts).lines() {
            assert!(line.chars().count() <= 100, "{line}");
        }
    }
    assert!(text(&good()).contains("ready      yes\n"));
}
