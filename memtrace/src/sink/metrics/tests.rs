use super::*;
use crate::account::Account;
use crate::cgroup::kubelet::Names;
use crate::cgroup::workload::{Workload, WorkloadBy};
use crate::dossier::{Divided, Living, Ration, Recorded, Uploaded};
use crate::enrich::{Lives, Sampling};
use crate::event::Refaults;
use crate::goruntime::GoFigures;
use crate::sink::oom::{Causes, Counted};
use crate::snapshot::{GoBuild, ProcessSnapshot};
use crate::timeline::{Point, Signal};
use memtrace_common::refault::BUCKETS;
use std::time::Duration;

fn go() -> Living {
    let some = |text: &str| Some(text.to_owned());
    let names = Names { namespace: some("shop"), pod: some("web-x2x7q"), container: some("app") };
    Living {
        process: ProcessSnapshot {
            target: 7,
            pid: Some(42),
            start_time_ns: Some(12_900_000_000),
            comm: some("web \"quoted\"\n"),
            exe: some("/srv/bin/web"),
            returned_bytes: Some(8192),
            refaulted_bytes: Some(4096),
            kept_bytes: Some(4096),
            faults: Some(3),
            reclaim_stall_ns: 1_500_000_000,
            go: Some(GoBuild { version: "go1.26.6".to_owned(), read_by: None }),
            ..ProcessSnapshot::default()
        },
        point: Some(
            Point::at(5)
                .with(Signal::Rss, 100)
                .with(Signal::HeapInuse, 120)
                .with(Signal::HeapIdle, 30)
                .with(Signal::HeapReleased, 10)
                .with(Signal::Charge, 700)
                .with(Signal::Limit, 1000)
                .with(Signal::CgroupInactiveFile, 50),
        ),
        workload: Some(Workload { by: WorkloadBy::Kubernetes, name: "shop/web/app".to_owned(), names: Some(names) }),
        refaults: Some(Box::new(refaults(&[(14, 3), (29, 4), (47, 5)]))),
        divided: Some(Divided {
            t_ns: 2_000_000_000,
            buckets: vec![("live_heap", 70), ("released_refaulted", 20), ("unknown", 10)],
        }),
        go: Some(Box::new(GoFigures {
            num_gc: 9,
            pause_total_ns: 500_000_000,
            procs: 4,
            mallocs: 12,
            frees: 5,
            ..GoFigures::default()
        })),
    }
}

fn refaults(buckets: &[(usize, u64)]) -> Refaults {
    let mut log2_ns = [0; BUCKETS];
    buckets.iter().for_each(|(i, pages)| log2_ns[*i] = *pages);
    Refaults { bytes: [4096, 0, 0, 0], log2_ns, max_ns: 1, untracked_bytes: 0 }
}

fn render(present: &Present, deaths: Option<&Counters>, max_series: usize) -> String {
    Scrape { present, own: OwnCost::default(), deaths, max_series, compat_names: false }
        .render(&mut Admitted::default())
        .unwrap()
}

/// Of which next to nothing is known.
fn stranger(pid: u32) -> Living {
    Living { process: ProcessSnapshot { pid: Some(pid), ..ProcessSnapshot::default() }, ..Living::default() }
}

fn deaths() -> Counters {
    let counted = |deaths| Counted {
        by: "kubernetes".to_owned(),
        deaths,
        oom_kills: 1,
        triggers: [("oom".to_owned(), 1), ("exit".to_owned(), deaths - 1)].into(),
        patterns: [("heap_leak".to_owned(), deaths)].into(),
        causes: vec![Causes { trigger: "oom".to_owned(), pattern: "heap_leak".to_owned(), deaths: 1, oom_kills: 1 }],
        last_wall: String::new(),
    };
    let workloads = [("rare".to_owned(), counted(1)), ("shop/web/app".to_owned(), counted(3))].into();
    Counters { workloads, ..Counters::default() }
}

#[test]
fn a_scrape_reads_as_prometheus_wants_it() {
    let program = ProgramAccount {
        name: "advise".to_owned(),
        hits: 10,
        filtered: 3,
        summed: 1,
        submitted: 3,
        ring_full: 2,
        read_failed: 1,
    };
    let account = Account { programs: vec![program], shed: 5, decode_errors: 6, ..Account::default() };
    let upload = Some(Uploaded {
        files: 11,
        bytes: 8192,
        failures: 3,
        waiting: 4,
        dropped_bytes: 5,
        dropped_age: 6,
        last_success_ms: Some(1_700_000_000_500),
    });
    let recording = Some(Recorded { rows: 8, dropped_rows: 2, bytes: 4096, upload });
    let sampling = Sampling { points: 7, thinned: 8, looks: 9 };
    let processes = vec![go(), stranger(43), stranger(44)];
    let (t_ns, knows_stalls) = (5_000_000_000, true);
    let present = Present {
        t_ns,
        processes,
        account,
        without_timeline: 2,
        knows_stalls,
        sampling,
        lives: Lives { met: 10, ended: 4, unheard: 2, not_meant: 1, unidentified: 6 },
        recording,
        reloads: Default::default(),
        ration: Ration { max_rss_bytes: Some(1 << 26), timeline_bytes: 8192, shortened: 5, ..Ration::default() },
    };
    let [cpu, started] = [1250, 1_700_000_000_250].map(|ms| Some(Duration::from_millis(ms)));
    let own = OwnCost { rss_bytes: Some(1 << 25), cpu, open_fds: None, started };
    let scrape = Scrape { present: &present, own, deaths: Some(&deaths()), max_series: 1, compat_names: false };
    let text = scrape.render(&mut Admitted::default()).unwrap();
    let expected = include_str!("golden.txt").replace("VERSION", env!("CARGO_PKG_VERSION"));
    assert_eq!(text, expected, "{text}");
}

#[test]
fn what_is_not_known_is_absent_and_every_series_is_introduced() {
    let present = Present { processes: vec![go(), stranger(43)], ..Present::default() };
    let text = render(&present, None, 10);
    let of_stranger: Vec<&str> = text.lines().filter(|line| line.contains("pid=\"43\"")).collect();
    assert_eq!(of_stranger, [""; 0], "nothing is known of it");
    for absent in
        ["stall", "memtrace_self", "memtrace_deaths", "memtrace_lazy", "memtrace_go_heap_live", "probe", "NaN"]
    {
        assert!(!text.contains(absent), "{absent}: {text}");
    }
    let lines: Vec<&str> = text.lines().collect();
    let mut family = "";
    for (at, line) in lines.iter().enumerate() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            family = help.split(' ').next().unwrap();
            assert!(lines[at + 1].starts_with(&format!("# TYPE {family} ")), "{line}");
        } else if !line.starts_with('#') {
            let name = line.split(['{', ' ']).next().unwrap();
            let own = name.strip_prefix(family).map(|rest| matches!(rest, "" | "_bucket" | "_count"));
            assert_eq!(own, Some(true), "{line}");
        }
    }
}

#[test]
fn figures_that_are_made_of_two_need_both() {
    let mut living = go();
    living.point = Some(Point::at(1).with(Signal::Rss, 100).with(Signal::HeapIdle, 5).with(Signal::Charge, 1));
    let present = Present { processes: vec![living], ..Present::default() };
    let text = render(&present, None, 1);
    for absent in ["memtrace_gap_bytes", "retained_idle", "headroom", "cgroup_limit"] {
        assert!(!text.contains(absent), "{absent}: {text}");
    }
}

fn of_target(target: u32, returned_bytes: u64, rss_bytes: u64) -> Living {
    let process =
        ProcessSnapshot { target, pid: Some(target), returned_bytes: Some(returned_bytes), ..Default::default() };
    let point = Some(Point::at(1).with(Signal::Rss, rss_bytes).with(Signal::Charge, 5));
    let refaults = Some(Box::new(refaults(&[(20, returned_bytes)])));
    Living { process, point, refaults, ..Living::default() }
}

#[test]
fn who_has_no_series_is_summed_up_and_no_total_goes_back() {
    let mut admitted = Admitted::default();
    let mut scrape = |processes: Vec<Living>| {
        let present = Present { processes, ..Present::default() };
        let scrape =
            Scrape { present: &present, own: OwnCost::default(), deaths: None, max_series: 1, compat_names: false };
        let text = scrape.render(&mut admitted).unwrap();
        let value = |series: &str| {
            text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse::<u64>().ok())
        };
        assert_eq!(value("memtrace_cgroup_charge_bytes{pid=\"other\"}"), None, "not a figure to be summed up");
        [
            "memtrace_returned_bytes_total{pid=\"other\"}",
            "memtrace_time_to_refault_seconds_count{pid=\"other\"}",
            "memtrace_process_resident_memory_bytes{pid=\"other\"}",
            "memtrace_processes_left_out",
            "memtrace_returned_bytes_total{pid=\"1\"}",
            "memtrace_returned_bytes_total{pid=\"2\"}",
        ]
        .map(value)
    };
    let [some, none] = [Some, |_: u64| None];
    assert_eq!(scrape(vec![of_target(1, 10, 1)]), [none(0), none(0), none(0), some(0), some(10), none(0)]);
    let three = || vec![of_target(1, 10, 1), of_target(2, 20, 2), of_target(3, 30, 3)];
    assert_eq!(scrape(three()), [some(50), some(50), some(5), some(2), some(10), none(0)]);
    assert_eq!(scrape(three()), [some(50), some(50), some(5), some(2), some(10), none(0)], "nothing has grown");
    // The third ends: what it returned stays counted, what it held is gone.
    let two = vec![of_target(1, 10, 1), of_target(2, 25, 2)];
    assert_eq!(scrape(two), [some(55), some(55), some(2), some(1), some(10), none(0)]);
    // There is room, but not for one that is in the sum already.
    assert_eq!(scrape(vec![of_target(2, 26, 9)]), [some(56), some(56), some(9), some(1), none(0), none(0)]);
    let new = scrape(vec![of_target(2, 26, 9), of_target(4, 1, 1)]);
    assert_eq!(new, [some(56), some(56), some(9), some(1), none(0), none(0)]);
    assert_eq!(scrape(Vec::new()), [some(56), some(56), none(0), some(0), none(0), none(0)]);
}

#[test]
fn an_old_look_says_nothing_of_now() {
    let at = |t_ns| render(&Present { t_ns, processes: vec![go()], ..Present::default() }, None, 1);
    assert!(at(601_000_000_000).contains("memtrace_waterfall_bytes{"));
    let old = at(602_000_000_000);
    assert!(!old.contains("memtrace_waterfall") && !old.contains("released_resident"), "{old}");
}

#[test]
fn deaths_that_were_counted_apart_are_not_given_a_cause() {
    let mut deaths = deaths();
    deaths.workloads.values_mut().for_each(|counted| counted.causes.clear());
    let text = render(&Present::default(), Some(&deaths), 10);
    let not_recorded: Vec<&str> = text.lines().filter(|line| line.contains("shop/web")).collect();
    let of = "workload=\"shop/web/app\",by=\"kubernetes\"";
    assert_eq!(
        not_recorded,
        [
            format!("memtrace_oom_kills_total{{{of},trigger=\"not_recorded\",verdict=\"not_recorded\"}} 1"),
            format!("memtrace_deaths_total{{{of},trigger=\"exit\",verdict=\"not_recorded\"}} 2"),
            format!("memtrace_deaths_total{{{of},trigger=\"oom\",verdict=\"not_recorded\"}} 1"),
        ]
    );
}

#[test]
fn the_names_of_client_golang_are_opt_in() {
    let present = Present { processes: vec![go(), stranger(43)], ..Present::default() };
    let with = |compat_names| {
        let scrape = Scrape { present: &present, own: OwnCost::default(), deaths: None, max_series: 1, compat_names };
        scrape.render(&mut Admitted::default()).unwrap()
    };
    assert!(!with(false).contains("\ngo_"));
    let text = with(true);
    let value = |name: &str| text.lines().find(|line| line.starts_with(name)).and_then(|line| line.rsplit(' ').next());
    assert_eq!(value("go_memstats_heap_objects{"), Some("7"));
    assert_eq!(value("go_gc_duration_seconds_sum{"), Some("0.5"));
    assert_eq!(value("go_gc_duration_seconds_count{"), Some("9"));
    assert_eq!(value("process_resident_memory_bytes{"), Some("100"));
    assert!(value("go_info{").is_some_and(|value| value == "1") && text.contains("version=\"go1.26.6\""), "{text}");
    assert!(!text.lines().any(|line| line.starts_with("go_") && line.contains("pid=\"43\"")));
}
