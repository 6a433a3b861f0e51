//! The commands. OFF and LEN are bytes, or pages with a `p` behind; OFF counts from `BASE`, or is an absolute `@0x...`.
//!
//!     mmap OFF LEN [none|shared]       anonymous memory exactly there, private; refuses to replace a mapping
//!     over OFF LEN                     the same with MAP_FIXED, over whatever is there
//!     munmap OFF LEN
//!     mremap OFF OLD NEW [TO]          in place, or moved to TO
//!     madvise OFF LEN ADVICE           ADVICE by name or number
//!     pmadvise OFF LEN ADVICE          process_madvise of itself
//!     write OFF LEN | read OFF LEN     touches the first byte of every page
//!     sysread OFF LEN                  read(2) from /dev/zero into it: the kernel faults
//!     mlock OFF LEN
//!     forbid OFF LEN                   mprotect with PROT_NONE
//!     brk DELTA                        moves the break by that many bytes; `extra` is the break before
//!     repeat N CMD                     CMD N times; `result` is the last one's, or the first failure
//!     spawn N CMD, CMD                 N times fork + exec of itself with these commands, one child after the other
//!     fork N CMD, CMD                  the same without exec
//!     cache PATH LEN                   writes LEN bytes to an unlinked file at PATH and reads them back
//!     exit CODE                        _exit
use crate::calls;

/// 16 TiB: free on every x86-64 and arm64 layout, and the start of a 2 MiB chunk.
const BASE: usize = 0x1000_0000_0000;
const PAGE: usize = 4096;
const EINVAL: i64 = 22;

/// What a command was about.
#[derive(Clone, Copy, Default)]
pub(crate) struct Numbers {
    pub(crate) address: usize,
    pub(crate) length: usize,
    /// brk: the break before; mremap: the new length; madvise: the advice.
    pub(crate) extra: i64,
}

/// What came of it.
#[derive(Clone, Copy, Default)]
pub(crate) struct Done {
    pub(crate) op: &'static str,
    pub(crate) numbers: Numbers,
    /// The system call's, negative is -errno. Touching: pages touched. Processes: how many ended with 0.
    pub(crate) result: i64,
    pub(crate) calls: u64,
}

const ADVICE: &[(&str, i32)] = &[
    ("willneed", libc::MADV_WILLNEED),
    ("dontneed", libc::MADV_DONTNEED),
    ("free", libc::MADV_FREE),
    ("hugepage", libc::MADV_HUGEPAGE),
    ("nohugepage", libc::MADV_NOHUGEPAGE),
    ("cold", libc::MADV_COLD),
    ("pageout", libc::MADV_PAGEOUT),
    ("populate_write", libc::MADV_POPULATE_WRITE),
    ("dontneed_locked", libc::MADV_DONTNEED_LOCKED),
];

fn advice(text: &str) -> Option<i32> {
    ADVICE.iter().find(|(name, _)| *name == text).map(|(_, value)| *value).or_else(|| text.parse().ok())
}

fn bytes(text: &str) -> Option<usize> {
    match text.strip_suffix('p') {
        Some(pages) => pages.parse::<usize>().ok().map(|pages| pages * PAGE),
        None => text.parse().ok(),
    }
}

fn place(text: &str) -> Option<usize> {
    match text.strip_prefix("@0x") {
        Some(hex) => usize::from_str_radix(hex, 16).ok(),
        None => bytes(text).map(|offset| BASE + offset),
    }
}

/// Does one command; what cannot be understood is EINVAL with op "unknown".
pub(crate) fn execute(command: &str) -> Done {
    try_execute(command).unwrap_or(Done { op: "unknown", result: -EINVAL, ..Done::default() })
}

fn try_execute(command: &str) -> Option<Done> {
    let (word, rest) = command.split_once(' ').unwrap_or((command, ""));
    match word {
        "repeat" | "spawn" | "fork" => {
            let (count, list) = rest.split_once(' ')?;
            return many(word, count.parse().ok()?, list);
        }
        "cache" => {
            let (path, length) = rest.split_once(' ')?;
            let length = bytes(length)?;
            let numbers = Numbers { length, ..Numbers::default() };
            return Some(Done { op: "cache", numbers, result: calls::fill_cache(path, length), calls: 1 });
        }
        "brk" => {
            let (before, result) = calls::move_break(rest.parse().ok()?);
            let numbers = Numbers { extra: before, ..Numbers::default() };
            return Some(Done { op: "brk", numbers, result, calls: 1 });
        }
        "exit" => calls::exit(rest.parse().ok()?),
        "ping" => return Some(Done { op: "ping", ..Done::default() }),
        _ => {}
    }
    let mut words = rest.split_whitespace();
    let (address, length) = (place(words.next()?)?, bytes(words.next()?)?);
    let mut numbers = Numbers { address, length, extra: 0 };
    let (op, result) = match word {
        "mmap" => ("mmap", calls::mmap(address, length, words.next(), libc::MAP_FIXED_NOREPLACE)),
        "over" => ("over", calls::mmap(address, length, None, libc::MAP_FIXED)),
        "munmap" => ("munmap", calls::munmap(address, length)),
        "mremap" => {
            let new = bytes(words.next()?)?;
            numbers.extra = new as i64;
            let to = match words.next() {
                Some(to) => Some(place(to)?),
                None => None,
            };
            ("mremap", calls::mremap(address, length, new, to))
        }
        "madvise" => {
            let advice = advice(words.next()?)?;
            numbers.extra = advice.into();
            ("madvise", calls::madvise(address, length, advice))
        }
        "pmadvise" => {
            let advice = advice(words.next()?)?;
            numbers.extra = advice.into();
            ("pmadvise", calls::process_madvise(address, length, advice))
        }
        "write" => ("write", calls::touch(address, length, true)),
        "read" => ("read", calls::touch(address, length, false)),
        "sysread" => ("sysread", calls::read_zeros(address, length)),
        "mlock" => ("mlock", calls::mlock(address, length)),
        "forbid" => ("forbid", calls::forbid(address, length)),
        _ => return None,
    };
    Some(Done { op, numbers, result, calls: 1 })
}

fn many(word: &str, count: u64, list: &str) -> Option<Done> {
    let mut done = Done::default();
    match word {
        "repeat" => {
            for n in 1..=count {
                done = execute(list);
                done.calls = n;
                if done.result < 0 {
                    break;
                }
            }
            return Some(done);
        }
        "spawn" => done.op = "spawn",
        _ => done.op = "fork",
    }
    for _ in 0..count {
        let ended = if word == "spawn" { calls::spawn(list) } else { calls::fork(|| run_list(list)) };
        done.calls += 1;
        done.result += i64::from(ended);
    }
    Some(done)
}

/// Stops at the first failure.
pub(crate) fn run_list(list: &str) -> bool {
    list.split(',').all(|command| execute(command.trim()).result >= 0)
}
