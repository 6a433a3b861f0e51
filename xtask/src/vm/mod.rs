//! `cargo xtask vm`: the tests of `tests/src/bin/vm_guest` on kernels that this machine does not run, each in a virtual
//! machine of its own. No test needs root on this machine.

use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Result, bail};

use crate::progress::human;
use crate::tally::Count;

mod arch;
mod docs;
mod guest;
mod images;
mod initramfs;
mod kernels;
mod qemu;
mod verdict;

pub(crate) use arch::Arch;
use kernels::Kernel;
use qemu::Machine;
use verdict::Report;

/// Each takes about one core.
const AT_ONCE: usize = 2;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The machine that is emulated
    #[arg(long, value_enum, default_value_t = Arch::X86_64)]
    pub(crate) arch: Arch,
    /// Only these kernels, by series (see tests/vm/kernels.toml)
    #[arg(long, value_name = "VER", num_args = 1..)]
    pub(crate) kernel: Vec<String>,
    /// Only tests with this in their name
    #[arg(long, value_name = "TEST", default_value = "")]
    pub(crate) filter: String,
}

pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    let started = Instant::now();
    let ran = boot_all(vec![Rack::build(args)?])?.remove(0);
    let total = ran.count();
    if args.kernel.is_empty() && args.filter.is_empty() && total.failed == 0 {
        docs::write(args.arch, &ran.tests, &ran.reports)?;
    }
    println!("{} passed, {} failed ({})", total.passed, total.failed, human(started.elapsed()));
    Ok(if total.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What emulates every machine and builds for it; only the verbs that boot some need it.
pub(crate) fn provide() -> Result<()> {
    Arch::ALL.into_iter().try_for_each(provide_for)
}

/// The same of one machine.
pub(crate) fn provide_for(arch: Arch) -> Result<()> {
    qemu::ensure(arch)
}

/// What the suite boots of each architecture; no series: all. `cargo xtask vm --arch aarch64` boots all of that.
const SUITE: [(Arch, &[&str]); 2] = [(Arch::X86_64, &[]), (Arch::Aarch64, &["6.12"])];

/// The suite, all its machines in one queue. docs/kernels.md must be of these tests.
pub(crate) fn suite() -> Result<(Count, Vec<String>)> {
    let racks = SUITE.iter().map(|suite| Rack::build(&suite_arguments(suite))).collect::<Result<Vec<_>>>()?;
    racks.iter().try_for_each(|rack| docs::check(rack.arch, &rack.tests))?;
    let (mut total, mut failures) = (Count::default(), Vec::new());
    for ran in boot_all(racks)? {
        total.add(ran.count());
        failures.extend(ran.reports.iter().flat_map(|report| report.failures(&ran.tests)));
    }
    Ok((total, failures))
}

/// What is emulated, kernels, and what their guests run.
pub(crate) fn build_programs() -> Result<()> {
    SUITE.iter().try_for_each(|suite| Rack::build(&suite_arguments(suite)).map(drop))
}

fn suite_arguments((arch, series): &(Arch, &[&str])) -> Args {
    Args { arch: *arch, kernel: series.iter().map(|&series| series.to_owned()).collect(), filter: String::new() }
}

/// The machines of one architecture, and what they run.
struct Rack {
    arch: Arch,
    tests: Vec<String>,
    machines: Vec<Machine>,
}

/// What came of it, kernel by kernel.
struct Ran {
    tests: Vec<String>,
    reports: Vec<Report>,
}

impl Ran {
    fn count(&self) -> Count {
        let mut total = Count::default();
        self.reports.iter().for_each(|report| total.add(report.count(&self.tests)));
        total
    }
}

impl Rack {
    fn build(args: &Args) -> Result<Rack> {
        let kernels = chosen(kernels::read()?, args.arch, &args.kernel)?;
        qemu::ensure(args.arch)?;
        let images = kernels.iter().map(images::fetch).collect::<Result<Vec<_>>>()?;
        let guest = guest::build(args.arch)?;
        let tests: Vec<String> = guest.tests.into_iter().filter(|test| test.contains(&args.filter)).collect();
        if tests.is_empty() {
            bail!("no test has {} in its name", args.filter);
        }
        let machines = kernels.iter().zip(images).map(|(kernel, image)| Machine {
            arch: args.arch,
            name: format!("vm-{}", kernel.name()),
            image,
            initramfs: guest.initramfs.clone(),
            has_memory_v1: kernel.memory_cgroup_v1,
            environment: vec![
                ("MEMTRACE_BIN".to_owned(), guest::MEMTRACE.to_owned()),
                ("VM_PROBES".to_owned(), kernel.expected_probes()),
                ("VM_SYSCALL_HOOK".to_owned(), kernel.syscall_hook.clone()),
                ("VM_MEMORY_V1".to_owned(), kernel.memory_cgroup_v1.to_string()),
                ("VM_EXACT_RACES".to_owned(), kernel.exact_races.to_string()),
                ("VM_FILTER".to_owned(), args.filter.clone()),
            ],
        });
        Ok(Rack { arch: args.arch, machines: machines.collect(), tests })
    }
}

/// All of this architecture, or those of these series.
fn chosen(mut kernels: Vec<Kernel>, arch: Arch, series: &[String]) -> Result<Vec<Kernel>> {
    kernels.retain(|kernel| kernel.arch == arch);
    if let Some(unknown) = series.iter().find(|series| !kernels.iter().any(|kernel| kernel.series == **series)) {
        let known: Vec<_> = kernels.iter().map(|kernel| kernel.series.as_str()).collect();
        bail!("no kernel {unknown}; there are {}", known.join(", "));
    }
    Ok(kernels.into_iter().filter(|kernel| series.is_empty() || series.contains(&kernel.series)).collect())
}

/// What each machine says, in the order given; what goes wrong with one does not keep the others from running.
fn boot_all(racks: Vec<Rack>) -> Result<Vec<Ran>> {
    let all =
        racks.iter().enumerate().flat_map(|(rack, of)| of.machines.iter().map(move |machine| (rack, of, machine)));
    // The newest kernels are the slowest: with them at the end, one would run alone.
    let left = Mutex::new(all.enumerate().collect::<Vec<_>>());
    let reports = Mutex::new(Vec::new());
    let work = || {
        loop {
            let next = left.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some((at, (rack, of, machine))) = next else { break };
            let report = machine.run(&of.tests);
            reports.lock().unwrap_or_else(PoisonError::into_inner).push((at, rack, report));
        }
    };
    thread::scope(|scope| (0..AT_ONCE).for_each(|_| drop(scope.spawn(work))));
    let mut reports = reports.into_inner().unwrap_or_else(PoisonError::into_inner);
    reports.sort_by_key(|(at, ..)| *at);
    let mut all: Vec<Ran> = racks.into_iter().map(|rack| Ran { tests: rack.tests, reports: Vec::new() }).collect();
    for (_, rack, report) in reports {
        all[rack].reports.push(report?);
    }
    all.iter().for_each(|ran| print!("{}", verdict::table(&ran.tests, &ran.reports)));
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_chosen_by_series_and_an_unknown_one_is_refused() {
        let series = |chosen: Vec<Kernel>| chosen.into_iter().map(|kernel| kernel.series).collect::<Vec<_>>();
        let all = || kernels::read().unwrap();
        assert_eq!(series(chosen(all(), Arch::X86_64, &["6.1".to_owned()]).unwrap()), ["6.1"]);
        let of_all = Arch::ALL.map(|arch| chosen(all(), arch, &[]).unwrap().len());
        assert_eq!(of_all.iter().sum::<usize>(), all().len());
        let error = chosen(all(), Arch::X86_64, &["2.4".to_owned()]).unwrap_err().to_string();
        assert!(error.starts_with("no kernel 2.4; there are 5.10, 6.1, "), "{error}");
    }
}
