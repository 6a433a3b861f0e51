//! The memory of the whole host.
use super::psi::{self, Pressure};
use ::procfs::Current as _;
use std::path::Path;

/// MemAvailable and MemTotal of /proc/meminfo; `None`: not said.
pub fn memory_bytes() -> Option<(u64, u64)> {
    let info = ::procfs::Meminfo::current().ok()?;
    Some((info.mem_available?, info.mem_total))
}

/// Of all of it; `None`: a kernel without it.
pub fn pressure() -> Option<Pressure> {
    Pressure::read(Path::new(psi::HOST))
}

/// As the kernel knows it (uname).
pub fn name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Another after each reboot; see random(4).
pub fn boot_id() -> Option<String> {
    Some(std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned())
}
