//! Records what is read of a Go process into a file for the fuzzer (`tests/fuzz/corpus/{spans,goroutines}`):
//! `cargo run --example snapshot -- PID spans|goroutines FILE`.
use anyhow::{Context, bail};
use memtrace::goruntime::memory::{Piece, ReadMemory};
use memtrace::goruntime::{Globals, Runtime};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [pid, what, file] = &arguments[..] else { bail!("usage: snapshot PID spans|goroutines FILE") };
    let Runtime { version, layout, globals, read_by, wait_reasons, memory } =
        Runtime::attach(pid.parse().context("PID")?)?;
    let memory = Recorder { memory, read: RefCell::default() };
    let runtime = Runtime { version, layout, globals, read_by, wait_reasons, memory };
    if what == "spans" {
        runtime.spans()?;
        runtime.free_pages()?;
        runtime.metadata()?;
        runtime.mheap()?;
        runtime.p_caches()?;
    } else {
        runtime.validate()?;
        runtime.goroutines()?;
        runtime.heap_profile()?;
    }
    let mut bytes = vec![runtime.version.minor as u8, runtime.version.patch.unwrap_or(0) as u8, 0];
    for address in addresses(&runtime.globals) {
        bytes.extend(address.to_le_bytes());
    }
    let read = runtime.memory.read.into_inner().into_iter().collect::<Vec<_>>();
    for run in read.chunk_by(|(a, _), (b, _)| a + 1 == *b) {
        bytes.extend(run[0].0.to_le_bytes());
        bytes.extend((run.len() as u32).to_le_bytes());
        bytes.extend(run.iter().map(|(_, byte)| byte));
    }
    println!("{} bytes", bytes.len());
    Ok(std::fs::write(file, bytes)?)
}

/// In the order in which they are looked up.
fn addresses(globals: &Globals) -> Vec<u64> {
    let g = globals;
    let needed = [g.memstats, g.gc_controller, g.mheap, g.sched, g.allp, g.allgs];
    let others = [g.work, g.scavenge, g.gcphase, g.allm, g.mbuckets, g.mem_profile_rate, g.persistent_chunks];
    let rest = [g.gc_bits_arenas, g.buckhash];
    needed.into_iter().chain(others.into_iter().chain(rest).map(Option::unwrap_or_default)).collect()
}

/// Byte by byte: what is recorded is small.
struct Recorder<M> {
    memory: M,
    read: RefCell<BTreeMap<u64, u8>>,
}

impl<M: ReadMemory> ReadMemory for Recorder<M> {
    fn read_pieces(&self, pieces: &mut [Piece<'_>]) -> io::Result<()> {
        self.memory.read_pieces(pieces)?;
        for piece in pieces {
            self.read.borrow_mut().extend((piece.address..).zip(piece.buffer.iter().copied()));
        }
        Ok(())
    }

    fn is_touched(&self, address: u64) -> io::Result<bool> {
        self.memory.is_touched(address)
    }
}
