//! What differs between the machines that are emulated.

use std::env;
use std::path::Path;
use std::process::Command;

use serde::Deserialize;

use crate::proc;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Deserialize)]
pub(crate) enum Arch {
    #[value(name = "x86_64")]
    #[serde(rename = "x86_64")]
    X86_64,
    #[value(name = "aarch64")]
    #[serde(rename = "aarch64")]
    Aarch64,
}

impl Arch {
    pub(crate) const ALL: [Self; 2] = [Self::X86_64, Self::Aarch64];

    /// As rustc, QEMU and `uname -m` call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// As Debian and Go call it.
    pub(crate) fn short_name(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }

    pub(super) fn qemu(self) -> String {
        format!("qemu-system-{}", self.name())
    }

    pub(super) fn qemu_options(self) -> &'static [&'static str] {
        match self {
            // QEMU 7.2 runs cmpxchg16b wrongly, and kernels of today die of it. With a thread for each processor it may keep
            // a translation of the breakpoint that the kernel puts for a moment where it patches itself: one processor
            // dies of it ("Oops: int3") or runs it for ever (5.10). By turns the two cannot: no slower, two machines at once.
            Self::X86_64 => &["-accel", "tcg,thread=single", "-cpu", "max,-cx16"],
            Self::Aarch64 => &["-accel", "tcg,thread=multi", "-machine", "virt", "-cpu", "cortex-a72"],
        }
    }

    pub(super) fn kernel_options(self) -> &'static str {
        match self {
            // TCG's time stamp counter is none to trust.
            Self::X86_64 => "console=ttyS0 tsc=unstable",
            // This processor leaves the access flag to the kernel: what DAMON looks at faults again when it is used.
            Self::Aarch64 => "console=ttyAMA0 damon_stat.enabled=0",
        }
    }

    /// A program of the GNU toolchain.
    pub(crate) fn tool(self, name: &str) -> String {
        if self.is_ours() { name.to_owned() } else { format!("{}-linux-gnu-{name}", self.name()) }
    }

    /// Debian's packages that emulate it and, from another machine, build for it.
    pub(super) fn packages(self) -> &'static [&'static str] {
        let all: &[&str] = match self {
            Self::X86_64 => &["qemu-system-x86", "gcc-x86-64-linux-gnu", "libc6-dev-amd64-cross"],
            Self::Aarch64 => &["qemu-system-arm", "gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"],
        };
        if self.is_ours() { &all[..1] } else { all }
    }

    pub(super) fn is_provided(self) -> bool {
        let libc = format!("/usr/{}-linux-gnu/lib/libc.a", self.name());
        let answers = |program: String| proc::capture(Command::new(program).arg("--version")).is_ok();
        answers(self.qemu()) && (self.is_ours() || (answers(self.tool("gcc")) && Path::new(&libc).exists()))
    }

    pub(crate) fn is_ours(self) -> bool {
        self.name() == env::consts::ARCH
    }
}
