use super::*;

/// A real one: a Go program that kept all it allocated, in a cgroup of 96 MiB.
const SAVED: &[u8] = include_bytes!("golden/leak.json");

fn rendered(render: impl Fn(&mut Vec<u8>, &Document) -> io::Result<()>) -> String {
    let mut out = Vec::new();
    render(&mut out, &Document::parse(SAVED).unwrap()).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_saved_dossier_reads_as_it_did_on_the_day() {
    let text = rendered(|out, document| write_text(out, document, Style { color: false }));
    assert_eq!(text, include_str!("golden/leak.text"));
    assert_eq!(rendered(|out, document| write_markdown(out, document)), include_str!("golden/leak.markdown"));
    let saved = std::str::from_utf8(SAVED).unwrap();
    assert!(rendered(|out, document| write_json(out, document)) == saved, "parsed and written again it is another");
    let widest = text.lines().map(|line| line.chars().count()).max();
    assert!(widest <= Some(100), "{widest:?}");
}

#[test]
fn what_is_counted_only_grows_and_is_bounded() {
    let mut document = Document::parse(SAVED).unwrap();
    let mut counters = Counters::default();
    let mut named = |name: &str, cause: &str| {
        document.workload = Some(WorkloadJson { name: name.to_owned(), by: "cgroup".to_owned() });
        cause.clone_into(&mut document.cause);
        counters.add(&document);
        let mut json = Vec::new();
        write_counters_json(&mut json, &counters).unwrap();
        counters = Counters::parse(&json).unwrap();
        counters.workloads.values().map(|of| (of.deaths, of.oom_kills)).collect::<Vec<_>>()
    };
    assert_eq!(named("/a", "cgroup_oom"), [(1, 1)]);
    assert_eq!(named("/a", "exited"), [(2, 1)]);
    assert_eq!(named("/b", "global_oom"), [(2, 1), (1, 1)]);
    let causes = &counters.workloads["/a"].causes;
    assert_eq!(
        causes.iter().map(|of| (of.deaths, of.oom_kills)).collect::<Vec<_>>(),
        [(2, 1)],
        "of one trigger and verdict"
    );
    (0..5000).for_each(|n| {
        document.workload = Some(WorkloadJson { name: format!("/{n}"), by: "cgroup".to_owned() });
        counters.add(&document);
    });
    assert_eq!(counters.workloads.values().map(|of| of.deaths).sum::<u64>(), 5003);
    assert!(counters.workloads.len() <= 4097 && counters.workloads["(others)"].by.is_empty());
    assert!(Counters::parse(b"{").is_err() && Counters::parse(SAVED).is_err());
}

#[test]
fn what_is_no_dossier_is_refused() {
    for (content, why) in [("{", "it is damaged"), ("[]", "it is damaged"), ("{\"schema\": 1}", "it is damaged")] {
        assert!(Document::parse(content.as_bytes()).unwrap_err().starts_with(why), "{content}");
    }
    let other = String::from_utf8_lossy(SAVED).replace("memtrace.oom/1", "memtrace.oom/2");
    assert_eq!(Document::parse(other.as_bytes()).unwrap_err(), "it is a memtrace.oom/2");
}
