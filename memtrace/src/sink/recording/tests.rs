//! What is written is read back; and what is no recording, or a damaged one, is said in one line, whatever it claims.
use super::*;
use crate::account::{Account, ProgramAccount};
use crate::aggregate::ProcessInfo;
use crate::sink::text::Style;
use crate::snapshot::ProcessSnapshot;
use crate::timeline::{Point, Signal};
use std::path::Path;
use std::time::Duration;

fn labels(pid: u32) -> Labels {
    let comm = Some(format!("web\x1b[31m-{pid}"));
    Labels::of(&ProcessInfo { pid, comm, release: Some("v1".to_owned()), ..ProcessInfo::default() }, None, None)
}

fn at(s: u64) -> When {
    When { t_ns: s * 1_000_000_000, time_us: i64::try_from(s).unwrap() * 1_000_000 }
}

/// Two processes for some seconds, and their ledgers.
pub(in crate::sink) fn written(path: &Path, seconds: u64) {
    let place = Place::File(path.to_owned());
    let config = RecorderConfig { place, node: "n1".to_owned(), flush_interval: Duration::from_secs(60) };
    let mut recorder = Recorder::start(config).unwrap();
    let of = [labels(1), labels(2)];
    for s in 0..seconds {
        for (labels, rss) in of.iter().zip([1000 + s, 5000 - s]) {
            recorder.put(Row::sample(at(s), labels, &Point::at(0).with(Signal::Rss, rss)));
        }
    }
    let (returned_bytes, refaulted_bytes) = (Some(8192), Some(4096));
    let process = ProcessSnapshot { returned_bytes, refaulted_bytes, kept_bytes: Some(4096), ..Default::default() };
    recorder.put(Row::ledger(at(seconds), &of[0], &process));
    let programs = vec![ProgramAccount { name: "advise".to_owned(), hits: 3, ..ProgramAccount::default() }];
    let account = Account { programs, received: u64::MAX, ..Account::default() };
    Row::account(at(seconds), &account, 0).into_iter().for_each(|row| recorder.put(row));
    recorder.finish().unwrap();
    let counts = recorder.counts();
    assert_eq!((counts.rows, counts.dropped_rows), (2 * seconds + 3, 0));
    assert_eq!(counts.bytes, path.metadata().unwrap().len());
}

fn replayed(bytes: Vec<u8>, view: View, is_json: bool) -> Result<String, String> {
    let mut out = Vec::new();
    let mut replay = Replay::new(view, is_json, Style::default(), &mut out);
    replay.file(bytes::Bytes::from(bytes))?.unwrap();
    replay.finish().unwrap();
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn what_is_written_is_read_back() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("a.parquet");
    // More than a row group, and no more than may wait.
    written(&path, 1600);
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1, "nothing unfinished");
    let json = replayed(std::fs::read(&path).unwrap(), View::Stat, true).unwrap();
    let of: Vec<serde_json::Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((of.len(), &of[0]["schema"]), (2, &REPLAY_SCHEMA.into()));
    assert_eq!(
        (&of[0]["samples"], &of[0]["comm"], &of[0]["node"]),
        (&1600.into(), &"web\x1b[31m-1".into(), &"n1".into())
    );
    assert_eq!(of[0]["rss_bytes"], serde_json::json!({"first": 1000, "last": 2599, "max": 2599}));
    assert_eq!(of[1]["rss_bytes"], serde_json::json!({"first": 5000, "last": 3401, "max": 5000}));
    assert_eq!(of[0]["heap_inuse_bytes"]["last"], serde_json::Value::Null);
    assert_eq!((&of[0]["ledger"]["refaulted_bytes"], &of[1]["ledger"]), (&4096.into(), &serde_json::Value::Null));
    let text = replayed(std::fs::read(&path).unwrap(), View::Stat, false).unwrap();
    assert!(text.contains("8.0 KiB   4.0 KiB   4.0 KiB") && !text.contains('\x1b'), "{text}");
}

#[test]
fn a_file_that_is_cut_is_refused_in_one_line() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("a.parquet");
    written(&path, 3);
    let whole = std::fs::read(&path).unwrap();
    for end in (0..whole.len()).step_by(7) {
        let said = replayed(whole[..end].to_vec(), View::Stat, true).unwrap_err();
        assert!(!said.is_empty() && !said.contains('\n'), "{said:?}");
    }
    // A file of somebody else: what it says in its metadata is another length.
    let mut other = whole.clone();
    let key = other.windows(SCHEMA_KEY.len()).rposition(|text| text == SCHEMA_KEY.as_bytes()).unwrap();
    other[key] = b'x';
    assert!(replayed(other, View::Stat, true).unwrap_err().contains("no recording"));
    let mut later = whole;
    let schema = later.windows(SCHEMA.len()).rposition(|text| text == SCHEMA.as_bytes()).unwrap();
    later[schema + SCHEMA.len() - 1] = b'9';
    assert!(replayed(later, View::Stat, true).unwrap_err().contains("memtrace.recording/9"));
}

#[test]
fn a_file_with_any_byte_changed_is_read_or_refused() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("a.parquet");
    written(&path, 3);
    let whole = std::fs::read(&path).unwrap();
    for at in (0..whole.len()).step_by(13) {
        for bits in [0x01, 0x80, 0xff] {
            let mut damaged = whole.clone();
            damaged[at] ^= bits;
            if let Err(said) = replayed(damaged, View::Stat, true) {
                assert!(!said.is_empty() && !said.contains('\n'), "{at}: {said:?}");
            }
        }
    }
}

/// Found so: a page whose last run is cut. parquet asserts that there is enough of it.
#[test]
fn what_the_reader_itself_gives_up_on_is_refused() {
    let said = replayed(include_bytes!("cut_run.parquet").to_vec(), View::Stat, true).unwrap_err();
    assert!(said.ends_with("is damaged: a page cannot be decoded"), "{said}");
}

#[test]
fn a_file_with_some_bytes_changed_is_read_or_refused() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("a.parquet");
    written(&path, 3);
    let whole = std::fs::read(&path).unwrap();
    let mut state = 88_172_645_463_325_252_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    for _ in 0..2000 {
        let mut damaged = whole.clone();
        let start = random(whole.len());
        for _ in 0..=random(6) {
            let at = (start + random(24)).min(whole.len() - 1);
            damaged[at] = [0xff, 0, damaged[at].wrapping_add(1), random(256) as u8][random(4)];
        }
        if let Err(said) = replayed(damaged, View::Stat, true) {
            assert!(!said.is_empty() && !said.contains('\n'), "{said:?}");
        }
    }
}

#[test]
fn what_finds_no_directory_is_said_at_the_start() {
    let home = tempfile::tempdir().unwrap();
    let place = Place::File(home.path().join("none/a.parquet"));
    let config = RecorderConfig { place, node: String::new(), flush_interval: Duration::from_secs(1) };
    let said = Recorder::start(config).unwrap_err().to_string();
    assert!(said.starts_with("cannot record in ") && said.contains("none/a.parquet: No such file"), "{said}");
}
