//! The load of `cargo xtask bench`: reads one order a line, answers one line. Every figure is the median of batches, in
//! CPU time of the calling thread, so that other work on the machine counts as little as it can.
//!
//! It also holds what the bench compares with: the cheapest possible programs on both madvise tracepoints.

use std::ffi::{CStr, c_void};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};
use std::{fs, io, ptr, thread};

use anyhow::{Context, Result, bail};
use memtrace_tests::obey;

const PAGE: usize = 4096;
const BATCHES: u64 = 10;

fn main() -> Result<()> {
    let mut state = State::default();
    obey(|words| state.order(words))
}

#[derive(Default)]
struct State {
    empty: Vec<OwnedFd>,
    statistics: Option<OwnedFd>,
}

impl State {
    fn order(&mut self, words: &[&str]) -> Result<String> {
        let number = |i: usize| -> Result<u64> { Ok(words.get(i).context("a number is missing")?.parse()?) };
        match *words.first().unwrap_or(&"") {
            "madvise" => {
                let page = Region::new(PAGE)?;
                Ok(batches(number(1)?, || page.drop_pages(PAGE)).to_string())
            }
            "getppid" => {
                // SAFETY: no arguments.
                let call = || unsafe { libc::syscall(libc::SYS_getppid) };
                Ok(batches(number(1)?, || _ = call()).to_string())
            }
            "touch" => touch(number(1)? as usize, number(2)?, words.get(3).copied().unwrap_or("")),
            "flood" => flood(number(1)?, number(2)?, number(3)? as usize, number(4)?),
            "threads" => {
                for _ in 0..number(1)? {
                    thread::spawn(|| thread::sleep(Duration::from_secs(86400)));
                }
                Ok(String::new())
            }
            "empty" => {
                self.empty.clear();
                if words.get(1) == Some(&"on") {
                    self.empty.extend(attach_empty(c"empty_in", "sys_enter_madvise")?);
                    self.empty.extend(attach_empty(c"empty_out", "sys_exit_madvise")?);
                }
                Ok(String::new())
            }
            "statistics" => {
                self.statistics = None;
                if words.get(1) == Some(&"on") {
                    self.statistics = Some(bpf_fd(BPF_ENABLE_STATS, &mut [0u32; 16])?);
                }
                Ok(String::new())
            }
            "host" => {
                // Program ids only grow: the next one says whether anybody loaded something since the last time.
                let epoch = info(load_empty(c"epoch")?.as_raw_fd())?.id;
                let tracers = programs().iter().filter(|p| p.name == "madvise_in").count();
                Ok(format!("{epoch} {tracers}"))
            }
            "programs" => {
                let all = programs();
                let one = |p: &Info| format!("{}:{}:{}:{}", p.id, p.name, p.runs, p.run_ns);
                Ok(all.iter().map(one).collect::<Vec<_>>().join(" "))
            }
            other => bail!("unknown order {other:?}"),
        }
    }
}

/// ns of CPU time per call: the median of equal batches.
fn batches(calls: u64, mut call: impl FnMut()) -> f64 {
    let each = (calls / BATCHES).max(1);
    (0..each / 10).for_each(|_| call());
    median((0..BATCHES).map(|_| timed(|| (0..each).for_each(|_| call())) / each as f64).collect())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn timed(work: impl FnOnce()) -> f64 {
    let start = cpu_ns();
    work();
    (cpu_ns() - start) as f64
}

fn cpu_ns() -> u64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `t` is a valid timespec; this clock exists since Linux 2.6.12.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut t) };
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

/// Anonymous memory without huge pages.
struct Region {
    start: *mut u8,
    bytes: usize,
}

impl Region {
    fn new(bytes: usize) -> Result<Self> {
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping, unmapped by Drop.
        let start = unsafe { libc::mmap(ptr::null_mut(), bytes, access, kind, -1, 0) };
        if start == libc::MAP_FAILED {
            bail!("mmap: {}", io::Error::last_os_error());
        }
        // SAFETY: our own mapping; a kernel without huge pages refuses, which is as good.
        unsafe { libc::madvise(start, bytes, libc::MADV_NOHUGEPAGE) };
        Ok(Self { start: start.cast(), bytes })
    }

    fn touch(&self) {
        for offset in (0..self.bytes).step_by(PAGE) {
            // SAFETY: within the mapping, which nobody else uses.
            unsafe { self.start.add(offset).write_volatile(1) };
        }
    }

    /// MADV_DONTNEED of the first `bytes`.
    fn drop_pages(&self, bytes: usize) {
        // SAFETY: within our own mapping, whose contents nobody needs.
        unsafe { libc::madvise(self.start.cast(), bytes, libc::MADV_DONTNEED) };
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: our own mapping, used no more.
        unsafe { libc::munmap(self.start.cast(), self.bytes) };
    }
}

/// ns per page of a touch loop. `fresh`: pages never returned; `beside`: the same while another page of the process is
/// returned and outstanding; `again`: every page was returned before.
fn touch(pages: usize, rounds: u64, how: &str) -> Result<String> {
    let mut values = Vec::new();
    let per_page = |region: &Region| timed(|| region.touch()) / pages as f64;
    match how {
        "fresh" | "beside" => {
            let held = Region::new(PAGE)?;
            if how == "beside" {
                held.touch();
                held.drop_pages(PAGE);
            }
            for _ in 0..rounds {
                values.push(per_page(&Region::new(pages * PAGE)?));
            }
        }
        "again" => {
            let region = Region::new(pages * PAGE)?;
            region.touch();
            for _ in 0..rounds {
                region.drop_pages(region.bytes);
                values.push(per_page(&region));
            }
        }
        other => bail!("unknown way to touch {other:?}"),
    }
    Ok(median(values).to_string())
}

/// madvise(DONTNEED) of `length` bytes from `threads` threads, the caller one of them; `rate` calls a second of each, 0:
/// flat out. Answers the calls made and the ns it took.
fn flood(millis: u64, rate: u64, length: usize, threads: u64) -> Result<String> {
    let start = Instant::now();
    let others: Vec<_> = (1..threads).map(|_| thread::spawn(move || produce(start, millis, rate, length))).collect();
    let mut calls = produce(start, millis, rate, length)?;
    for thread in others {
        calls += thread.join().map_err(|_| anyhow::anyhow!("a producer died"))??;
    }
    Ok(format!("{calls} {}", start.elapsed().as_nanos()))
}

fn produce(start: Instant, millis: u64, rate: u64, length: usize) -> Result<u64> {
    const LOOK: u64 = 256;
    let page = Region::new(PAGE)?;
    let mut calls = 0;
    loop {
        let passed = start.elapsed();
        if passed.as_millis() as u64 >= millis {
            return Ok(calls);
        }
        let due =
            if rate == 0 { calls + LOOK } else { (passed.as_nanos() as u64).saturating_mul(rate) / 1_000_000_000 };
        // What a preempted producer is behind it makes up for in small steps, as a real one would.
        let step = due.saturating_sub(calls).min(LOOK);
        (0..step).for_each(|_| page.drop_pages(length));
        calls += step;
    }
}

const BPF_PROG_LOAD: i64 = 5;
const BPF_PROG_GET_NEXT_ID: i64 = 11;
const BPF_PROG_GET_FD_BY_ID: i64 = 13;
const BPF_OBJ_GET_INFO_BY_FD: i64 = 15;
const BPF_ENABLE_STATS: i64 = 32;

fn bpf(command: i64, attributes: &mut [u32]) -> io::Result<i64> {
    // SAFETY: the attributes are ours and as long as said; what they point to outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attributes.as_mut_ptr(), size_of_val(attributes)) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn bpf_fd(command: i64, attributes: &mut [u32]) -> io::Result<OwnedFd> {
    let fd = bpf(command, attributes)?;
    // SAFETY: a descriptor the kernel just made for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

fn put_pointer(attributes: &mut [u32], at: usize, pointer: *const c_void) {
    let bits = pointer as u64;
    (attributes[at], attributes[at + 1]) = (bits as u32, (bits >> 32) as u32);
}

/// The smallest program there is: `r0 = 0; exit`.
fn load_empty(name: &CStr) -> Result<OwnedFd> {
    const PROGRAM: [u64; 2] = [0xb7, 0x95];
    const TRACEPOINT: u32 = 5;
    let mut attributes = [0u32; 16];
    (attributes[0], attributes[1]) = (TRACEPOINT, PROGRAM.len() as u32);
    put_pointer(&mut attributes, 2, PROGRAM.as_ptr().cast());
    put_pointer(&mut attributes, 4, c"GPL".as_ptr().cast());
    for (i, byte) in name.to_bytes().iter().enumerate() {
        attributes[12 + i / 4] |= u32::from(*byte) << (i % 4 * 8);
    }
    bpf_fd(BPF_PROG_LOAD, &mut attributes).context("cannot load a program")
}

/// An empty program on a system call tracepoint, for all processes.
fn attach_empty(name: &CStr, event: &str) -> Result<[OwnedFd; 2]> {
    const SET_BPF: libc::c_ulong = 0x4004_2408;
    const ENABLE: libc::c_ulong = 0x2400;
    const CLOEXEC: libc::c_ulong = 8;
    let program = load_empty(name)?;
    let path = format!("/sys/kernel/tracing/events/syscalls/{event}/id");
    let id: u64 = fs::read_to_string(&path).with_context(|| path.clone())?.trim().parse()?;
    // struct perf_event_attr: type (tracepoint) and size, config, sample_period.
    let mut attributes = [0u64; 14];
    attributes[0] = 2 | (size_of_val(&attributes) as u64) << 32;
    (attributes[1], attributes[2]) = (id, 1);
    // SAFETY: a perf_event_attr of the size it names; any process, CPU 0 (a program runs on all of them), no group.
    let fd = unsafe { libc::syscall(libc::SYS_perf_event_open, attributes.as_ptr(), -1, 0, -1, CLOEXEC) };
    if fd < 0 {
        bail!("perf_event_open: {}", io::Error::last_os_error());
    }
    // SAFETY: a descriptor the kernel just made for us.
    let perf = unsafe { OwnedFd::from_raw_fd(fd as i32) };
    // SAFETY: both take plain numbers.
    let failed = unsafe {
        libc::ioctl(perf.as_raw_fd(), SET_BPF, program.as_raw_fd()) < 0 || libc::ioctl(perf.as_raw_fd(), ENABLE, 0) < 0
    };
    if failed {
        bail!("cannot attach to {event}: {}", io::Error::last_os_error());
    }
    Ok([perf, program])
}

struct Info {
    id: u32,
    name: String,
    run_ns: u64,
    runs: u64,
}

/// `struct bpf_prog_info`, as far as run_cnt.
fn info(fd: i32) -> io::Result<Info> {
    let mut raw = [0u64; 26];
    let mut attributes = [0u32; 4];
    (attributes[0], attributes[1]) = (fd as u32, size_of_val(&raw) as u32);
    put_pointer(&mut attributes, 2, raw.as_mut_ptr().cast());
    bpf(BPF_OBJ_GET_INFO_BY_FD, &mut attributes)?;
    let name: Vec<u8> = raw[8..10].iter().flat_map(|word| word.to_le_bytes()).take_while(|b| *b != 0).collect();
    let name = String::from_utf8_lossy(&name).replace([' ', ':'], "_");
    Ok(Info { id: (raw[0] >> 32) as u32, name, run_ns: raw[24], runs: raw[25] })
}

/// All programs of the host; one that goes meanwhile is left out.
fn programs() -> Vec<Info> {
    let mut all = Vec::new();
    let mut attributes = [0u32; 4];
    while bpf(BPF_PROG_GET_NEXT_ID, &mut attributes).is_ok() {
        let id = attributes[1];
        attributes = [id, 0, 0, 0];
        if let Ok(fd) = bpf_fd(BPF_PROG_GET_FD_BY_ID, &mut attributes)
            && let Ok(info) = info(fd.as_raw_fd())
        {
            all.push(info);
        }
        attributes = [id, 0, 0, 0];
    }
    all
}
