//! What a running agent costs beside a crowd of idle Go programs, and what Debian's exporters cost for what they can tell of
//! the same programs, all at the same time (`cargo xtask bench agent`).
//!
//!     bench_agent REPORT COUNT...        COUNT idle programs at once; REPORT: a file for the figures, as JSON
use memtrace_tests::{
    Child, MemoryCgroup, Memtrace, Service, Serving, descendants, free_ports, status_bytes, wait_until,
};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Each is asked so often, as memtrace asks the programs.
const INTERVAL: Duration = Duration::from_secs(1);
/// The first close looks at everybody are over by then, at most one in so long, and the programs at rest: Go collects a heap
/// at least every two minutes.
const SETTLES: Duration = Duration::from_secs(150);
const SETTLES_EACH: Duration = Duration::from_millis(60);
/// A figure is the median of so many stretches of so many scrapes.
const STRETCHES: usize = 5;
const SCRAPES: u32 = 10;
/// Then nobody is asked but memtrace, so often as Prometheus does by itself.
const SELDOM: Duration = Duration::from_secs(15);
const SELDOM_STRETCHES: usize = 3;

/// Of the issue that asked for it: programs looked at once a second, percent of one CPU, MiB of RSS.
const GOALS: [(usize, f64, f64); 2] = [(100, 1.0, 40.0), (1000, 5.0, 120.0)];
/// Of each program's cgroup.
const LIMIT_BYTES: u64 = 128 << 20;
const MIB: f64 = 1048576.0;

/// One that is asked for metrics.
struct Subject {
    name: &'static str,
    pid: u32,
    port: u16,
    /// Of all stretches: percent of one CPU; ns of each scrape; lines that are samples, of the last.
    cpu_percent: Vec<f64>,
    scrapes_ns: Vec<u64>,
    samples: usize,
}

impl Subject {
    fn new(name: &'static str, pid: u32, port: u16) -> Subject {
        Subject { name, pid, port, cpu_percent: Vec::new(), scrapes_ns: Vec::new(), samples: 0 }
    }

    fn scrape(&mut self) -> String {
        let began = Instant::now();
        let mut answer = ureq::get(format!("http://127.0.0.1:{}/metrics", self.port)).call().expect("metrics");
        let text = answer.body_mut().with_config().limit(1 << 30).read_to_string().expect("UTF-8");
        self.scrapes_ns.push(began.elapsed().as_nanos() as u64);
        self.samples = text.lines().filter(|line| !line.starts_with('#')).count();
        text
    }

    /// Of all its threads that are there.
    fn cpu_ns(&self) -> u64 {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.pid)).expect("threads");
        let of = |thread: std::fs::DirEntry| -> Option<u64> {
            let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse().ok()
        };
        threads.flatten().filter_map(of).sum()
    }
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

fn metric(text: &str, name: &str) -> f64 {
    let line = text.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_else(|| panic!("no {name}"))
}

/// All figures of one crowd.
fn measure(idle: &Path, count: usize) -> Value {
    // It is one of them itself.
    let mut crowd = Child::start(Command::new(idle).arg((count - 1).to_string()));
    assert_eq!(crowd.line().as_deref(), Some("ready"));
    let pids: Vec<u32> = descendants(crowd.pid()).into_iter().chain([crowd.pid()]).collect();
    assert_eq!(pids.len(), count);
    // As containers are.
    let cgroups: Vec<MemoryCgroup> =
        pids.iter().map(|pid| MemoryCgroup::new(&format!("idle-{pid}"), LIMIT_BYTES)).collect();
    cgroups.iter().zip(&pids).for_each(|(cgroup, pid)| cgroup.add(*pid));
    let home = tempfile::tempdir().expect("a directory");
    let directory = home.path().to_str().expect("UTF-8");
    let agent = Serving::start_command(&mut Memtrace::command(&[
        "agent",
        "-o",
        "json",
        "--listen",
        "127.0.0.1:0",
        "--dir",
        directory,
    ]));
    agent.until_ready();
    let [node_port, process_port] = free_ports();
    let node = exporter(
        "prometheus-node-exporter",
        node_port,
        &["--web.disable-exporter-metrics"],
        tempfile::tempdir().unwrap(),
    );
    let groups = tempfile::tempdir().expect("a directory");
    let each = "process_names: [{name: '{{.Comm}}:{{.PID}}', comm: [idle]}]\n";
    std::fs::write(groups.path().join("groups.yml"), each).expect("a configuration");
    let processes =
        exporter("prometheus-process-exporter", process_port, &["-config.path=groups.yml", "-threads=false"], groups);
    let port = agent.address.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    let mut subjects = [
        Subject::new("memtrace agent", agent.memtrace.pid(), port),
        Subject::new("prometheus-process-exporter", processes.pid(), process_port),
        Subject::new("prometheus-node-exporter", node.pid(), node_port),
    ];
    wait_until("everybody", || {
        let text = subjects[0].scrape();
        (metric(&text, "memtrace_processes_met_total") >= count as f64).then_some(())
    });
    sleep(SETTLES + SETTLES_EACH * count as u32);
    subjects.iter_mut().for_each(|subject| subject.scrapes_ns.clear());
    let points = |subject: &mut Subject| metric(&subject.scrape(), "memtrace_samples_total");
    let (began, first) = (Instant::now(), points(&mut subjects[0]));
    let thinned = metric(&subjects[0].scrape(), "memtrace_samples_thinned_total");
    for _ in 0..STRETCHES {
        let (before, began) = (subjects.each_ref().map(Subject::cpu_ns), Instant::now());
        for scrape in 1..=SCRAPES {
            subjects.iter_mut().for_each(|subject| drop(subject.scrape()));
            sleep((INTERVAL * scrape).saturating_sub(began.elapsed()));
        }
        let elapsed_ns = began.elapsed().as_nanos() as f64;
        for (subject, before) in subjects.iter_mut().zip(before) {
            subject.cpu_percent.push(100.0 * (subject.cpu_ns() - before) as f64 / elapsed_ns);
        }
    }
    let mut seldom = Vec::new();
    for _ in 0..SELDOM_STRETCHES {
        let (before, began) = (subjects[0].cpu_ns(), Instant::now());
        drop(subjects[0].scrape());
        sleep(SELDOM.saturating_sub(began.elapsed()));
        seldom.push(100.0 * (subjects[0].cpu_ns() - before) as f64 / began.elapsed().as_nanos() as f64);
    }
    let points_per_second = (points(&mut subjects[0]) - first) / began.elapsed().as_secs_f64();
    let thinned = metric(&subjects[0].scrape(), "memtrace_samples_thinned_total") - thinned;
    let of: Vec<Value> = subjects.iter().map(|subject| told(subject, count)).collect();
    let ended = agent.memtrace.signalled(libc::SIGTERM);
    assert_eq!(ended.code(), Some(0));
    crowd.close_stdin();
    assert!(crowd.end().success(), "the idle programs end well");
    json!({
        "programs": count,
        "points_per_second": points_per_second,
        "points_thinned": thinned,
        "scraped_every_15_s": {"cpu_percent": median(seldom)},
        "subjects": of,
    })
}

fn exporter(program: &str, port: u16, arguments: &[&str], data: TempDir) -> Service {
    let listen = format!("--web.listen-address=127.0.0.1:{port}");
    let arguments: Vec<String> = arguments.iter().map(|of| (*of).to_owned()).chain([listen]).collect();
    Service::start(program, port, data, &arguments, "/metrics")
}

fn told(subject: &Subject, count: usize) -> Value {
    let rss = status_bytes(subject.pid, "VmRSS") as f64;
    let cpu_percent = median(subject.cpu_percent.clone());
    let mut scrapes: Vec<f64> = subject.scrapes_ns.iter().map(|ns| *ns as f64 / 1e6).collect();
    scrapes.sort_by(f64::total_cmp);
    let least = subject.cpu_percent.iter().copied().fold(f64::MAX, f64::min);
    let most = subject.cpu_percent.iter().copied().fold(0.0, f64::max);
    json!({
        "name": subject.name,
        "cpu_percent": {"median": cpu_percent, "min": least, "max": most},
        "rss_bytes": rss,
        "samples_per_scrape": subject.samples,
        "scrape_ms": {"median": scrapes[scrapes.len() / 2], "max": scrapes[scrapes.len() - 1]},
        "cpu_us_per_program_per_s": cpu_percent * 1e4 / count as f64,
        "rss_bytes_per_program": rss / count as f64,
    })
}

fn number(of: &Value) -> f64 {
    of.as_f64().expect("a number")
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let report = arguments.next().expect("a file for the figures");
    let counts: Vec<usize> = arguments.map(|count| count.parse().expect("a number of programs")).collect();
    let idle = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/workloads/idle");
    println!(
        "all at once on the same machine, each program in a cgroup with a limit, each subject scraped once a second; medians of {STRETCHES} stretches of {SCRAPES} s"
    );
    let mut crowds = Vec::new();
    let mut goals = Vec::new();
    for count in counts {
        let crowd = measure(&idle, count);
        println!(
            "\n{count} idle Go programs: memtrace took {:.1} points a second, {} were thinned out",
            number(&crowd["points_per_second"]),
            crowd["points_thinned"]
        );
        println!(
            "{:<30}{:>22}{:>12}{:>18}{:>26}{:>20}{:>16}",
            "", "CPU % (least-most)", "RSS MiB", "samples/scrape", "scrape ms", "CPU us/program/s", "KiB/program"
        );
        for of in crowd["subjects"].as_array().expect("subjects") {
            let (cpu, ms) = (&of["cpu_percent"], &of["scrape_ms"]);
            println!(
                "{:<30}{:>22}{:>12.1}{:>18}{:>26}{:>20.1}{:>16.1}",
                of["name"].as_str().expect("a name"),
                format!("{:.2} ({:.2}-{:.2})", number(&cpu["median"]), number(&cpu["min"]), number(&cpu["max"])),
                number(&of["rss_bytes"]) / MIB,
                number(&of["samples_per_scrape"]),
                format!("{:.1}, at most {:.1}", number(&ms["median"]), number(&ms["max"])),
                number(&of["cpu_us_per_program_per_s"]),
                number(&of["rss_bytes_per_program"]) / 1024.0,
            );
        }
        let seldom = number(&crowd["scraped_every_15_s"]["cpu_percent"]);
        println!("memtrace scraped every {} s, and nobody else: CPU {seldom:.2} %", SELDOM.as_secs());
        let own = &crowd["subjects"][0];
        for (_, percent, mib) in GOALS.iter().filter(|(programs, ..)| *programs == count) {
            for (what, is, goal) in
                [("CPU %, scraped every 15 s,", seldom, *percent), ("RSS MiB", number(&own["rss_bytes"]) / MIB, *mib)]
            {
                goals.push(json!({"programs": count, "what": what, "goal": goal, "measured": is, "met": is <= goal}));
            }
        }
        crowds.push(crowd);
    }
    println!("\ngoals");
    for goal in &goals {
        let met = if goal["met"] == true { "met" } else { "MISSED" };
        let (what, programs) = (goal["what"].as_str().expect("a word"), &goal["programs"]);
        println!(
            "  {met:<8}{what} at most {} with {programs} programs: {:.2}",
            goal["goal"],
            number(&goal["measured"])
        );
    }
    let report_of = json!({"schema": "memtrace.bench.agent/1", "crowds": crowds, "goals": goals});
    std::fs::write(&report, format!("{report_of:#}\n")).unwrap_or_else(|error| panic!("{report}: {error}"));
    println!("written: {report}");
}
