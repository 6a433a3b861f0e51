use super::*;
use crate::fuzz::corpus;
use crate::timeline::{Point, Timeline, TimelineConfig};

fn closeup(t_ns: u64) -> Closeup {
    let site = |name: &str, bytes| Site { name: name.to_owned(), bytes, count: 3 };
    let anonymous = Anonymous { range: 4096..12288, name: "[heap]".to_owned(), bytes: 8192, creator: None };
    let buckets = ["live_heap", "unswept"].iter().filter_map(|name| Bucket::named(name, 1 << 20)).collect();
    Closeup {
        target: 0,
        t_ns,
        took_ns: 7,
        heap: Some(vec![site("main.leak leak.go:12", 9 << 20), site("main.other", 5)]),
        goroutines: None,
        waterfall: Some(Waterfall {
            rss_bytes: 3 << 20,
            buckets,
            unknown_bytes: 1,
            swapped_bytes: 2,
            anonymous: vec![anonymous],
        }),
    }
}

fn known() -> Saving {
    let mut timeline = Timeline::new(TimelineConfig::default());
    (1..200).for_each(|t_ns| timeline.push(&Point::at(t_ns * 1_000_000_000).with(Signal::Rss, t_ns << 20)));
    let kept = Kept {
        pid: 42,
        start_time_ns: 1_230_000_000,
        comm: Some("api".to_owned()),
        exe: None,
        go: Some(GoBuild { version: "go1.26.6".to_owned(), read_by: Some(ReadBy::Vote) }),
        workload: Some(Workload { by: WorkloadBy::Cgroup, name: "/system.slice/api.service".to_owned(), names: None }),
        gaps: vec![(3, 4)],
        packed: timeline.packed(None, usize::MAX),
        first: Some(closeup(5)),
        last: Some(closeup(9)),
    };
    Saving {
        boot_id: "a-boot".to_owned(),
        t_ns: 200_000_000_000,
        wall_offset_ns: -5,
        log_sequence: Some(17),
        processes: vec![kept],
        over: vec![(7, 8)],
    }
}

#[test]
fn what_was_saved_is_read_again_and_the_fuzzer_starts_from_it() {
    let bytes = encode(known(), usize::MAX).unwrap();
    assert_eq!(decode(&bytes), Ok(known()));
    assert_eq!(known().processes[0].last.as_ref().unwrap().waterfall.as_ref().unwrap().buckets.len(), 2);
    let content = &corpus("spill/whole")[MAGIC.len() + 6..];
    assert_eq!(postcard::from_bytes(content).map(saving), Ok(Ok(known())));
}

#[test]
fn close_looks_go_first_where_there_is_little_room() {
    let looks = |max_bytes| {
        let of = decode(&encode(known(), max_bytes).unwrap()).unwrap().processes.remove(0);
        assert_eq!(of.packed, known().processes[0].packed);
        (of.first.is_some(), of.last.is_some())
    };
    let mut seen: Vec<_> = (0..encode(known(), usize::MAX).unwrap().len()).map(looks).collect();
    seen.dedup();
    assert_eq!(seen, [(false, false), (true, false), (true, true)]);
}

#[test]
fn what_is_torn_foreign_or_of_another_version_is_refused() {
    let bytes = encode(known(), usize::MAX).unwrap();
    for (at, why) in [(0, "it is no spill"), (14, "it is of version"), (16, "it is torn"), (90, "it is torn")] {
        let mut other = bytes.clone();
        other[at] ^= 1;
        assert!(decode(&other).unwrap_err().starts_with(why), "{at}");
    }
    (0..bytes.len()).for_each(|end| assert!(decode(&bytes[..end]).is_err(), "{end}"));
    let signals = crc32fast::hash(Signal::names().as_bytes()) ^ 1;
    let (boot_id, processes) = (String::new(), Vec::new());
    let other =
        SavingBytes { signals, boot_id, t_ns: 0, wall_offset_ns: 0, log_sequence: None, processes, over: vec![] };
    let content = postcard::to_stdvec(&other).unwrap();
    let head = [MAGIC.as_slice(), &VERSION.to_le_bytes(), &crc32fast::hash(&content).to_le_bytes()].concat();
    assert_eq!(decode(&[head, content].concat()), Err("it is of a memtrace with other signals".to_owned()));
}
