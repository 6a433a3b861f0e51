//! What the kernel itself says about a process, exactly: page tables, not counters.
use std::collections::HashSet;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;

const PAGE: u64 = 4096;
const PRESENT: u64 = 1 << 63;

/// Where each of its threads is in the kernel, for whoever asks why it hangs.
pub(crate) fn whereabouts(pid: u32) -> String {
    let of = |task: &fs::DirEntry, name| fs::read_to_string(task.path().join(name)).unwrap_or_default();
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let whereabouts = tasks.map(|task| {
        let (comm, syscall, stack) = (of(&task, "comm"), of(&task, "syscall"), of(&task, "stack"));
        let stack: Vec<_> = stack.lines().filter_map(|line| line.split_whitespace().last()).collect();
        format!("{} {}: system call {}: {}", task.file_name().display(), comm.trim(), syscall.trim(), stack.join(" < "))
    });
    whereabouts.collect::<Vec<_>>().join("\n")
}

/// Of how many files it may have open, and how many it may allow itself.
#[track_caller]
pub fn open_files_limits(pid: u32) -> [u64; 2] {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).expect("limits");
    let files = limits.lines().find_map(|line| line.strip_prefix("Max open files")).expect("a limit");
    let words: Vec<&str> = files.split_whitespace().collect();
    assert_eq!((words.len(), words[2]), (3, "files"), "{files}");
    [words[0], words[1]].map(|limit| limit.parse().expect("a number"))
}

/// Pages of the range that are mapped to memory, the zero page included.
#[track_caller]
pub fn resident_pages(pid: u32, address: u64, pages: u64) -> u64 {
    let path = format!("/proc/{pid}/pagemap");
    let file = File::open(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut entries = vec![0; 8 * pages as usize];
    file.read_exact_at(&mut entries, address / PAGE * 8).unwrap_or_else(|error| panic!("{path}: {error}"));
    entries.chunks_exact(8).filter(|entry| is_present(entry)).count() as u64
}

/// Addresses of all pages of the process that are mapped to memory of their own.
#[track_caller]
pub fn present_pages(pid: u32) -> HashSet<u64> {
    let maps = format!("/proc/{pid}/maps");
    let maps = fs::read_to_string(&maps).unwrap_or_else(|error| panic!("{maps}: {error}"));
    let path = format!("/proc/{pid}/pagemap");
    let file = File::open(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let (mut present, zero) = (HashSet::new(), zero_frame());
    for line in maps.lines().filter(|line| !line.ends_with("[vsyscall]")) {
        let (start, end) = line.split_once(' ').and_then(|(range, _)| range.split_once('-')).expect("a range");
        let hex = |text| u64::from_str_radix(text, 16).expect("an address");
        let (start, end) = (hex(start), hex(end));
        let mut entries = vec![0; ((end - start) / PAGE * 8) as usize];
        file.read_exact_at(&mut entries, start / PAGE * 8).unwrap_or_else(|error| panic!("{path}: {error}"));
        let pages = entries.chunks_exact(8).zip((start..end).step_by(PAGE as usize));
        let memory = pages.filter(|(entry, _)| is_present(entry) && frame(entry) != zero);
        present.extend(memory.map(|(_, address)| address));
    }
    present
}

/// The frame of the zero page, which is mapped where memory was read before it was written, and is no memory.
fn zero_frame() -> u64 {
    let (length, flags) = (PAGE as usize, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping, read once and unmapped.
    let entry = unsafe {
        let page = libc::mmap(std::ptr::null_mut(), length, libc::PROT_READ, flags, -1, 0);
        assert_ne!(page, libc::MAP_FAILED, "a page");
        std::hint::black_box(page.cast::<u8>().read_volatile());
        let mut entry = [0; 8];
        let own = File::open("/proc/self/pagemap").expect("pagemap");
        own.read_exact_at(&mut entry, page as u64 / PAGE * 8).expect("an entry");
        libc::munmap(page, length);
        entry
    };
    assert!(is_present(&entry) && frame(&entry) != 0, "root sees frames");
    frame(&entry)
}

/// Bits 0 to 54 of a present page.
fn frame(entry: &[u8]) -> u64 {
    u64::from_ne_bytes(entry.try_into().expect("8 bytes")) & ((1 << 55) - 1)
}

fn is_present(entry: &[u8]) -> bool {
    u64::from_ne_bytes(entry.try_into().expect("8 bytes")) & PRESENT != 0
}

/// One line of smaps_rollup, in bytes.
#[track_caller]
pub fn rollup(pid: u32, line: &str) -> u64 {
    field(&format!("/proc/{pid}/smaps_rollup"), line)
}

/// RSS counted from the page tables.
#[track_caller]
pub fn rss_bytes(pid: u32) -> u64 {
    rollup(pid, "Rss")
}

/// One line of /proc/PID/status, in bytes.
#[track_caller]
pub fn status_bytes(pid: u32, line: &str) -> u64 {
    field(&format!("/proc/{pid}/status"), line)
}

#[track_caller]
fn field(path: &str, line: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let found = text.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(':')?.trim().strip_suffix(" kB"));
    let kilobytes: u64 = found.and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("no {line} in {path}"));
    kilobytes * 1024
}

#[track_caller]
pub fn comm(pid: u32) -> String {
    let path = format!("/proc/{pid}/comm");
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}")).trim_end().to_owned()
}

/// How many file descriptors the process has open.
#[track_caller]
pub fn open_files(pid: u32) -> usize {
    let path = format!("/proc/{pid}/fd");
    fs::read_dir(&path).unwrap_or_else(|error| panic!("{path}: {error}")).count()
}

/// The letter of its state (`T`: stopped); `None` when it is gone.
pub fn process_state(pid: u32) -> Option<char> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    text.rsplit_once(") ")?.1.chars().next()
}

/// Its children, whichever of its threads started them, theirs, and so on: parents first.
pub fn descendants(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let texts = threads.map(|thread| fs::read_to_string(thread.path().join("children")).unwrap_or_default());
    let children =
        texts.flat_map(|text| text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>());
    children.flat_map(|child| std::iter::once(child).chain(descendants(child))).collect()
}
