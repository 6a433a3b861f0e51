//! What the agent records, in a bucket: busy, silent, missing, and there again.
use super::agent::{metric, recording, recordings, until};
use crate::bucket::{Answer, Bucket, KEY, NAME, SECRET, certificate};
use memtrace_tests::{Ended, Memtrace, Serving, engines, quiet_truth, wait_until};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

const FILES: &str = "memtrace_recording_upload_files_total";
const BYTES: &str = "memtrace_recording_upload_bytes_total";
const FAILURES: &str = "memtrace_recording_upload_failures_total";
const WAITING: &str = "memtrace_recording_upload_waiting_files";
const SUCCESS: &str = "memtrace_recording_upload_last_success_timestamp_seconds";
/// To end, whatever the store does.
const END: Duration = Duration::from_secs(2);

/// A directory that is recorded into, and keys.
struct Home {
    home: TempDir,
    store: PathBuf,
}

impl Home {
    fn new() -> Home {
        let home = tempfile::tempdir().expect("a directory");
        let store = home.path().join("store");
        let home = Home { home, store };
        home.keys(KEY);
        home
    }

    fn keys(&self, id: &str) {
        for (name, text) in [("id", id), ("secret", SECRET)] {
            fs::write(self.home.path().join(name), format!("{text}\n")).expect("a key");
        }
    }

    fn settings(&self, recording: &str, endpoint: &str, upload: &str) -> String {
        let [id, secret] = ["id", "secret"].map(|name| self.home.path().join(name));
        format!(
            "directory = {:?}\n{recording}\n[recording.upload]\nurl = \"s3://{NAME}/a/b\"\nendpoint = \"{endpoint}\"\n\
             access_key_id_file = {id:?}\nsecret_access_key_file = {secret:?}\n{upload}",
            self.store
        )
    }

    #[track_caller]
    fn agent(&self, recording_of: &str, bucket: &Bucket, pid: u32) -> Serving {
        let endpoint = format!("http://127.0.0.1:{}", bucket.port);
        recording(self.home.path(), &self.settings(recording_of, &endpoint, "allow_http = true"), pid)
    }

    /// What is here, as it is called there, oldest first.
    fn files(&self) -> Vec<(String, Vec<u8>)> {
        let mut files = recordings(&self.store);
        // Of one microsecond there may be two.
        files.sort_by_key(|file| {
            let numbers = file.file_stem().expect("a name").to_str().expect("UTF-8").split('-').skip(1);
            numbers.map(|number| number.parse::<u64>().expect("a number")).collect::<Vec<_>>()
        });
        let named = |file: PathBuf| {
            let name = file.strip_prefix(&self.store).expect("below it").to_str().expect("UTF-8").to_owned();
            (format!("a/b/{name}"), fs::read(file).expect("a file"))
        };
        files.into_iter().map(named).collect()
    }

    /// All of them, each once, in order, byte for byte.
    #[track_caller]
    fn is_in(&self, bucket: &Bucket) {
        let (here, there) = (self.files(), bucket.objects());
        let names = |of: &[(String, Vec<u8>)]| of.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&there), names(&here));
        assert!(there == here, "another content");
    }
}

#[track_caller]
fn ended_in_time(agent: Serving) -> Ended {
    let asked = Instant::now();
    let ended = agent.memtrace.signalled(libc::SIGTERM);
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
    assert!(asked.elapsed() < END, "{:?} to end", asked.elapsed());
    ended
}

fn now_us() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_micros()
}

#[test]
fn every_file_arrives_once_and_in_order_though_the_store_is_busy() {
    const LARGE: usize = 20 << 20;
    let (home, bucket, truth) = (Home::new(), Bucket::serve(Answer::Busy, None), quiet_truth());
    // Of a start before, and too large for one request.
    let before = home.store.join("date=2026-01-01/node=n1");
    fs::create_dir_all(&before).expect("a directory");
    let large: Vec<u8> = (0..LARGE).map(|at| (at ^ at >> 8 ^ at >> 16) as u8).collect();
    fs::write(before.join(format!("part-{:016}-1.parquet", now_us() - 1_000_000)), large).expect("a file");
    let agent = home.agent("flush_interval = \"200ms\"", &bucket, truth.pid());
    until(&agent, FAILURES, |failures| failures >= 1);
    until(&agent, WAITING, |waiting| waiting >= 4);
    assert_eq!((metric(&agent, FILES), metric(&agent, BYTES)), (Some(0), Some(0)));
    assert!(!agent.ok("/metrics").contains(SUCCESS), "there was none");

    bucket.answers(Answer::Take);
    let files = until(&agent, FILES, |files| files >= 5);
    let more = until(&agent, FILES, |more| more > files);
    assert!(bucket.names().len() as u64 >= more);
    assert!(metric(&agent, BYTES) > Some(LARGE as u64));
    let page = agent.ok("/metrics");
    let success: f64 = page.lines().find_map(|line| line.strip_prefix(SUCCESS)?.trim().parse().ok()).expect("a time");
    assert!((now_us() as f64 / 1e6 - success).abs() < 60.0, "{success}");
    for reason in ["max_bytes", "max_age"] {
        assert_eq!(metric(&agent, &dropped(reason)), Some(0));
    }
    let ended = ended_in_time(agent);
    home.is_in(&bucket);
    assert_eq!(bucket.keys(), [KEY]);
    let said: Vec<&str> = ended.stderr.lines().collect();
    let [busy, again] = said[..] else { panic!("{said:?}") };
    let why = "and tried again: 503 Service Unavailable: SlowDown: Reduce your request rate.";
    assert!(busy.contains("not uploaded to s3://fleet/a/b at http://127.0.0.1:") && busy.ends_with(why), "{busy}");
    assert!(again.ends_with("takes files again"), "{again}");

    // All is known to be there.
    let again = home.agent("flush_interval = \"1h\"", &bucket, truth.pid());
    until(&again, "memtrace_samples_total", |samples| samples > 0);
    assert_eq!((metric(&again, FILES), metric(&again, WAITING)), (Some(0), Some(0)));
    ended_in_time(again);
    home.is_in(&bucket);
}

fn dropped(reason: &str) -> String {
    format!("memtrace_recording_upload_dropped_files_total{{reason=\"{reason}\"}}")
}

#[test]
fn who_is_killed_uploads_the_rest_at_the_next_start() {
    let (home, bucket, truth) = (Home::new(), Bucket::serve(Answer::Take, None), quiet_truth());
    let mut agent = home.agent("flush_interval = \"100ms\"", &bucket, truth.pid());
    until(&agent, FILES, |files| files >= 3);
    bucket.answers(Answer::Silence);
    bucket.until_asked_in_vain();
    until(&agent, WAITING, |waiting| waiting >= 3);
    agent.memtrace.kill();
    let arrived = bucket.names();

    bucket.answers(Answer::Take);
    let again = home.agent("flush_interval = \"1h\"", &bucket, truth.pid());
    let left = home.files().len() - arrived.len();
    assert!(left >= 3, "{left}");
    until(&again, FILES, |files| files == left as u64);
    assert_eq!(metric(&again, WAITING), Some(0));
    ended_in_time(again);
    home.is_in(&bucket);

    // Whoever reads the bucket reads what was recorded here.
    let copy = home.home.path().join("copy");
    for (name, content) in bucket.objects() {
        let path = copy.join(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        fs::write(path, content).expect("a file");
    }
    let sql = "SELECT kind, count(*), max(t_ns) FROM recordings WHERE node = 'n1' GROUP BY kind ORDER BY kind";
    let [there, here] = [copy.join("a/b"), home.store.clone()]
        .map(|directory| engines::rows(&format!("{}/**/*.parquet", directory.display()), sql));
    assert_eq!(there, here);
    assert!(there.iter().any(|row| row[0] == "sample"), "{there:?}");
}

#[test]
fn a_store_that_is_silent_holds_nobody_up() {
    let (home, bucket, truth) = (Home::new(), Bucket::serve(Answer::Silence, None), quiet_truth());
    let agent = home.agent("flush_interval = \"100ms\"", &bucket, truth.pid());
    bucket.until_asked_in_vain();
    until(&agent, WAITING, |waiting| waiting >= 5);
    assert_eq!(metric(&agent, "memtrace_recording_dropped_rows_total"), Some(0));
    let ended = ended_in_time(agent);
    let left = home.files().len();
    let said = format!("recording: {left} files are not uploaded yet: the next start goes on with them");
    assert!(ended.stderr.lines().count() == 1 && ended.stderr.contains(&said), "{}", ended.stderr);
    assert_eq!(bucket.names().len(), 0);
}

#[test]
fn what_is_removed_before_it_is_uploaded_is_counted_and_said_once() {
    let (home, bucket, truth) = (Home::new(), Bucket::serve(Answer::Missing, None), quiet_truth());
    let agent = home.agent("flush_interval = \"50ms\"\nmax_bytes = \"64KiB\"", &bucket, truth.pid());
    until(&agent, &dropped("max_bytes"), |dropped| dropped >= 3);
    assert_eq!(metric(&agent, &dropped("max_age")), Some(0));
    assert_eq!(metric(&agent, FAILURES), Some(1), "who finds no bucket does not ask all the time");
    let ended = ended_in_time(agent);
    let said: Vec<&str> = ended.stderr.lines().collect();
    let [missing, removed, left] = said[..] else { panic!("{said:?}") };
    assert!(missing.ends_with("404 Not Found: NoSuchBucket: There is none."), "{missing}");
    assert!(removed.contains("was removed for max_bytes before it was uploaded"), "{removed}");
    assert!(left.contains(&format!("{} files are not uploaded yet", home.files().len())), "{left}");
}

#[test]
fn a_store_is_trusted_by_its_certificate_and_keys_are_renewed() {
    let (home, truth, (tls, pem)) = (Home::new(), quiet_truth(), certificate());
    let bucket = Bucket::serve(Answer::Take, Some(tls));
    let endpoint = format!("https://localhost:{}", bucket.port);
    let agent = |pem: &str| {
        let ca_file = home.home.path().join("ca.pem");
        fs::write(&ca_file, pem).expect("a certificate");
        let settings = home.settings("flush_interval = \"100ms\"", &endpoint, &format!("ca_file = {ca_file:?}"));
        recording(home.home.path(), &settings, truth.pid())
    };
    let other = agent(&certificate().1);
    until(&other, FAILURES, |failures| failures >= 1);
    let ended = ended_in_time(other);
    assert!(ended.stderr.lines().count() == 2 && ended.stderr.contains("invalid peer certificate"), "{}", ended.stderr);
    assert_eq!(bucket.names().len(), 0);

    let agent = agent(&pem);
    until(&agent, FILES, |files| files >= 2);
    home.keys("AKIANEXT");
    wait_until("the next key", || (bucket.keys() == [KEY, "AKIANEXT"]).then_some(()));
    assert_eq!(ended_in_time(agent).stderr, "");
    home.is_in(&bucket);
}

#[test]
fn what_is_not_meant_is_said_in_one_line() {
    let home = Home::new();
    let config = home.home.path().join("agent.toml");
    let check = |settings: &str, arguments: &[&str]| {
        fs::write(&config, format!("[recording]\nenabled = true\n{settings}\n")).expect("a file");
        let fixed = ["agent", "--no-save", "--listen", "127.0.0.1:0", "--config", config.to_str().expect("UTF-8")];
        Memtrace::run(&[&fixed, arguments].concat())
    };
    let (url, none) = (format!("s3://{NAME}"), Path::new("/nonexistent"));
    let files = format!("access_key_id_file = {none:?}\nsecret_access_key_file = {none:?}");
    for (upload, why) in [
        (format!("url = \"{NAME}\""), "line 4: recording.upload.url: must be s3://BUCKET"),
        (format!("url = \"{url}\"\nbucket = \"b\""), "line 5: unknown field `bucket`"),
        (
            format!("url = \"{url}\"\nendpoint = \"http://a:1\""),
            "line 5: recording.upload.endpoint: http:// needs allow_http = true",
        ),
        (
            format!("url = \"{url}\"\nendpoint = \"https://a:1\"\nca_file = {none:?}"),
            "[recording.upload] ca_file /nonexistent: ",
        ),
        (
            format!("url = \"{url}\"\nendpoint = \"http://a:1\"\nallow_http = true\n{files}"),
            "[recording.upload] access_key_id_file /nonexistent: ",
        ),
    ] {
        for arguments in [&[][..], &["--check-config"]] {
            let ended = check(&format!("[recording.upload]\n{upload}"), arguments);
            assert_eq!((ended.code(), ended.stderr.lines().count()), (Some(2), 1), "{upload}: {}", ended.stderr);
            assert!(ended.stderr.contains(why), "{upload}: {}", ended.stderr);
        }
    }
    assert!(!home.store.exists());
    let right = home.settings("", "http://127.0.0.1:1", "allow_http = true");
    assert_eq!(check(&right, &["--check-config"]).lines, ["ok"]);
}
