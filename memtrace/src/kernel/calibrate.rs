//! Asks the kernel, at start-up, for what its hidden data symbols would say: see memtrace-ebpf `probes::calibrate`.
use super::{Kernel, KernelError, map_error};
use crate::host::plan::{Plan, ProbePlan};
use memtrace_common::host::Host;
use memtrace_common::names::map;
use std::fmt;

/// What was learned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calibration {
    /// CPUs whose per-CPU offset is known.
    pub cpus: u64,
    /// Where the kernel maps physical memory; `None`: page tables cannot be read here, so residency is not counted page
    /// by page.
    pub direct_map: Option<u64>,
}

impl fmt::Display for Calibration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.direct_map {
            Some(base) => write!(f, "direct map at {base:#x}")?,
            None => write!(f, "no direct map found")?,
        }
        write!(f, ", offsets of {} CPUs", self.cpus)
    }
}

impl Kernel {
    /// Has `child` make the magic calls (`make_calls`) with the calibration programs attached.
    pub(super) fn calibrate(
        &mut self,
        plan: &mut Plan,
        child: u32,
        make_calls: impl FnOnce() -> Result<(), KernelError>,
    ) -> Result<(), KernelError> {
        let host = Host { calibrate_tgid: child.into(), ..Host::default() };
        self.host_map()?.set(0, host, 0).map_err(map_error(map::HOST))?;
        let start_up = |p: &&ProbePlan| p.program.when.start_up() && p.wanted && p.obstacle.is_none();
        let probes: Vec<_> = plan.probes.iter().filter(start_up).cloned().collect();
        for probe in &probes {
            if let Err(why) = self.attach(probe) {
                plan.mark_broken(probe.program.name, why);
            }
        }
        make_calls()?;
        for probe in probes {
            self.detach_program(probe.program.name);
        }
        let mut map = self.host_map()?;
        let host = map.get(&0, 0).map_err(map_error(map::HOST))?;
        map.set(0, Host { calibrate_tgid: 0, ..host }, 0).map_err(map_error(map::HOST))?;
        self.calibration =
            Calibration { cpus: host.cpus_found, direct_map: Some(host.direct_map).filter(|base| *base != 0) };
        plan.calibrated(self.calibration.cpus);
        log::info!("calibration: {}", self.calibration);
        Ok(())
    }
}
