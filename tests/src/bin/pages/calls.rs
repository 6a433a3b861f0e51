//! The system calls, raw: no wrapper of the C library adds one of its own.
use std::ffi::CString;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

const PAGE: usize = 4096;

/// What `spawn` runs, this executable unless told otherwise: found before anything is counted.
static PROGRAM: OnceLock<CString> = OnceLock::new();

fn program() -> &'static CString {
    PROGRAM.get_or_init(|| {
        let path = std::env::current_exe().expect("own path");
        CString::new(path.into_os_string().into_encoded_bytes()).expect("a path without NUL")
    })
}

pub(crate) fn spawn_from(path: &str) {
    PROGRAM.set(CString::new(path).expect("a path without NUL")).expect("one --exec");
}

fn last_errno() -> i64 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0).into()
}

/// The kernel's own convention: negative is -errno.
fn raw(result: i64) -> i64 {
    if result == -1 { -last_errno() } else { result }
}

macro_rules! syscall {
    ($number:expr $(, $argument:expr)*) => {
        // SAFETY: every call here acts on memory of BASE that no Rust value lives in, on the break above the fixed heap,
        // or on file descriptors of this function.
        raw(unsafe { libc::syscall($number $(, $argument)*) })
    };
}

/// One malloc arena that grows now by what will ever be needed, and never shrinks.
pub(crate) fn fix_heap() {
    // SAFETY: plain settings, before any thread exists.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 30);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
        libc::mallopt(libc::M_TOP_PAD, 4 << 20);
    }
    drop(std::hint::black_box(vec![0_u8; 1 << 20]));
}

/// All that is mapped now stays resident; what is mapped later is not concerned.
pub(crate) fn lock_everything() {
    program();
    assert_eq!(syscall!(libc::SYS_mlockall, libc::MCL_CURRENT), 0, "mlockall needs root");
}

pub(crate) fn pin(cpu: usize) {
    // SAFETY: cpu_set_t is plain data, valid when zero.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is a valid set.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    assert_eq!(syscall!(libc::SYS_sched_setaffinity, 0, size_of::<libc::cpu_set_t>(), &raw const set).min(0), 0);
}

pub(crate) fn mmap(address: usize, length: usize, kind: Option<&str>, how: i32) -> i64 {
    let protection = if kind == Some("none") { libc::PROT_NONE } else { libc::PROT_READ | libc::PROT_WRITE };
    let sharing = if kind == Some("shared") { libc::MAP_SHARED } else { libc::MAP_PRIVATE };
    let flags = sharing | libc::MAP_ANONYMOUS | how;
    syscall!(libc::SYS_mmap, address, length, protection, flags, -1, 0)
}

pub(crate) fn munmap(address: usize, length: usize) -> i64 {
    syscall!(libc::SYS_munmap, address, length)
}

pub(crate) fn mremap(address: usize, old: usize, new: usize, to: Option<usize>) -> i64 {
    let flags = if to.is_some() { libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED } else { 0 };
    syscall!(libc::SYS_mremap, address, old, new, flags, to.unwrap_or(0))
}

pub(crate) fn madvise(address: usize, length: usize, advice: i32) -> i64 {
    syscall!(libc::SYS_madvise, address, length, advice)
}

pub(crate) fn process_madvise(address: usize, length: usize, advice: i32) -> i64 {
    let itself = syscall!(libc::SYS_pidfd_open, std::process::id(), 0);
    if itself < 0 {
        return itself;
    }
    let ranges = [address, length];
    let result = syscall!(libc::SYS_process_madvise, itself, ranges.as_ptr(), 1, advice, 0);
    syscall!(libc::SYS_close, itself);
    result
}

pub(crate) fn mlock(address: usize, length: usize) -> i64 {
    syscall!(libc::SYS_mlock, address, length)
}

pub(crate) fn forbid(address: usize, length: usize) -> i64 {
    syscall!(libc::SYS_mprotect, address, length, libc::PROT_NONE)
}

/// Touches the first byte of every page that begins in the range; gives the number of pages.
pub(crate) fn touch(address: usize, length: usize, write: bool) -> i64 {
    let mut pages = 0;
    for at in (address..address + length).step_by(PAGE) {
        // SAFETY: the script names only memory it has mapped; atomics because threads may touch the same page.
        let byte = unsafe { AtomicU8::from_ptr(at as *mut u8) };
        if write {
            byte.store(1, Ordering::Relaxed);
        } else {
            std::hint::black_box(byte.load(Ordering::Relaxed));
        }
        pages += 1;
    }
    pages
}

/// read(2) into memory of BASE.
pub(crate) fn read_zeros(address: usize, length: usize) -> i64 {
    let fd = syscall!(libc::SYS_openat, libc::AT_FDCWD, c"/dev/zero".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC, 0);
    if fd < 0 {
        return fd;
    }
    let got = syscall!(libc::SYS_read, fd, address, length);
    syscall!(libc::SYS_close, fd);
    got
}

pub(crate) fn read(fd: i32, into: &mut [u8]) -> i64 {
    syscall!(libc::SYS_read, fd, into.as_mut_ptr(), into.len())
}

pub(crate) fn write_all(mut text: &[u8]) {
    while !text.is_empty() {
        let wrote = syscall!(libc::SYS_write, 1, text.as_ptr(), text.len());
        if wrote <= 0 {
            return;
        }
        text = &text[wrote as usize..];
    }
}

/// The break before and after.
pub(crate) fn move_break(delta: i64) -> (i64, i64) {
    let before = syscall!(libc::SYS_brk, 0);
    if delta == 0 {
        return (before, before);
    }
    (before, syscall!(libc::SYS_brk, before + delta))
}

/// Page cache charged to the caller's memory cgroup: written in pieces, then read.
pub(crate) fn fill_cache(path: &str, length: usize) -> i64 {
    static PIECE: [u8; 1 << 16] = [7; 1 << 16];
    let Ok(path) = CString::new(path) else { return -i64::from(libc::EINVAL) };
    let flags = libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC | libc::O_CLOEXEC;
    let fd = syscall!(libc::SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags, 0o600);
    if fd < 0 {
        return fd;
    }
    syscall!(libc::SYS_unlinkat, libc::AT_FDCWD, path.as_ptr(), 0);
    let mut wrote = 0;
    while wrote < length {
        let n = syscall!(libc::SYS_write, fd, PIECE.as_ptr(), PIECE.len());
        if n <= 0 {
            break;
        }
        wrote += n as usize;
    }
    syscall!(libc::SYS_close, fd);
    wrote as i64
}

pub(crate) fn exit(code: i32) -> ! {
    // SAFETY: ends the process at once.
    unsafe { libc::_exit(code) }
}

/// Runs `work` in a child; whether it ended with 0.
pub(crate) fn fork(work: impl FnOnce() -> bool) -> bool {
    // SAFETY: the child only makes system calls and ends with _exit.
    let child = unsafe { libc::fork() };
    if child == 0 {
        exit(i32::from(!work()));
    }
    child > 0 && ended_well(child)
}

/// fork + exec of this program with `each COMMANDS`; whether it ended with 0.
pub(crate) fn spawn(commands: &str) -> bool {
    let Ok(commands) = CString::new(commands) else { return false };
    let argv = [c"pages".as_ptr(), c"each".as_ptr(), commands.as_ptr(), std::ptr::null()];
    let envp = [std::ptr::null::<libc::c_char>()];
    fork(|| {
        syscall!(libc::SYS_execve, program().as_ptr(), argv.as_ptr(), envp.as_ptr());
        false
    })
}

fn ended_well(child: i32) -> bool {
    let mut status = 0_i32;
    loop {
        let got = syscall!(libc::SYS_wait4, child, &raw mut status, 0, std::ptr::null_mut::<libc::rusage>());
        if got != -i64::from(libc::EINTR) {
            return got == i64::from(child) && status == 0;
        }
    }
}
