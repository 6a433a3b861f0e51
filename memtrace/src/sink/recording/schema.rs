//! Every column there is: its name, its type, of which rows it is, and what it says. `docs/recordings.md` is this table.
use crate::timeline::Signal;
use parquet::basic::{LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::errors::ParquetError;
use parquet::schema::types::{Type, TypePtr};
use std::sync::Arc;

/// Columns are added freely; renaming or dropping one takes a new number. In every file's key-value metadata.
pub const SCHEMA: &str = "memtrace.recording/1";
/// Its key there.
pub const SCHEMA_KEY: &str = "memtrace.schema";

/// What a row is about: the tables, all of one schema, so that any set of files is one relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Sample,
    Event,
    Ledger,
    Oom,
    Waterfall,
    Account,
}

impl Kind {
    pub const ALL: &[Kind] = &[Kind::Sample, Kind::Event, Kind::Ledger, Kind::Oom, Kind::Waterfall, Kind::Account];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Sample => "sample",
            Kind::Event => "event",
            Kind::Ledger => "ledger",
            Kind::Oom => "oom",
            Kind::Waterfall => "waterfall",
            Kind::Account => "account",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// UTF-8.
    Text,
    /// 64 bits with a sign; what does not fit is absent.
    Integer,
    /// Microseconds, UTC.
    Time,
}

macro_rules! columns {
    ($($column:ident $name:literal $holds:ident $of:literal $about:literal,)*) => {
        /// Of all columns but those of the signals, which come behind them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Column {
            $($column,)*
        }

        impl Column {
            pub(super) const ALL: &[Column] = &[$(Column::$column,)*];

            pub(super) fn name(self) -> &'static str {
                match self { $(Column::$column => $name,)* }
            }

            pub(super) fn holds(self) -> Holds {
                match self { $(Column::$column => Holds::$holds,)* }
            }

            #[cfg(test)]
            pub(super) fn page(self) -> (&'static str, &'static str) {
                match self { $(Column::$column => ($of, $about),)* }
            }
        }
    };
}

columns! {
    Kind "kind" Text "all" "`sample`, `event`, `ledger`, `oom`, `waterfall` or `account`: what the row is about.",
    Time "time" Time "all" "When, by the wall clock as it was set then.",
    TNs "t_ns" Integer "all" "When, on CLOCK_MONOTONIC of that machine: it starts again with the machine.",
    Node "node" Text "all" "The name of the machine, as it was configured; else its host name.",
    Pid "pid" Integer "process" "Process id.",
    StartTime "start_time_ns" Integer "process" "When it was started, on CLOCK_BOOTTIME: with node and pid it says which process.",
    Comm "comm" Text "process" "Its name.",
    Exe "exe" Text "process" "Path of its executable.",
    Release "release" Text "process" "Version of its main module, else the commit it was built from, as Go wrote them into the executable.",
    GoVersion "go_version" Text "process" "The Go release it was built with.",
    CgroupPath "cgroup_path" Text "process" "Directory of its memory cgroup.",
    Workload "workload" Text "process" "What it counts as: the same for all copies of a container.",
    WorkloadBy "workload_by" Text "process" "What that name was taken from: `kubernetes`, `cgroup` or `exe`.",
    Namespace "namespace" Text "process" "Of Kubernetes.",
    Pod "pod" Text "process" "Of Kubernetes.",
    Container "container" Text "process" "Of Kubernetes.",
    Family "family" Text "event" "As in `memtrace.trace/1`.",
    Op "op" Text "event" "As in `memtrace.trace/1`.",
    Tid "tid" Integer "event" "The thread.",
    Length "length_bytes" Integer "event" "Of memory calls: the range, in whole pages.",
    Result "result" Integer "event" "Of memory calls: what they returned; negative: -errno.",
    Duration "duration_ns" Integer "event" "Of memory calls and stalls.",
    Unmapped "unmapped_bytes" Integer "event" "Of memory calls: by how much RSS fell.",
    Text "text" Text "event" "The lines of `memtrace trace`.",
    Json "json" Text "event, oom" "An object of `memtrace.trace/1`; of `oom`: the whole dossier, `memtrace.oom/1`.",
    Kept "kept_bytes" Integer "ledger" "Returned and not re-faulted.",
    Untracked "untracked_bytes" Integer "ledger" "Returned, but re-faults of it cannot be seen.",
    UnseenFaults "unseen_faults" Integer "ledger" "Page faults that no program was started for; at least so many.",
    Advised "advised_bytes" Integer "ledger" "Asked to be given back by madvise (DONTNEED, FREE and the like).",
    DontneedCalls "dontneed_calls" Integer "ledger" "Calls of madvise(MADV_DONTNEED).",
    DontneedUnmapped "dontneed_unmapped_bytes" Integer "ledger" "What they really took.",
    FreeCalls "free_calls" Integer "ledger" "Calls of madvise(MADV_FREE).",
    MunmapCalls "munmap_calls" Integer "ledger" "Calls of munmap.",
    MunmapUnmapped "munmap_unmapped_bytes" Integer "ledger" "What they really took.",
    ReclaimStalls "reclaim_stalls" Integer "ledger" "Times that its threads had to reclaim memory themselves.",
    RefaultP50 "time_to_refault_p50_ns" Integer "ledger" "Half of the re-faults came sooner.",
    RefaultP99 "time_to_refault_p99_ns" Integer "ledger" "99 of 100 re-faults came sooner.",
    ExitCode "exit_code" Integer "ledger" "Of one that has ended.",
    ExitSignal "exit_signal" Integer "ledger" "Of one that was ended by a signal.",
    Dossier "dossier" Text "oom" "Its id, as `memtrace oom` lists it.",
    Trigger "trigger" Text "oom" "What made it a dossier.",
    Cause "cause" Text "oom" "How it ended.",
    Verdict "verdict" Text "oom" "The pattern that explains it best.",
    Bucket "bucket" Text "waterfall" "Part of RSS, as in `memtrace.explain/1`; `unknown` is what has no name. One look is a row for each.",
    BucketBytes "bucket_bytes" Integer "waterfall" "All rows of one look sum up to RSS.",
    Probe "probe" Text "account" "Absent: the row is about memtrace's user side.",
    Hits "hits" Integer "account" "`filtered + summed + submitted + ring_full + read_failed`, since memtrace was started.",
    Filtered "filtered" Integer "account" "Hits of no target, or not asked for.",
    Summed "summed" Integer "account" "Hits that were added up in the kernel, and told in sums.",
    Submitted "submitted" Integer "account" "Hits that became a record.",
    RingFull "ring_full" Integer "account" "Hits lost because the ring had no room.",
    ReadFailed "read_failed" Integer "account" "Hits lost because something could not be read.",
    Received "received" Integer "account" "Records taken out of the rings: `shed + decoded + decode_errors`.",
    Decoded "decoded" Integer "account" "Records that became events.",
    Shed "shed" Integer "account" "Records dropped because a queue was full.",
    DecodeErrors "decode_errors" Integer "account" "Records that could not be decoded.",
    DroppedRows "dropped_rows" Integer "account" "Rows of recordings dropped since memtrace was started: a full queue, a full disk.",
}

/// Those that every row has.
const REQUIRED: usize = 4;

/// How many columns a file has.
pub(super) const COLUMNS: usize = Column::ALL.len() + Signal::COUNT;

/// Where the column of a signal is.
pub(super) fn of_signal(signal: Signal) -> usize {
    Column::ALL.len() + signal as usize
}

pub(super) fn name(column: usize) -> &'static str {
    match Column::ALL.get(column) {
        Some(column) => column.name(),
        None => Signal::ALL.get(column - Column::ALL.len()).map_or("", |signal| signal.name()),
    }
}

pub(super) fn holds(column: usize) -> Holds {
    Column::ALL.get(column).map_or(Holds::Integer, |column| column.holds())
}

pub(super) fn is_required(column: usize) -> bool {
    column < REQUIRED
}

pub(super) fn parquet() -> Result<TypePtr, ParquetError> {
    let fields = (0..COLUMNS).map(|column| {
        let (physical, logical) = match holds(column) {
            Holds::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            Holds::Integer => (Physical::INT64, None),
            Holds::Time => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::MICROS))),
        };
        let repetition = if is_required(column) { Repetition::REQUIRED } else { Repetition::OPTIONAL };
        let field = Type::primitive_type_builder(name(column), physical);
        field.with_repetition(repetition).with_logical_type(logical).build().map(Arc::new)
    });
    let fields = fields.collect::<Result<Vec<_>, _>>()?;
    Type::group_type_builder("memtrace").with_fields(fields).build().map(Arc::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::Kind as Grows;

    fn holds_name(holds: Holds) -> &'static str {
        match holds {
            Holds::Text => "text",
            Holds::Integer => "integer",
            Holds::Time => "time",
        }
    }

    #[test]
    fn the_page_is_the_table() {
        let page = include_str!("../../../../docs/recordings.md");
        let mut columns = String::from("| column | type | rows | what it is |\n|---|---|---|---|\n");
        for column in Column::ALL {
            let (of, about) = column.page();
            columns += &format!("| `{}` | {} | {of} | {about} |\n", column.name(), holds_name(column.holds()));
        }
        let mut signals = String::from("| column | kind |\n|---|---|\n");
        for signal in Signal::ALL {
            let kind = if signal.kind() == Grows::Counter { "counter" } else { "gauge" };
            signals += &format!("| `{}` | {kind} |\n", signal.name());
        }
        for table in [columns, signals] {
            assert!(page.contains(&table), "docs/recordings.md must have:\n{table}");
        }
        assert!(page.contains(&format!("`{SCHEMA_KEY}`")) && page.contains(&format!("`{SCHEMA}`")));
    }

    #[test]
    fn no_two_columns_have_one_name_and_those_of_every_row_come_first() {
        let mut names: Vec<&str> = (0..COLUMNS).map(name).collect();
        assert_eq!(names[..REQUIRED], ["kind", "time", "t_ns", "node"]);
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), COLUMNS);
        assert_eq!(parquet().unwrap().get_fields().len(), COLUMNS);
    }
}
