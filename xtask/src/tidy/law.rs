//! The rules, one row each. Paths are relative to the workspace; an entry that ends in `/` means everything below.

/// Directories that are searched for Rust files.
pub(super) const ROOMS: &[&str] = &["memtrace-common", "memtrace-ebpf", "memtrace", "tests", "benches", "xtask"];

/// What a rule looks for.
pub(super) enum Sees {
    /// These identifiers, anywhere in code.
    Words(&'static [&'static str]),
    /// These paths, written out or in a `use` tree, at any depth.
    Paths(&'static [&'static str]),
    /// String literals that name a file below one of these.
    FilesBelow(&'static [&'static str]),
    /// The keyword, though not as an attribute such as `#[unsafe(no_mangle)]`.
    Unsafe,
    /// These phrases in a comment, in any case.
    Comments(&'static [&'static str]),
}

pub(super) struct Rule {
    pub(super) sees: Sees,
    /// Where the rule holds.
    pub(super) within: &'static [&'static str],
    /// Where it does not.
    pub(super) except: &'static [&'static str],
    /// Whether it also holds in `#[cfg(test)]` modules.
    pub(super) in_tests: bool,
    pub(super) says: &'static str,
}

const EVERYWHERE: &[&str] = &[""];
const PRODUCT: &[&str] = &["memtrace-common/src/", "memtrace-ebpf/src/", "memtrace/src/"];

pub(super) const RULES: &[Rule] = &[
    Rule {
        sees: Sees::Words(&["aya", "aya_log", "aya_obj"]),
        within: EVERYWHERE,
        except: &[
            "memtrace/src/kernel/",
            "memtrace/src/source/ring",
            "memtrace-common/src/user.rs",
            "memtrace/build.rs",
        ],
        in_tests: true,
        says: "aya only in memtrace/src/kernel/, memtrace/src/source/ring and memtrace-common/src/user.rs",
    },
    Rule {
        sees: Sees::Words(&["clap"]),
        within: EVERYWHERE,
        except: &["memtrace/src/cli/", "xtask/"],
        in_tests: true,
        says: "clap only in memtrace/src/cli/ and xtask/",
    },
    Rule {
        sees: Sees::Words(&["serde", "serde_json", "Serialize", "Deserialize"]),
        within: PRODUCT,
        except: &["memtrace/src/config", "memtrace/src/sink/"],
        in_tests: true,
        says: "serde only in memtrace/src/config.rs and memtrace/src/sink/",
    },
    Rule {
        sees: Sees::FilesBelow(&["/proc", "/sys"]),
        within: &["memtrace/src/"],
        except: &[
            "memtrace/src/host/",
            "memtrace/src/procfs/",
            "memtrace/src/cgroup/",
            "memtrace/src/goruntime/",
            "memtrace/src/enrich/",
        ],
        in_tests: false,
        says: "/proc and /sys only in host/, procfs/, cgroup/, goruntime/ and enrich/",
    },
    Rule {
        sees: Sees::Words(&["tokio"]),
        within: PRODUCT,
        except: &["memtrace/src/main.rs", "memtrace/src/pipeline", "memtrace/src/source/", "memtrace/src/sink/"],
        in_tests: false,
        says: "tokio only in main, pipeline, source and sink",
    },
    Rule {
        sees: Sees::Words(&["object_store"]),
        within: PRODUCT,
        except: &["memtrace/src/sink/recording/upload/"],
        in_tests: true,
        says: "object_store only in memtrace/src/sink/recording/upload/",
    },
    Rule {
        sees: Sees::Paths(&["std::fs", "std::net", "std::process", "Instant::now", "SystemTime"]),
        within: &["memtrace/src/aggregate/", "memtrace/src/diagnose/"],
        except: &[],
        in_tests: false,
        says: "aggregate/ and diagnose/ do no I/O and know no clock",
    },
    Rule {
        sees: Sees::Unsafe,
        within: EVERYWHERE,
        except: UNSAFE_ROOMS,
        in_tests: true,
        says: "unsafe only in the rooms of xtask/src/tidy/law.rs",
    },
    Rule {
        sees: Sees::Comments(&[concat!("keep in", " sync"), concat!("keep this in", " sync")]),
        within: EVERYWHERE,
        except: &[],
        in_tests: true,
        says: "a note that two places must agree is no check: replace it by one, or by one place",
    },
];

/// The only files with `unsafe`, each with its reason.
const UNSAFE_ROOMS: &[&str] = &[
    // reads of kernel and user memory by helper
    "memtrace-ebpf/src/kread.rs",
    // pointers into map values, atomics on them
    "memtrace-ebpf/src/maps.rs",
    "memtrace-ebpf/src/shared.rs",
    // the same for tests on the host
    "memtrace-ebpf/src/fake/maps.rs",
    // volatile loads of the globals that the loader patches
    "memtrace-ebpf/src/params.rs",
    // the ring's reserved bytes
    "memtrace-ebpf/src/emit.rs",
    // aya's Pod, for the records
    "memtrace-common/src/user.rs",
    // the process-memory reader
    "memtrace/src/goruntime/memory.rs",
    // malloc_trim, of the C library
    "memtrace/src/procfs/own.rs",
    // PAGEMAP_SCAN, an ioctl that no crate wraps
    "memtrace/src/procfs/scan.rs",
    // the self-test's child makes the calls that the probes must report
    "memtrace/src/kernel/known_calls.rs",
    // tests make the system calls that they trace
    "tests/",
];

/// Line caps; the first row whose prefix fits counts.
pub(super) const CAPS: &[(&str, usize)] = &[
    ("memtrace/src/main.rs", 100),
    ("xtask/src/main.rs", 100),
    ("memtrace-ebpf/", 200),
    ("memtrace-common/", 150),
    ("", 400),
];

/// Whether `path` is one of `places`.
pub(super) fn covers(places: &[&str], path: &str) -> bool {
    places.iter().any(|place| {
        path.strip_prefix(place).is_some_and(|rest| {
            place.is_empty() || place.ends_with('/') || rest.is_empty() || rest.starts_with(['/', '.'])
        })
    })
}
