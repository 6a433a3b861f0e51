//! `cargo xtask vm`: the tests of `tests/src/bin/vm_guest` on kernels that this machine does not run, each in a virtual
//! machine of its own. No test needs root on this machine.

use std::collections::VecDeque;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Error, Result, bail};

use crate::progress::human;
use crate::tally::Count;

mod docs;
mod guest;
mod images;
mod initramfs;
mod kernels;
mod qemu;
mod verdict;

use kernels::Kernel;
use qemu::Machine;
use verdict::Report;

/// Each takes about one core.
const AT_ONCE: usize = 2;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these kernels, by series (see tests/vm/kernels.toml)
    #[arg(long, value_name = "VER", num_args = 1..)]
    kernel: Vec<String>,
    /// Only tests with this in their name
    #[arg(long, value_name = "TEST", default_value = "")]
    filter: String,
}

pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    let started = Instant::now();
    let kernels = chosen(kernels::read()?, &args.kernel)?;
    qemu::ensure()?;
    let images = kernels.iter().map(images::fetch).collect::<Result<Vec<_>>>()?;
    let guest = guest::build()?;
    let tests: Vec<String> = guest.tests.into_iter().filter(|test| test.contains(&args.filter)).collect();
    if tests.is_empty() {
        bail!("no test has {} in its name", args.filter);
    }
    let machines = kernels.iter().zip(images).map(|(kernel, image)| Machine {
        name: format!("vm-{}", kernel.series),
        image,
        initramfs: guest.initramfs.clone(),
        environment: vec![
            ("MEMTRACE_BIN".to_owned(), guest::MEMTRACE.to_owned()),
            ("VM_PROBES".to_owned(), kernel.expected_probes()),
            ("VM_EXACT_RACES".to_owned(), kernel.exact_races.to_string()),
            ("VM_FILTER".to_owned(), args.filter.clone()),
        ],
    });
    let reports = boot_all(machines.collect(), &tests)?;
    print!("{}", verdict::table(&tests, &reports));
    let mut total = Count::default();
    reports.iter().for_each(|report| total.add(report.count(&tests)));
    if args.kernel.is_empty() && args.filter.is_empty() && total.failed == 0 {
        docs::write(&kernels, &tests, &reports)?;
    }
    println!("{} passed, {} failed ({})", total.passed, total.failed, human(started.elapsed()));
    Ok(if total.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// All of them, or those of these series.
fn chosen(kernels: Vec<Kernel>, series: &[String]) -> Result<Vec<Kernel>> {
    if let Some(unknown) = series.iter().find(|series| !kernels.iter().any(|kernel| kernel.series == **series)) {
        let known: Vec<_> = kernels.iter().map(|kernel| kernel.series.as_str()).collect();
        bail!("no kernel {unknown}; there are {}", known.join(", "));
    }
    Ok(kernels.into_iter().filter(|kernel| series.is_empty() || series.contains(&kernel.series)).collect())
}

/// What each machine says, in the order given; what goes wrong with one does not keep the others from running.
fn boot_all(machines: Vec<Machine>, tests: &[String]) -> Result<Vec<Report>> {
    let left = Mutex::new(machines.iter().enumerate().collect::<VecDeque<_>>());
    let reports = Mutex::new(Vec::new());
    let work = || {
        loop {
            let next = left.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some((at, machine)) = next else { break };
            let report = machine.run(tests);
            reports.lock().unwrap_or_else(PoisonError::into_inner).push((at, report));
        }
    };
    thread::scope(|scope| (0..AT_ONCE).for_each(|_| drop(scope.spawn(work))));
    let mut reports = reports.into_inner().unwrap_or_else(PoisonError::into_inner);
    reports.sort_by_key(|(at, _)| *at);
    reports.into_iter().map(|(_, report)| report).collect::<Result<_, Error>>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_chosen_by_series_and_an_unknown_one_is_refused() {
        let series = |chosen: Vec<Kernel>| chosen.into_iter().map(|kernel| kernel.series).collect::<Vec<_>>();
        let all = || kernels::read().unwrap();
        assert_eq!(series(chosen(all(), &["6.1".to_owned()]).unwrap()), ["6.1"]);
        assert_eq!(chosen(all(), &[]).unwrap().len(), all().len());
        let error = chosen(all(), &["2.4".to_owned()]).unwrap_err().to_string();
        assert!(error.starts_with("no kernel 2.4; there are 5.10, 6.1, "), "{error}");
    }
}
