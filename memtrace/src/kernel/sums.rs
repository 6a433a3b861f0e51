//! Memory calls that the kernel side adds up, by the target's id.
use super::targets::{found, ignore_absent, is_full};
use super::{Kernel, KernelError, map_error};
use aya::maps::{HashMap, MapData};
use bytemuck::Zeroable as _;
use memtrace_common::names::map;
use memtrace_common::sums::Sums;
use memtrace_common::target::flags;

const BPF_ANY: u64 = 0;

impl Kernel {
    fn sums(&mut self) -> Result<HashMap<&mut MapData, u32, Sums>, KernelError> {
        let map = self.ebpf.map_mut(map::SUMS).ok_or(KernelError::Absent(map::SUMS))?;
        HashMap::try_from(map).map_err(map_error(map::SUMS))
    }

    /// Of whom was found and not named.
    pub fn sums_calls(&self) -> bool {
        self.sums_calls
    }

    /// Begins those of a new target; where there is no room each of its calls is told.
    pub(super) fn start_sums(&mut self, id: u32, target_flags: u32) -> Result<(), KernelError> {
        if !self.sums_calls || target_flags & flags::TOLD != 0 {
            return Ok(());
        }
        match self.sums()?.insert(id, Sums::zeroed(), BPF_ANY) {
            Err(e) if is_full(&e) => Ok(()),
            other => other.map_err(map_error(map::SUMS)),
        }
    }

    /// `None`: its calls are told.
    pub fn sums_of(&mut self, id: u32) -> Result<Option<Sums>, KernelError> {
        if !self.sums_calls {
            return Ok(None);
        }
        found(map::SUMS, self.sums()?.get(&id, 0))
    }

    /// From here on its calls are told, if it lives.
    pub fn end_sums(&mut self, id: u32) -> Result<(), KernelError> {
        if self.sums_calls { ignore_absent(map::SUMS, self.sums()?.remove(&id)) } else { Ok(()) }
    }

    /// Whose there are.
    pub fn summed(&mut self) -> Result<Vec<u32>, KernelError> {
        self.sums()?.keys().collect::<Result<_, _>>().map_err(map_error(map::SUMS))
    }
}
