//! The self-test's child: memory calls whose outcome is known, made on its own memory.
use crate::goruntime::fatal::{self, FatalPoints};
use memtrace_common::host::{CALIBRATE_ADVICE, CALIBRATE_WORD};
use std::io::{Read as _, Write as _};

/// First argument of the child's command line.
pub const CHILD_ARGUMENT: &str = "__selftest";
/// Pages the child maps; it drops `DROPPED` of them from the second on, and touches one of these again.
pub(super) const PAGES: usize = 8;
pub(super) const DROPPED: usize = 3;
/// What the child gives up with.
pub(super) const FATAL_TEXT: &str = "known";
/// Windows of direct-map candidates tried: 64 windows of 64 GiB.
const WINDOWS: usize = 64;

/// The child's side. Commands are single bytes on stdin, each answered by a line on stdout.
pub fn child_main() -> std::process::ExitCode {
    let page = page_bytes();
    let mut command = [0u8];
    let word: &u64 = Box::leak(Box::new(CALIBRATE_WORD));
    let text = FATAL_TEXT.to_owned();
    let mut stdin = std::io::stdin();
    while stdin.read_exact(&mut command).is_ok() {
        let answer = match command[0] {
            b'c' => calls::calibrate(page),
            b't' => calls::known(page),
            b'f' => calls::give_up(&text),
            b'w' => (&raw const *std::hint::black_box(word)) as u64,
            _ => break,
        };
        let mut stdout = std::io::stdout();
        if writeln!(stdout, "{answer}").and_then(|()| stdout.flush()).is_err() {
            break;
        }
    }
    std::process::ExitCode::SUCCESS
}

/// The child's function that stands for `runtime.throw`.
pub(super) fn fatal_points() -> Option<FatalPoints> {
    FatalPoints::of_own(fatal::THROW, calls::entered as *const () as u64)
}

pub(super) fn page_bytes() -> usize {
    ::procfs::page_size() as usize
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

    /// Stands for a function of Go's that ends its process.
    #[inline(never)]
    pub(super) extern "C" fn entered() {
        std::hint::black_box(());
    }

    /// Enters it with a string where Go passes it.
    pub(super) fn give_up(text: &str) -> u64 {
        let (first, second) = (text.as_ptr(), text.len());
        // SAFETY: a call of a C function without arguments; the register that is not the call's to change is put back.
        unsafe {
            #[cfg(target_arch = "x86_64")]
            std::arch::asm!(
                "mov r12, rbx",
                "mov rbx, {second}",
                "call {entered}",
                "mov rbx, r12",
                out("r12") _,
                second = in(reg) second,
                entered = sym entered,
                in("rax") first,
                clobber_abi("C"),
            );
            #[cfg(target_arch = "aarch64")]
            std::arch::asm!(
                "bl {entered}",
                entered = sym entered,
                in("x0") first,
                in("x1") second,
                clobber_abi("C"),
            );
        }
        second as u64
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
            let range = libc::iovec { iov_base: address.cast(), iov_len: page };
            let own = libc::syscall(libc::SYS_pidfd_open, libc::getpid(), 0);
            libc::syscall(libc::SYS_process_madvise, own, &raw const range, 1, libc::MADV_COLD, 0);
            libc::syscall(libc::SYS_brk, 0);
            libc::syscall(libc::SYS_mremap, address, PAGES * page, (PAGES - 1) * page, MREMAP_MAYMOVE);
            libc::syscall(libc::SYS_munmap, address, (PAGES - 1) * page);
        }
        address as u64
    }
}
