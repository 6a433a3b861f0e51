//! The self-test's child: memory calls whose outcome is known, made on its own memory.
use memtrace_common::host::{CALIBRATE_ADVICE, CALIBRATE_WORD};
use std::io::{Read as _, Write as _};

/// First argument of the child's command line.
pub const CHILD_ARGUMENT: &str = "__selftest";
/// Pages the child maps; it drops `DROPPED` of them from the second on, and touches one of these again.
pub(super) const PAGES: usize = 8;
pub(super) const DROPPED: usize = 3;
/// Windows of direct-map candidates tried: 64 windows of 64 GiB.
const WINDOWS: usize = 64;

/// The child's side. Commands are single bytes on stdin, each answered by a line on stdout.
pub fn child_main() -> std::process::ExitCode {
    let page = page_bytes();
    let mut command = [0u8];
    let mut stdin = std::io::stdin();
    while stdin.read_exact(&mut command).is_ok() {
        let answer = match command[0] {
            b'c' => calls::calibrate(page),
            b't' => calls::known(page),
            _ => break,
        };
        let mut stdout = std::io::stdout();
        if writeln!(stdout, "{answer}").and_then(|()| stdout.flush()).is_err() {
            break;
        }
    }
    std::process::ExitCode::SUCCESS
}

pub(super) fn page_bytes() -> usize {
    usize::try_from(::procfs::page_size()).unwrap_or(4096)
}

/// The calls themselves, on memory of the child's own.
mod calls {
    use super::{CALIBRATE_ADVICE, CALIBRATE_WORD, DROPPED, PAGES, WINDOWS};
    use libc::{MADV_DONTNEED, MAP_ANONYMOUS, MAP_PRIVATE, MREMAP_MAYMOVE, PROT_READ, PROT_WRITE};
    use std::ptr::null_mut;

    fn map(bytes: usize) -> *mut u8 {
        // SAFETY: an anonymous mapping of our own.
        unsafe { libc::mmap(null_mut(), bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0).cast() }
    }

    pub(super) fn calibrate(page: usize) -> u64 {
        let address = map(page);
        if address as isize == -1 {
            return 0;
        }
        // SAFETY: the page is ours; the kernel refuses the advice, whatever the length.
        unsafe {
            address.cast::<u64>().write_volatile(CALIBRATE_WORD);
            for window in 0..WINDOWS {
                libc::syscall(libc::SYS_madvise, address, window, CALIBRATE_ADVICE);
            }
        }
        address as u64
    }

    /// Returns the address of the mapping.
    pub(super) fn known(page: usize) -> u64 {
        let address = map(PAGES * page);
        if address as isize == -1 {
            return 0;
        }
        // SAFETY: all within the mapping made here; raw syscalls, so that libc makes no others in between.
        unsafe {
            libc::madvise(address.cast(), PAGES * page, libc::MADV_NOHUGEPAGE);
            for i in 0..PAGES {
                address.add(i * page).write_volatile(1);
            }
            libc::syscall(libc::SYS_madvise, address.add(page), DROPPED * page, MADV_DONTNEED);
            address.add(page).write_volatile(2);
            libc::syscall(libc::SYS_brk, 0);
            libc::syscall(libc::SYS_mremap, address, PAGES * page, (PAGES - 1) * page, MREMAP_MAYMOVE);
            libc::syscall(libc::SYS_munmap, address, (PAGES - 1) * page);
        }
        address as u64
    }
}
