//! Minutes of load, `MEMTRACE_SOAK_SECONDS` of them if set: memtrace's own memory and file descriptors stay as they are.
//! The load has no Go process that comes anew, since memtrace remembers 4096 of those (docs/limits.md). Where others start
//! some on the same machine, as every Go compiler does, `stat -a` says how many, and is allowed what they may take.
use memtrace_tests::matrix::{built, run, start};
use memtrace_tests::{MemoryCgroup, Memtrace, Pages, Stops, assert_account, open_files, status_bytes};
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

const PAGES: &str = env!("CARGO_BIN_EXE_pages");
const DEFAULT_SECONDS: u64 = 300;
/// Before a fifth of the time is over, tables still take their size and the allocator its shape.
const WARM_UP_SHARE: u64 = 5;
const PERIOD: Duration = Duration::from_secs(1);
/// Between two rounds of load: the observers share two cores with it.
const PAUSE: Duration = Duration::from_millis(20);
/// In each round of churn.
const LIVES: u64 = 10;
/// The line through all samples may rise by so much in the whole window. Of some 50 processes a second, each with its
/// dozen records, a hundred bytes kept of each would be as much within the default time.
const GROWTH_MAX_BYTES: f64 = 1024.0 * 1024.0;
/// What may be remembered of a Go process that came and went.
const REMEMBERED_BYTES: f64 = 50.0 * 1024.0;
/// A descriptor that is open for a moment moves the line by a fraction of one.
const GROWTH_MAX_FILES: f64 = 1.0;

/// A memtrace of whose output only the last line is kept.
struct Observer {
    child: Child,
    last: Option<JoinHandle<String>>,
    samples: Vec<Sample>,
}

struct Sample {
    seconds: f64,
    rss_bytes: f64,
    files: f64,
}

impl Observer {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Memtrace::command(arguments);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("memtrace runs");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let last = std::thread::spawn(move || lines.map_while(Result::ok).last().unwrap_or_default());
        Self { child, last: Some(last), samples: Vec::new() }
    }

    fn sample(&mut self, since: Instant) {
        let (pid, seconds) = (self.child.id(), since.elapsed().as_secs_f64());
        let (rss_bytes, files) = (status_bytes(pid, "VmRSS") as f64, open_files(pid) as f64);
        self.samples.push(Sample { seconds, rss_bytes, files });
    }

    /// The last line, with an account that is closed.
    fn end(&mut self) -> Value {
        // SAFETY: a child that has not been waited for.
        assert_eq!(unsafe { libc::kill(self.child.id() as i32, libc::SIGINT) }, 0);
        assert!(self.child.wait().expect("a child").success());
        let last = self.last.take().expect("once").join().expect("its output");
        let last: Value = serde_json::from_str(&last).unwrap_or_else(|error| panic!("{error}: {last}"));
        assert_account(&last);
        last
    }

    /// By how much the least-squares line through a figure rises over the window.
    fn growth(&self, figure: impl Fn(&Sample) -> f64) -> f64 {
        let count = self.samples.len() as f64;
        let mean = |of: &dyn Fn(&Sample) -> f64| self.samples.iter().map(of).sum::<f64>() / count;
        let (middle, level) = (mean(&|sample| sample.seconds), mean(&figure));
        let product = |sample: &Sample| (sample.seconds - middle) * (figure(sample) - level);
        let square = |sample: &Sample| (sample.seconds - middle).powi(2);
        let slope = self.samples.iter().map(product).sum::<f64>() / self.samples.iter().map(square).sum::<f64>();
        let window = self.samples.last().expect("samples").seconds - self.samples[0].seconds;
        slope * window
    }

    fn assert_flat(&self, name: &str, strangers: usize) {
        let (bytes, files) = (self.growth(|sample| sample.rss_bytes), self.growth(|sample| sample.files));
        let last = self.samples.last().expect("samples");
        println!(
            "{name}: {} samples, RSS {:.1} MiB grew by {:.1} KiB, {} files by {files:.2}; {strangers} strangers",
            self.samples.len(),
            last.rss_bytes / 1024.0 / 1024.0,
            bytes / 1024.0,
            last.files
        );
        let most = GROWTH_MAX_BYTES + REMEMBERED_BYTES * strangers as f64;
        assert!(bytes < most, "{name}: RSS grew by {bytes} bytes");
        assert!(files < GROWTH_MAX_FILES, "{name}: {files} more files are open");
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn minutes_of_load_leave_memtrace_as_it_was() {
    let seconds = std::env::var("MEMTRACE_SOAK_SECONDS").map_or(DEFAULT_SECONDS, |text| text.parse().expect("seconds"));
    let mut program = start(&mut Command::new(built("1.26.6", "pie")));
    let own = program.pid();
    let pid = own.to_string();
    let (is_over, rounds) = (AtomicBool::new(false), [const { AtomicU64::new(0) }; 3]);
    let mut all = Observer::start(&["stat", "-a", "-i", "1s", "-o", "json"]);
    let mut one = Observer::start(&["trace", "-p", &pid, "-o", "json"]);
    let again = |load: usize, work: &mut dyn FnMut()| {
        while !is_over.load(Relaxed) {
            work();
            rounds[load].fetch_add(1, Relaxed);
            sleep(PAUSE);
        }
    };
    std::thread::scope(|scope| {
        let _stops = Stops(&is_over);
        // Memory that is allocated, returned and taken again, and now and then another program in the same process.
        scope.spawn(|| {
            again(0, &mut || {
                for command in ["garbage 8", "freeos", "grow 2", "free", "gc"] {
                    run(&mut program, command);
                }
                if rounds[0].load(Relaxed) % 100 == 99 {
                    run(&mut program, "exec");
                }
            });
        });
        // Processes that come and go.
        scope.spawn(|| {
            let mut pages = Pages::start(PAGES, &[]);
            let command = format!("spawn {LIVES} mmap 0p 8p, write 0p 8p, madvise 0p 5p dontneed");
            again(1, &mut || assert_eq!(pages.ok(&command)["result"], LIVES));
        });
        // Cgroups that come and go, each with less room than is used in it.
        scope.spawn(|| {
            let dir = tempfile::tempdir().expect("a directory");
            let command = format!("cache {} 2048p", dir.path().join("file").display());
            again(2, &mut || {
                let mut pages = Pages::start(PAGES, &[]);
                let group = MemoryCgroup::new("soak", 6 << 20);
                group.add(pages.pid());
                pages.ok(&command);
                pages.end();
            });
        });
        let since = Instant::now();
        sleep(Duration::from_secs(seconds / WARM_UP_SHARE));
        while since.elapsed() < Duration::from_secs(seconds) {
            all.sample(since);
            one.sample(since);
            sleep(PERIOD);
        }
    });
    println!("rounds: {rounds:?}");
    assert!(rounds.iter().all(|rounds| rounds.load(Relaxed) > 0), "{rounds:?}");
    for (name, mut observer) in [("stat -a", all), ("trace -p", one)] {
        let last = observer.end();
        let account = &last["account"];
        assert!(account["decoded"].as_u64() > Some(0), "{account:#}");
        println!("{name}: {} hits, {} decoded, {} lost", account["hits"], account["decoded"], account["lost"]);
        let strangers =
            last["processes"].as_array().map_or(0, |all| all.iter().filter(|one| one["pid"] != own).count());
        observer.assert_flat(name, strangers);
    }
}
