//! The fuzz targets of `cargo xtask fuzz`: every reader of bytes that others wrote. `cargo test` runs each on all inputs
//! that were kept.
//!
//! A new one is a row here and a directory of inputs in `tests/fuzz/corpus`.
use crate::aggregate::waterfall;
use crate::{cgroup, cli, config, goruntime, host, pipeline, procfs, sink};

pub type Target = fn(&[u8]);

pub const TARGETS: &[(&str, Target)] = &[
    ("btf", host::fuzz::btf),
    ("buildinfo", goruntime::fuzz::buildinfo),
    ("cgroup", cgroup::fuzz::files),
    ("config", cli::fuzz::arguments),
    ("dwarf", goruntime::fuzz::dwarf),
    ("elf", goruntime::fuzz::executable),
    ("format", host::fuzz::format),
    ("goroutines", goruntime::fuzz::goroutines),
    ("moduledata", goruntime::fuzz::module),
    ("pclntab", goruntime::fuzz::pclntab),
    ("pprof", sink::fuzz::pprof),
    ("procfs", |bytes| {
        procfs::fuzz::files(bytes);
        goruntime::fuzz::maps(bytes);
        host::fuzz::mounts(bytes);
    }),
    ("records", pipeline::fuzz::records),
    ("settings", config::file::fuzz),
    ("smaps", waterfall::fuzz::smaps),
    ("spans", goruntime::fuzz::spans),
    ("spill", sink::spill::fuzz),
];

/// The one of that name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().find(|(known, _)| *known == name).map(|(_, target)| *target)
}

/// A file of `tests/fuzz/corpus`.
#[cfg(test)]
pub(crate) fn corpus(input: &str) -> Vec<u8> {
    std::fs::read(tests::home().join("corpus").join(input)).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::{Path, PathBuf};

    pub(super) fn home() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz")
    }

    /// By name; none of a directory that is not there.
    fn entries(directory: &Path) -> Vec<(String, PathBuf)> {
        let files = fs::read_dir(directory).into_iter().flatten().map(|file| file.unwrap().path());
        let mut named: Vec<_> =
            files.map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), path)).collect();
        named.sort();
        named
    }

    #[test]
    fn every_target_has_a_corpus_and_every_input_a_target() {
        let known: Vec<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
        let names = |kept: &str| entries(&home().join(kept)).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names("corpus"), known);
        let strangers: Vec<_> = names("regressions").into_iter().filter(|name| !known.contains(name)).collect();
        assert_eq!(strangers, <[String; 0]>::default());
    }

    /// What was ever found is among the regressions.
    #[test]
    fn every_input_of_every_target_ends_without_panic() {
        for (name, target) in TARGETS {
            let inputs = entries(&home().join("corpus").join(name));
            assert!(!inputs.is_empty(), "{name} has no corpus");
            for (_, input) in inputs.into_iter().chain(entries(&home().join("regressions").join(name))) {
                // Shown when it fails.
                println!("{}", input.display());
                target(&fs::read(input).unwrap());
            }
        }
    }
}
