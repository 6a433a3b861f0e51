//! Programs to their hooks, one verdict each.
use super::fatal::FATAL_PROGRAMS;
use super::{Kernel, KernelError};
use crate::host::catalog::{End, Hook, Program, function_of};
use crate::host::plan::ProbePlan;
use aya::programs::fentry::FEntryLink;
use aya::programs::fexit::FExitLink;
use aya::programs::perf_event::{PerfEventConfig, PerfEventLink, PerfEventScope, SamplePolicy, SoftwareEvent};
use aya::programs::raw_trace_point::RawTracePointLink;
use aya::programs::trace_point::TracePointLink;
use aya::programs::uprobe::{UProbeLink, UProbeScope};
use aya::programs::{FEntry, FExit, PerfEvent, ProgramError, RawTracePoint, TracePoint, UProbe};
use std::path::Path;
use std::time::Instant;

/// Fault programs: for a thread's first event and for one it may have beside an inherited one; the second row is for
/// kernels without fetching atomics (before 5.12).
const FAULT_PROGRAMS: [[&str; 2]; 2] = [["fault_task", "fault_late"], ["fault_task_old", "fault_late_old"]];

/// The same where one hook sees all.
const HOST_FAULT_PROGRAMS: [&str; 2] = ["fault_host", "fault_host_old"];

/// Both software events that say a fault was handled: counted after the page is there (mm_account_fault).
const FAULT_EVENTS: [SoftwareEvent; 2] = [SoftwareEvent::PageFaultsMin, SoftwareEvent::PageFaultsMaj];

impl Kernel {
    /// Loads and attaches one program of the catalogue. The error says in one line what the kernel objected to.
    pub fn attach(&mut self, probe: &ProbePlan) -> Result<(), String> {
        let program = probe.program;
        log::debug!("{}: loading for {}", program.name, probe.hook);
        let began = Instant::now();
        let link = match probe.hook {
            Hook::Tracepoint { category, name } => self.attach_tracepoint(program.object, category, name),
            Hook::Function { syscall, end } => self.attach_function(probe.object(), &function_of(syscall), end),
            Hook::RawTracepoint { name } if program.name == "fault_host" => {
                self.attach_raw(HOST_FAULT_PROGRAMS[usize::from(!self.fetching_atomics)], name)
            }
            Hook::RawTracepoint { name } => self.attach_raw(program.object, name),
            // Loaded now, so that a refusal is known; attached per target.
            Hook::TaskPageFaults => return self.load_fault_program().map_err(one_line),
            Hook::GoFatal => return self.load_fatal_programs().map_err(one_line),
        };
        self.links.entry(program.name).or_default().push(link.map_err(one_line)?);
        self.tell(probe, began);
        Ok(())
    }

    /// What a program cost to get in.
    fn tell(&self, probe: &ProbePlan, began: Instant) {
        let program = probe.program;
        let info = self.ebpf.program(probe.object()).and_then(|p| p.info().ok());
        // Known since 5.16.
        let turns = info.and_then(|i| i.verified_instruction_count()).unwrap_or(0);
        log::debug!("{}: attached in {:?}, {turns} instructions verified", program.name, began.elapsed());
    }

    pub(super) fn is_attached(&self, program: &Program) -> bool {
        self.links.contains_key(program.name)
    }

    /// Stalls to reclaim: those of memory cgroups, those of the host, or both.
    pub fn tells_stalls(&self) -> bool {
        let both = |names: [&str; 2]| names.iter().all(|name| self.links.contains_key(name));
        both(["memcg_in", "memcg_out"]) || both(["direct_in", "direct_out"])
    }

    /// Ends a program's attachments.
    pub fn detach_program(&mut self, name: &str) {
        self.links.remove(name);
    }

    fn attach_tracepoint(
        &mut self,
        program: &'static str,
        category: &str,
        name: &str,
    ) -> Result<Attached, AttachError> {
        let p: &mut TracePoint = self.program(program)?.try_into()?;
        loaded(p.load())?;
        let id = p.attach(category, name)?;
        Ok(Attached::Tracepoint(p.take_link(id)?))
    }

    fn attach_function(&mut self, name: &'static str, function: &str, end: End) -> Result<Attached, AttachError> {
        if self.btf.is_none() {
            self.btf = Some(aya::Btf::from_sys_fs()?);
        }
        let (Some(btf), Some(program)) = (&self.btf, self.ebpf.program_mut(name)) else {
            return Err(AttachError::Object(KernelError::Absent(name)));
        };
        Ok(match end {
            End::Enter => {
                let p: &mut FEntry = program.try_into()?;
                loaded(p.load(function, btf))?;
                let id = p.attach()?;
                Attached::Enter(p.take_link(id)?)
            }
            End::Exit => {
                let p: &mut FExit = program.try_into()?;
                loaded(p.load(function, btf))?;
                let id = p.attach()?;
                Attached::Exit(p.take_link(id)?)
            }
        })
    }

    fn attach_raw(&mut self, program: &'static str, name: &str) -> Result<Attached, AttachError> {
        let p: &mut RawTracePoint = self.program(program)?.try_into()?;
        p.load()?;
        let id = p.attach(name)?;
        Ok(Attached::Raw(p.take_link(id)?))
    }

    fn load_fault_program(&mut self) -> Result<(), AttachError> {
        for name in self.fault_programs() {
            let p: &mut PerfEvent = self.program(name)?.try_into()?;
            loaded(p.load())?;
        }
        Ok(())
    }

    /// Page-fault events for one thread, inherited by the threads and children it makes. `late`: it may have inherited
    /// one already.
    pub(super) fn attach_faults(&mut self, tid: u32, late: bool) -> Result<Vec<Attached>, AttachError> {
        let name = self.fault_programs()[usize::from(late)];
        let p: &mut PerfEvent = self.program(name)?.try_into()?;
        let mut links = Vec::with_capacity(FAULT_EVENTS.len());
        for event in FAULT_EVENTS {
            let scope = PerfEventScope::OneProcess { pid: tid, cpu: None };
            let id = p.attach(PerfEventConfig::Software(event), scope, SamplePolicy::Period(1), true)?;
            links.push(Attached::Event(p.take_link(id)?));
        }
        Ok(links)
    }

    fn load_fatal_programs(&mut self) -> Result<(), AttachError> {
        for name in FATAL_PROGRAMS {
            let p: &mut UProbe = self.program(name)?.try_into()?;
            loaded(p.load())?;
        }
        Ok(())
    }

    /// On an instruction of a file, in every process that has it mapped.
    pub(super) fn attach_user(
        &mut self,
        program: &'static str,
        file: &Path,
        offset: u64,
    ) -> Result<Attached, AttachError> {
        let p: &mut UProbe = self.program(program)?.try_into()?;
        let id = p.attach(offset, file, UProbeScope::AllProcesses)?;
        Ok(Attached::User(p.take_link(id)?))
    }

    fn fault_programs(&self) -> [&'static str; 2] {
        FAULT_PROGRAMS[usize::from(!self.fetching_atomics)]
    }

    fn program(&mut self, name: &'static str) -> Result<&mut aya::programs::Program, AttachError> {
        self.ebpf.program_mut(name).ok_or(AttachError::Object(KernelError::Absent(name)))
    }
}

/// A program that serves several hooks, or has its second turn, is loaded once.
fn loaded(result: Result<(), ProgramError>) -> Result<(), ProgramError> {
    if matches!(result, Err(ProgramError::AlreadyLoaded)) { Ok(()) } else { result }
}

/// One attachment; ends when dropped. Not aya's `FdLink`: perf events are links only since 5.15.
#[derive(Debug)]
#[expect(dead_code, reason = "held for the sake of its drop")]
pub(super) enum Attached {
    Tracepoint(TracePointLink),
    Enter(FEntryLink),
    Exit(FExitLink),
    Raw(RawTracePointLink),
    Event(PerfEventLink),
    User(UProbeLink),
}

#[derive(Debug, thiserror::Error)]
pub(super) enum AttachError {
    #[error("{0}")]
    Object(KernelError),
    #[error("{0}")]
    Program(#[from] ProgramError),
    #[error("{0}")]
    Btf(#[from] aya::BtfError),
}

/// The innermost cause, and of a verifier's log only its last words.
pub(super) fn one_line(error: AttachError) -> String {
    let mut words = error.to_string();
    if let AttachError::Program(ProgramError::LoadError { io_error, verifier_log }) = &error {
        let log = verifier_log.to_string();
        // Figures, and lines of source.
        let statistics =
            |l: &str| ["processed ", "stack depth", "verification time", ";"].iter().any(|s| l.starts_with(s));
        let said: Vec<&str> = log.lines().map(str::trim).filter(|l| !l.is_empty() && !statistics(l)).collect();
        words = format!("the verifier refused it ({io_error}): {}", said.last().copied().unwrap_or("no log"));
        log::debug!("{log}");
    } else {
        let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(&error);
        while let Some(inner) = cause {
            words = format!("{words}: {inner}");
            cause = inner.source();
        }
    }
    words.lines().next().unwrap_or_default().to_owned()
}
