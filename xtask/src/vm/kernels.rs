//! `tests/vm/kernels.toml`: which kernels there are, and what is expected of them.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::arch::Arch;
use crate::paths;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    kernel: Vec<Kernel>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kernel {
    pub(super) arch: Arch,
    /// `6.1`: what it is called by.
    pub(super) series: String,
    pub(super) suite: String,
    pub(super) package: String,
    pub(super) version: String,
    /// The directory of the archive.
    pool: String,
    pub(super) sha256: String,
    /// Whether what threads do to one page at once is counted exactly.
    pub(super) exact_races: bool,
    /// Whether memory can be accounted by cgroups of version 1.
    pub(super) memory_cgroup_v1: bool,
    /// `fentry` or `tracepoint`: which hook system calls get.
    pub(super) syscall_hook: String,
    /// The verdict of doctor by probe.
    pub(super) probes: BTreeMap<String, String>,
}

pub(super) fn read() -> Result<Vec<Kernel>> {
    let path = paths::root().join("tests/vm/kernels.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let file: File = toml::from_str(&text).with_context(|| format!("in {}", path.display()))?;
    Ok(file.kernel)
}

impl Kernel {
    /// `aarch64-6.1`: what files of it are called by.
    pub(super) fn name(&self) -> String {
        format!("{}-{}", self.arch.name(), self.series)
    }

    /// The package as a file of Debian's archive.
    pub(super) fn pool_path(&self) -> String {
        format!("{}/{}_{}_{}.deb", self.pool, self.package, self.version, self.arch.short_name())
    }

    /// Whether a package has another kernel of this series: for 6.1 `linux-image-6.1.0-50-cloud-amd64`.
    pub(super) fn is_of_series(&self, package: &str) -> bool {
        let release = ["linux-image-", "linux-binary-"].iter().find_map(|kind| package.strip_prefix(kind));
        let release = release.and_then(|release| release.strip_suffix(self.arch.short_name())?.strip_suffix("-cloud-"));
        release.is_some_and(|release| {
            release.strip_prefix(&self.series).is_some_and(|rest| rest.starts_with('.')) && !release.contains("rc")
        })
    }

    /// As the guest wants them: `madvise_in:ok,madvise_out:ok`.
    pub(super) fn expected_probes(&self) -> String {
        let pairs: Vec<_> = self.probes.iter().map(|(name, verdict)| format!("{name}:{verdict}")).collect();
        pairs.join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_complete() {
        let kernels = read().unwrap();
        for (arch, first) in [(Arch::X86_64, &["5.10", "6.1", "6.12"][..]), (Arch::Aarch64, &["6.1", "6.12"])] {
            let of_arch = kernels.iter().filter(|kernel| kernel.arch == arch);
            let series: Vec<_> = of_arch.map(|kernel| kernel.series.as_str()).collect();
            assert!(series.starts_with(first) && series[first.len()].starts_with("7."), "{arch:?}: {series:?}");
        }
        for kernel in &kernels {
            let name = kernel.name();
            assert!(kernel.is_of_series(&kernel.package), "{kernel:?}");
            assert_eq!(kernel.sha256.len(), 64, "{kernel:?}");
            assert!(kernel.probes.keys().eq(kernels[0].probes.keys()), "{name} and the first one differ in probes");
            for (probe, verdict) in &kernel.probes {
                let known = ["ok", "unsupported", "not_permitted", "broken"];
                assert!(known.contains(&verdict.as_str()), "{name} {probe}: {verdict}");
            }
            // What the kernel takes as its command line.
            assert!(kernel.expected_probes().len() < 1500, "{name}");
        }
        assert!(kernels[0].probes.len() > 20);
    }

    #[test]
    fn only_cloud_kernels_of_the_series_take_its_place() {
        let kernels = read().unwrap();
        let kernel = kernels.iter().find(|kernel| kernel.name() == "x86_64-6.1").unwrap();
        for (package, is) in [
            ("linux-image-6.1.0-56-cloud-amd64", true),
            ("linux-binary-6.1.200+deb12-cloud-amd64", true),
            ("linux-image-6.12.95+deb12-cloud-amd64", false),
            ("linux-image-6.1.0-56-cloud-amd64-dbg", false),
            ("linux-image-6.1.0-56-amd64", false),
            ("linux-image-6.1.0-56-cloud-arm64", false),
            ("linux-headers-6.1.0-56-cloud-amd64", false),
        ] {
            assert_eq!(kernel.is_of_series(package), is, "{package}");
        }
    }
}
