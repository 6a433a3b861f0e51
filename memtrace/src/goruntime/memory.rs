//! Reading another process's memory, and the six heap counters in it. The only room here with `unsafe`.
use std::io::{self, ErrorKind};

use super::spans::GO_PAGE_BYTES;
use crate::event::{GoCounters, GoHeap};

/// Highest user address on every supported machine (47 bits; arm64 with 48 bits still maps Go's heap below this).
const ADDRESS_SPACE_BYTES: u64 = 1 << 47;
/// The smallest of any system that Go runs on.
pub(super) const SYSTEM_PAGE_BYTES: u64 = 4 << 10;

/// To copy so much takes no longer than to begin anew at another page.
const NEAR_BYTES: u64 = 1 << 10;

/// Linux's UIO_MAXIOV: iovecs one call takes.
const IOVECS_MAX: usize = 1024;

/// Some bytes to be filled from an address.
#[derive(Debug)]
pub struct Piece<'a> {
    pub address: u64,
    pub buffer: &'a mut [u8],
}

/// The memory of a process, or of something that stands for one.
pub trait ReadMemory {
    /// Fills all pieces, in any order and leaving them in any, with as few system calls as the kernel allows (one up to 1024 pieces). Fails as a whole with
    /// EFAULT or `UnexpectedEof` when one of them is not mapped, ESRCH when the process is gone, EPERM when ptrace
    /// access to it is denied.
    fn read_pieces(&self, pieces: &mut [Piece<'_>]) -> io::Result<()>;

    fn read(&self, address: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.read_pieces(&mut [Piece { address, buffer }])
    }

    /// Whether the page around `address`, of anonymous memory, was ever written or read by the target. `false`: its
    /// bytes are zero, and reading them would add a page table entry to the target.
    fn is_touched(&self, address: u64) -> io::Result<bool> {
        let _ = address;
        Ok(true)
    }

    fn read_u64(&self, address: u64) -> io::Result<u64> {
        let mut bytes = [0; 8];
        self.read(address, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }
}

/// The memory of a live process by process_vm_readv: no stop, no write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessMemory {
    pub tgid: u32,
}

impl ReadMemory for ProcessMemory {
    fn read_pieces(&self, pieces: &mut [Piece<'_>]) -> io::Result<()> {
        if pieces.len() == 1 {
            return self.read_each(pieces);
        }
        pieces.sort_unstable_by_key(|piece| piece.address);
        pieces.chunks_mut(IOVECS_MAX).try_for_each(|pieces| self.read_by_page(pieces))
    }
}

impl ProcessMemory {
    /// By address. For the kernel to find a page takes longer than to copy it: what is on one page is read as one, or on two
    /// and not far apart, with what is between, which is there as well.
    fn read_by_page(&self, pieces: &mut [Piece<'_>]) -> io::Result<()> {
        let mut runs: Vec<(u64, u64)> = Vec::with_capacity(pieces.len());
        for piece in pieces.iter().filter(|piece| !piece.buffer.is_empty()) {
            let end = piece.address.checked_add(piece.buffer.len() as u64).ok_or(ErrorKind::InvalidInput)?;
            let together = |end: u64| {
                let page_end = (end - 1) | (SYSTEM_PAGE_BYTES - 1);
                let is_near = piece.address.saturating_sub(end) <= NEAR_BYTES;
                piece.address <= page_end || (is_near && piece.address <= page_end.saturating_add(SYSTEM_PAGE_BYTES))
            };
            match runs.last_mut() {
                Some(run) if together(run.1) => run.1 = run.1.max(end),
                _ => runs.push((piece.address, end)),
            }
        }
        let bytes = runs.iter().fold(0u64, |sum, (start, end)| sum.saturating_add(end - start));
        let mut buffer = vec![0; usize::try_from(bytes).map_err(|_| ErrorKind::InvalidInput)?];
        let (mut rest, mut read) = (buffer.as_mut_slice(), Vec::with_capacity(runs.len()));
        for (start, end) in &runs {
            let (run, after) = std::mem::take(&mut rest).split_at_mut((end - start) as usize);
            rest = after;
            read.push(Piece { address: *start, buffer: run });
        }
        self.read_each(&mut read)?;
        let mut runs = read.iter().peekable();
        for piece in pieces.iter_mut().filter(|piece| !piece.buffer.is_empty()) {
            while runs.next_if(|run| run.address + run.buffer.len() as u64 <= piece.address).is_some() {}
            let run = runs.peek().and_then(|run| run.buffer.get((piece.address - run.address) as usize..));
            let bytes = run.and_then(|run| run.get(..piece.buffer.len())).ok_or(ErrorKind::UnexpectedEof)?;
            piece.buffer.copy_from_slice(bytes);
        }
        Ok(())
    }

    /// As they are, with one call for up to 1024.
    fn read_each(&self, pieces: &mut [Piece<'_>]) -> io::Result<()> {
        let pid = libc::pid_t::try_from(self.tgid).map_err(|_| ErrorKind::InvalidInput)?;
        for batch in pieces.chunks_mut(IOVECS_MAX) {
            let mut wanted = 0;
            let (mut local, mut remote) = (Vec::with_capacity(batch.len()), Vec::with_capacity(batch.len()));
            for piece in batch {
                let (start, iov_len) = (usize::try_from(piece.address), piece.buffer.len());
                let iov_base = start.map_err(|_| ErrorKind::InvalidInput)? as *mut libc::c_void;
                local.push(libc::iovec { iov_base: piece.buffer.as_mut_ptr().cast(), iov_len });
                remote.push(libc::iovec { iov_base, iov_len });
                wanted += iov_len;
            }
            let count = local.len() as libc::c_ulong;
            // SAFETY: both lists outlive the call and hold `count` iovecs. The kernel writes at most `iov_len` bytes to
            // each local one, which is exactly an exclusively borrowed buffer; the remote ones are addresses in another
            // process, checked there.
            let read = unsafe { libc::process_vm_readv(pid, local.as_ptr(), count, remote.as_ptr(), count, 0) };
            match usize::try_from(read) {
                Ok(bytes) if bytes == wanted => {}
                Ok(_) => return Err(ErrorKind::UnexpectedEof.into()),
                Err(_) => return Err(io::Error::last_os_error()),
            }
        }
        Ok(())
    }
}

/// The six counters at `GoProcess::counters_address`, in one read; each is exact, the set may be torn by a running
/// target (at most 128 KiB on a heap of 800 MB under full load).
pub fn read_counters(tgid: u32, address: u64) -> io::Result<GoCounters> {
    let mut bytes = [0u8; 48];
    ProcessMemory { tgid }.read(address, &mut bytes)?;
    let mut words = [0u64; 6];
    for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = chunk.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte));
    }
    let [heap_inuse_bytes, heap_released_bytes, heap_free_bytes, total_alloc_bytes, total_free_bytes, mapped] = words;
    Ok(GoCounters {
        heap_inuse_bytes,
        heap_released_bytes,
        heap_free_bytes,
        total_alloc_bytes,
        total_free_bytes,
        mapped_ready_bytes: mapped,
    })
}

/// HeapInuse, HeapIdle and HeapReleased as `runtime.MemStats` defines them (Go mstats.go: idle includes released).
pub fn heap(counters: &GoCounters) -> GoHeap {
    GoHeap {
        inuse_bytes: counters.heap_inuse_bytes,
        idle_bytes: counters.heap_free_bytes.saturating_add(counters.heap_released_bytes),
        released_bytes: counters.heap_released_bytes,
    }
}

/// Whether these can be the counters of a Go heap; `Err` is the reason why not. A heap not yet initialised (all zero)
/// can. Also wrong for a moment while the target runs, so ask again before believing a refusal.
pub fn check(counters: &GoCounters) -> Result<(), String> {
    let c = counters;
    let parts = [c.heap_inuse_bytes, c.heap_released_bytes, c.heap_free_bytes];
    let sum = parts.iter().fold(0u64, |sum, part| sum.saturating_add(*part));
    let broken = if sum >= ADDRESS_SPACE_BYTES || c.mapped_ready_bytes >= ADDRESS_SPACE_BYTES {
        "heap larger than the address space"
    } else if !c.heap_inuse_bytes.is_multiple_of(GO_PAGE_BYTES) {
        "heapInUse is not whole Go pages"
    } else if !(c.heap_released_bytes | c.heap_free_bytes).is_multiple_of(SYSTEM_PAGE_BYTES) {
        "heapReleased or heapFree is not whole pages"
    } else if c.mapped_ready_bytes < c.heap_inuse_bytes {
        "mappedReady is less than heapInUse"
    } else if c.total_alloc_bytes < c.total_free_bytes {
        "totalAlloc is less than totalFree"
    } else {
        return Ok(());
    };
    Err(format!("implausible heap counters: {broken}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAUSIBLE: GoCounters = GoCounters {
        heap_inuse_bytes: 8192 * 100,
        heap_released_bytes: 8192 * 7,
        heap_free_bytes: 8192 * 3,
        total_alloc_bytes: 1_000_000,
        total_free_bytes: 900_000,
        mapped_ready_bytes: 8192 * 200,
    };

    #[test]
    fn own_memory_is_read_exactly() {
        let words: [u64; 6] = [8192, 4096, 16384, 7, 5, 32768];
        let c = read_counters(std::process::id(), words.as_ptr() as u64).unwrap();
        assert_eq!((c.heap_inuse_bytes, c.total_free_bytes, c.mapped_ready_bytes), (8192, 5, 32768));
        assert_eq!(heap(&c), GoHeap { inuse_bytes: 8192, idle_bytes: 20480, released_bytes: 4096 });
        assert!(check(&c).is_ok());
    }

    #[test]
    fn pieces_are_read_by_page_wherever_they_are() {
        // Over several pages: apart, adjacent, overlapping, the same, over a border, none at all.
        let own: Vec<u8> = (0..40_000u32).map(|at| (at * 31 + at / 256) as u8).collect();
        let of = [(7, 5), (30_000, 9_000), (12, 8), (0, 0), (4_090, 20), (4_100, 1), (15, 2), (15, 2), (39_999, 1)];
        let mut buffers: Vec<Vec<u8>> = of.iter().map(|(_, bytes)| vec![0; *bytes]).collect();
        let at = own.as_ptr() as u64;
        let pieces = of.iter().zip(&mut buffers).map(|((offset, _), buffer)| Piece { address: at + offset, buffer });
        let memory = ProcessMemory { tgid: std::process::id() };
        memory.read_pieces(&mut pieces.collect::<Vec<_>>()).unwrap();
        for ((offset, bytes), buffer) in of.iter().zip(&buffers) {
            assert_eq!(buffer, &own[*offset as usize..][..*bytes], "{bytes} at {offset}");
        }
        let (mut there, mut not_there, mut beyond) = ([0; 8], [0; 8], [0; 8]);
        let mut both = [Piece { address: at, buffer: &mut there }, Piece { address: 8, buffer: &mut not_there }];
        assert!(memory.read_pieces(&mut both).is_err());
        let mut both =
            [Piece { address: at, buffer: &mut there }, Piece { address: u64::MAX - 3, buffer: &mut beyond }];
        assert!(memory.read_pieces(&mut both).is_err());
        assert!(memory.read_pieces(&mut []).is_ok());
    }

    #[test]
    fn unmapped_memory_and_dead_processes_are_errors() {
        assert!(read_counters(std::process::id(), 8).is_err());
        assert!(read_counters(std::process::id(), u64::MAX - 8).is_err());
        let gone = read_counters(i32::MAX as u32, 4096).unwrap_err();
        assert_eq!(gone.raw_os_error(), Some(libc::ESRCH));
        assert!(read_counters(u32::MAX, 4096).is_err());
    }

    #[test]
    fn each_implausible_counter_is_refused() {
        assert!(check(&PLAUSIBLE).is_ok());
        let wrong = [
            GoCounters { heap_inuse_bytes: 8193, ..PLAUSIBLE },
            GoCounters { heap_released_bytes: 100, ..PLAUSIBLE },
            GoCounters { heap_released_bytes: !4095, ..PLAUSIBLE },
            GoCounters { heap_free_bytes: 1, ..PLAUSIBLE },
            GoCounters { total_alloc_bytes: 1, ..PLAUSIBLE },
            GoCounters { mapped_ready_bytes: 8192, ..PLAUSIBLE },
            GoCounters { mapped_ready_bytes: 1 << 50, ..PLAUSIBLE },
        ];
        for counters in wrong {
            assert!(check(&counters).is_err(), "{counters:?}");
        }
    }
}
