//! One saving as bytes, in case memtrace itself is killed: `memtrace-spill`, its version, a checksum, then postcard. What
//! is torn, foreign or of another version is refused whole.
use crate::aggregate::waterfall::{Anonymous, Bucket, Waterfall};
use crate::cgroup::workload::{Workload, WorkloadBy};
use crate::dossier::{Kept, Saving};
use crate::enrich::{Closeup, Site};
use crate::snapshot::{GoBuild, ReadBy};
use crate::timeline::Signal;
use serde::{Deserialize, Serialize};

const MAGIC: &[u8; 14] = b"memtrace-spill";
/// Of the layout below; the signals of a timeline are checked beside it.
const VERSION: u16 = 2;
const READ_BY: [ReadBy; 3] = [ReadBy::Dwarf, ReadBy::Table, ReadBy::Vote];

#[derive(Debug, Serialize, Deserialize)]
struct SavingBytes {
    /// Checksum of the names of all signals: packed points have them by their place.
    signals: u32,
    boot_id: String,
    t_ns: u64,
    wall_offset_ns: i64,
    log_sequence: Option<u64>,
    /// Each by itself, so that one that is too large can be left out.
    processes: Vec<Vec<u8>>,
    over: Vec<(u32, u64)>,
}

#[derive(Debug, Serialize, Deserialize)]
struct KeptBytes {
    pid: u32,
    start_time_ns: u64,
    comm: Option<String>,
    exe: Option<String>,
    go: Option<(String, Option<u8>)>,
    workload: Option<(u8, String)>,
    gaps: Vec<(u64, u64)>,
    packed: Vec<Vec<u8>>,
    first: Option<CloseupBytes>,
    last: Option<CloseupBytes>,
}

#[derive(Debug, Serialize, Deserialize)]
struct CloseupBytes {
    t_ns: u64,
    took_ns: u64,
    heap: Option<Vec<SiteBytes>>,
    goroutines: Option<Vec<SiteBytes>>,
    waterfall: Option<WaterfallBytes>,
}

/// Name, bytes, count.
type SiteBytes = (String, u64, u64);

#[derive(Debug, Serialize, Deserialize)]
struct WaterfallBytes {
    rss_bytes: u64,
    buckets: Vec<(String, u64)>,
    unknown_bytes: u64,
    swapped_bytes: u64,
    /// Start, end, name, bytes, creator.
    anonymous: Vec<(u64, u64, String, u64, Option<String>)>,
}

/// Close looks go when a process would take more than its share without them, the first one last.
pub fn encode(saving: Saving, max_bytes_per_process: usize) -> Result<Vec<u8>, String> {
    let Saving { boot_id, t_ns, wall_offset_ns, log_sequence, processes, over } = saving;
    let bytes = |of: &KeptBytes| postcard::to_stdvec(of).map_err(|why| why.to_string());
    let process = |kept: Kept| {
        let mut kept = KeptBytes::of(kept);
        let mut all = bytes(&kept)?;
        for look in 0..2 {
            if all.len() > max_bytes_per_process {
                if look == 0 {
                    kept.last = None
                } else {
                    kept.first = None
                }
                all = bytes(&kept)?;
            }
        }
        Ok(all)
    };
    let processes = processes.into_iter().map(process).collect::<Result<_, String>>()?;
    let signals = crc32fast::hash(Signal::names().as_bytes());
    let of = SavingBytes { signals, boot_id, t_ns, wall_offset_ns, log_sequence, processes, over };
    let content = postcard::to_stdvec(&of).map_err(|why| why.to_string())?;
    let checksum = crc32fast::hash(&content).to_le_bytes();
    Ok([MAGIC.as_slice(), &VERSION.to_le_bytes(), &checksum, &content].concat())
}

/// Whole, or the reason why not.
pub fn decode(bytes: &[u8]) -> Result<Saving, String> {
    let rest = bytes.strip_prefix(MAGIC).ok_or("it is no spill of memtrace")?;
    let (version, rest) = rest.split_first_chunk().ok_or("it is torn")?;
    let version = u16::from_le_bytes(*version);
    if version != VERSION {
        return Err(format!("it is of version {version}, and this memtrace reads {VERSION}"));
    }
    let (checksum, content) = rest.split_first_chunk().ok_or("it is torn")?;
    if crc32fast::hash(content) != u32::from_le_bytes(*checksum) {
        return Err("it is torn".to_owned());
    }
    let of: SavingBytes = postcard::from_bytes(content).map_err(|why| format!("it is damaged: {why}"))?;
    if of.signals != crc32fast::hash(Signal::names().as_bytes()) {
        return Err("it is of a memtrace with other signals".to_owned());
    }
    saving(of)
}

fn saving(of: SavingBytes) -> Result<Saving, String> {
    let process = |bytes: &Vec<u8>| postcard::from_bytes::<KeptBytes>(bytes).map(KeptBytes::kept);
    let processes = of.processes.iter().map(process).collect::<Result<_, _>>();
    Ok(Saving {
        boot_id: of.boot_id,
        t_ns: of.t_ns,
        wall_offset_ns: of.wall_offset_ns,
        log_sequence: of.log_sequence,
        processes: processes.map_err(|why| format!("it is damaged: {why}"))?,
        over: of.over,
    })
}

impl KeptBytes {
    fn of(kept: Kept) -> Self {
        let place = |read_by: ReadBy| READ_BY.iter().position(|known| *known == read_by).map(|at| at as u8);
        Self {
            pid: kept.pid,
            start_time_ns: kept.start_time_ns,
            comm: kept.comm,
            exe: kept.exe,
            go: kept.go.map(|go| (go.version, go.read_by.and_then(place))),
            workload: kept.workload.and_then(|of| {
                let at = WorkloadBy::ALL.iter().position(|known| *known == of.by)?;
                Some((at as u8, of.name))
            }),
            gaps: kept.gaps,
            packed: kept.packed,
            first: kept.first.map(CloseupBytes::of),
            last: kept.last.map(CloseupBytes::of),
        }
    }

    fn kept(self) -> Kept {
        let read_by = |at: u8| READ_BY.get(usize::from(at)).copied();
        Kept {
            pid: self.pid,
            start_time_ns: self.start_time_ns,
            comm: self.comm,
            exe: self.exe,
            go: self.go.map(|(version, at)| GoBuild { version, read_by: at.and_then(read_by) }),
            workload: self.workload.and_then(|(at, name)| {
                let by = *WorkloadBy::ALL.get(usize::from(at))?;
                Some(Workload { by, name, names: None })
            }),
            gaps: self.gaps,
            packed: self.packed,
            first: self.first.map(CloseupBytes::closeup),
            last: self.last.map(CloseupBytes::closeup),
        }
    }
}

impl CloseupBytes {
    fn of(look: Closeup) -> Self {
        let sites = |sites: Vec<Site>| sites.into_iter().map(|of| (of.name, of.bytes, of.count)).collect();
        let waterfall = |of: Waterfall| WaterfallBytes {
            rss_bytes: of.rss_bytes,
            buckets: of.buckets.into_iter().map(|bucket| (bucket.name.to_owned(), bucket.bytes)).collect(),
            unknown_bytes: of.unknown_bytes,
            swapped_bytes: of.swapped_bytes,
            anonymous: of
                .anonymous
                .into_iter()
                .map(|of| (of.range.start, of.range.end, of.name, of.bytes, of.creator))
                .collect(),
        };
        Self {
            t_ns: look.t_ns,
            took_ns: look.took_ns,
            heap: look.heap.map(sites),
            goroutines: look.goroutines.map(sites),
            waterfall: look.waterfall.map(waterfall),
        }
    }

    /// Of no target yet.
    fn closeup(self) -> Closeup {
        let sites =
            |sites: Vec<SiteBytes>| sites.into_iter().map(|(name, bytes, count)| Site { name, bytes, count }).collect();
        let waterfall = |of: WaterfallBytes| Waterfall {
            rss_bytes: of.rss_bytes,
            buckets: of.buckets.iter().filter_map(|(name, bytes)| Bucket::named(name, *bytes)).collect(),
            unknown_bytes: of.unknown_bytes,
            swapped_bytes: of.swapped_bytes,
            anonymous: of
                .anonymous
                .into_iter()
                .map(|(start, end, name, bytes, creator)| Anonymous { range: start..end, name, bytes, creator })
                .collect(),
        };
        Closeup {
            target: 0,
            t_ns: self.t_ns,
            took_ns: self.took_ns,
            heap: self.heap.map(sites),
            goroutines: self.goroutines.map(sites),
            waterfall: self.waterfall.map(waterfall),
        }
    }
}

/// What the fuzz target calls: any bytes as a file, and as the content of one that is right by its checksum and its
/// signals; what is read is taken up, and written so that it reads the same.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(bytes: &[u8]) {
    let content = bytes.get(MAGIC.len() + 6..).unwrap_or(bytes);
    let inner = postcard::from_bytes(content).map_err(|why| why.to_string()).and_then(saving);
    for saving in [decode(bytes), inner].into_iter().flatten() {
        let again = encode(saving.clone(), usize::MAX).and_then(|bytes| decode(&bytes));
        assert_eq!(again.as_ref(), Ok(&saving));
        let mut past = crate::dossier::Past::new(saving.boot_id.clone(), Default::default(), 4);
        past.add(saving);
    }
}

#[cfg(test)]
mod tests;
