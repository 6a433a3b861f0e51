//! What this host is and what it allows: facts, the kernel's own descriptions, and the plan made of both.
pub mod btf;
pub mod catalog;
pub mod facts;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub mod mounts;
pub mod offsets;
pub mod plan;
pub mod rights;
pub mod rss;
pub mod tracefs;

use btf::{Btf, BtfError};
use facts::Facts;
use memtrace_common::params::{Params, Switches};
use offsets::Missing;
use plan::{Plan, Want};
use tracefs::{Tracefs, TracefsError};

/// This host, read once.
#[derive(Debug)]
pub struct Host {
    pub facts: Facts,
    pub btf: Result<Btf, BtfError>,
    pub tracefs: Result<Tracefs, TracefsError>,
}

impl Host {
    /// Needs nothing but the right to read; what cannot be read is a fact too.
    pub fn read() -> Host {
        let (btf, tracefs) = (Btf::read(), Tracefs::find());
        Host { facts: Facts::read(&btf, &tracefs), btf, tracefs }
    }

    /// The kernel side's parameters; all absent where there is no BTF.
    pub fn params(&self, switches: Switches) -> (Params, Vec<Missing>) {
        let machine = self.facts.machine_params();
        match &self.btf {
            Ok(btf) => offsets::params(btf, &self.tracefs.as_ref().ok(), machine, switches),
            Err(_) => (offsets::absent(machine, switches), Vec::new()),
        }
    }

    pub fn plan(&self, params: &Params, missing: &[Missing], want: &Want) -> Plan {
        plan::plan(&self.facts, params, missing, want)
    }
}
