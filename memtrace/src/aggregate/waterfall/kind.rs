//! What a mapping is, by what the kernel says of it.
use crate::procfs::vmas::{FileId, Smaps, Vma};
use std::ops::Range;

/// glibc's HEAP_MAX_SIZE: thread arenas start at multiples of it (malloc/arena.c).
const ARENA_BYTES: u64 = 64 << 20;
/// Arenas and thread stacks are mapped near the libraries.
const NEAR_BYTES: u64 = 1 << 40;
/// A larger mapping behind a guard is no thread stack.
const STACK_MAX: u64 = 64 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    BinaryText,
    BinaryRodata,
    BinaryData,
    BinaryBss,
    File,
    Shared,
    Malloc,
    ThreadStack,
    /// Named by the Go runtime itself (1.25, kernels with CONFIG_ANON_VMA_NAME).
    GoNamed,
    Kernel,
    Anonymous,
}

/// What tells the mappings of one process apart.
#[derive(Clone, Debug, Default)]
pub struct Process {
    /// Path of the executable as /proc/PID/exe names it.
    pub exe: Option<String>,
    /// Devices of the tmpfs mounts it sees.
    pub tmpfs: Vec<(u32, u32)>,
}

pub(super) struct Kinds<'a> {
    vmas: &'a [Vma],
    exe: Option<FileId>,
    tmpfs: &'a [(u32, u32)],
    /// A mapping of the C library.
    libc: Option<Range<u64>>,
}

impl<'a> Kinds<'a> {
    pub(super) fn new(vmas: &'a [Vma], process: &'a Process) -> Kinds<'a> {
        let exe = process.exe.as_deref().and_then(|exe| vmas.iter().find(|v| v.name == exe)?.file);
        let libc = vmas.iter().find(|v| v.file.is_some() && v.executable && is_libc(&v.name));
        Kinds { vmas, exe, tmpfs: &process.tmpfs, libc: libc.map(|v| v.range.clone()) }
    }

    pub(super) fn of(&self, index: usize) -> Kind {
        let Some(vma) = self.vmas.get(index) else { return Kind::Anonymous };
        match vma.file {
            Some(file) if Some(file) == self.exe => binary(vma),
            Some(file) if self.is_shmem(vma, file) => Kind::Shared,
            Some(_) => Kind::File,
            None if vma.shared => Kind::Shared,
            None => self.anonymous(vma, index),
        }
    }

    fn anonymous(&self, vma: &Vma, index: usize) -> Kind {
        let before = index.checked_sub(1).and_then(|i| self.vmas.get(i)).filter(|v| v.range.end == vma.range.start);
        let follows_binary = before.is_some_and(|v| v.file.is_some() && v.file == self.exe);
        let guarded = before.is_some_and(|v| v.file.is_none() && !v.readable && !v.writable && !v.executable);
        match vma.name.as_str() {
            "[heap]" => Kind::Malloc,
            "[stack]" => Kind::ThreadStack,
            name if name.starts_with("[anon: Go:") => Kind::GoNamed,
            name if name.starts_with('[') && !name.starts_with("[anon") => Kind::Kernel,
            _ if follows_binary => Kind::BinaryBss,
            _ if !vma.writable || !self.is_near_libc(vma) => Kind::Anonymous,
            _ if vma.range.start.is_multiple_of(ARENA_BYTES) && vma.bytes() <= ARENA_BYTES => Kind::Malloc,
            _ if guarded && vma.bytes() <= STACK_MAX => Kind::ThreadStack,
            _ => Kind::Anonymous,
        }
    }

    /// A large block of malloc looks like any other mapping.
    fn may_be_malloc(&self, index: usize, vma: &Vma) -> bool {
        let is_plain = vma.name.is_empty() && vma.readable && vma.writable && vma.sizes.rss > 0 && !vma.hugetlb;
        is_plain && self.is_near_libc(vma) && self.of(index) == Kind::Anonymous
    }

    fn is_near_libc(&self, vma: &Vma) -> bool {
        self.libc.as_ref().is_some_and(|libc| libc.start.abs_diff(vma.range.start) < NEAR_BYTES)
    }

    /// tmpfs the process sees, or the kernel's own (no mount: device 0:x and one of its names).
    fn is_shmem(&self, vma: &Vma, file: FileId) -> bool {
        let own = ["/memfd:", "/SYSV", "/dev/zero (deleted)", "/anon_hugepage"];
        self.tmpfs.contains(&file.device) || (file.device.0 == 0 && own.iter().any(|n| vma.name.starts_with(n)))
    }
}

/// Mappings that may start with a block of the C library's malloc: only what malloc has written there tells.
pub fn own_mappings_of_malloc<'a>(smaps: &'a Smaps, process: &'a Process) -> impl Iterator<Item = &'a Vma> {
    let kinds = Kinds::new(&smaps.vmas, process);
    smaps.vmas.iter().enumerate().filter(move |(index, vma)| kinds.may_be_malloc(*index, vma)).map(|(_, vma)| vma)
}

fn binary(vma: &Vma) -> Kind {
    match (vma.executable, vma.writable) {
        (true, _) => Kind::BinaryText,
        (false, true) => Kind::BinaryData,
        (false, false) => Kind::BinaryRodata,
    }
}

fn is_libc(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    ["libc.so", "libc-", "ld-musl"].iter().any(|start| name.starts_with(start))
}
