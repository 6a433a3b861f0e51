//! Whether a located runtime is what it is taken for: relations that hold in every Go process, and in no other memory.
use super::bytes::Bytes;
use super::mcache::{SPAN_CLASSES, having};
use super::memory::ReadMemory;
use super::runtime::{Runtime, RuntimeError};
use super::sample::implausible;
use super::spans::GO_PAGE_BYTES;
use super::statics::{pointers, words};

/// A set of counters torn by the running target is read again, so many times at most.
const ATTEMPTS: usize = 3;

/// Of the first goroutines in the list: those of the runtime itself are among them.
const GOROUTINES_CHECKED: u64 = 16;
/// No process has started more goroutines than this: a million a second for a year.
const IDS_MAX: u64 = 1 << 45;

impl<M: ReadMemory> Runtime<M> {
    /// Layout and addresses against the live process. `NotStarted`: it has not yet set up its heap.
    pub fn validate(&self) -> Result<(), RuntimeError> {
        let mut verdict = Ok(());
        for _ in 0..ATTEMPTS {
            verdict = self.structures().and_then(|()| self.sampler()?.sample(self).map(drop));
            if matches!(verdict, Ok(()) | Err(RuntimeError::Gone | RuntimeError::NotPermitted)) {
                break;
            }
        }
        verdict
    }

    fn structures(&self) -> Result<(), RuntimeError> {
        let (memory, layout, globals) = (&self.memory, &*self.layout, &self.globals);
        let at = |base: u64, offset: u32| base.saturating_add(offset.into());
        let word = |address: u64| memory.read_u64(address);
        let slice = |address: u64| Ok::<_, RuntimeError>((word(address)?, word(at(address, 8))?));

        // The runtime itself says how large its structures are.
        let fixalloc = |list: u32| at(globals.mheap, list);
        let (spans, caches) = (fixalloc(layout.mheap.spanalloc), fixalloc(layout.mheap.cachealloc));
        let (span_bytes, cache_bytes) =
            (word(at(spans, layout.fixalloc.size))?, word(at(caches, layout.fixalloc.size))?);
        let all_gs = slice(globals.allgs)?;
        // The goroutine of main is made when all else is set up.
        if all_gs.1 == 0 {
            return Err(RuntimeError::NotStarted);
        }
        same("the size of a span", span_bytes, layout.mspan.bytes.into())?;
        same("the size of a P's cache", cache_bytes, layout.mcache.bytes.into())?;
        let caches_bytes = word(at(caches, layout.fixalloc.inuse))?;

        let ps = self.ps()?;
        for (index, id) in self.of_each(&ps, layout.p.id, 4)?.chunks_exact(4).enumerate() {
            same("the id of a P", Bytes(id).u32(0)?.into(), index as u64)?;
        }
        self.goroutine_ids(all_gs)?;
        self.span_caches(&ps, caches_bytes)?;

        let all_spans = slice(at(globals.mheap, layout.mheap.allspans))?;
        let first = word(all_spans.0)?;
        let mut span = vec![0; layout.mspan.bytes as usize];
        memory.read(first, &mut span)?;
        let start = Bytes(&span).u64(layout.mspan.start_addr)?;
        let pages = Bytes(&span).u64(layout.mspan.npages)?;
        if !start.is_multiple_of(GO_PAGE_BYTES) || pages > 1 << 34 {
            return Err(implausible("the first span is none"));
        }
        let pages = word(at(globals.mheap, layout.mheap.pages_in_use))?;
        let in_use = word(at(globals.gc_controller, layout.gc.heap_in_use))?;
        let gap = pages.saturating_mul(GO_PAGE_BYTES).abs_diff(in_use);
        // Read one after the other: the target allocates in between.
        if gap > (in_use / 16).max(4 << 20) {
            return Err(implausible(&format!("{pages} pages in use are not the {in_use} bytes in use")));
        }
        Ok(())
    }

    /// No two goroutines have the same id; 0 while one is being made. The first in the list is main's, 1, until that
    /// ends, as in a library: then the next that starts gets its place.
    fn goroutine_ids(&self, (list, length): (u64, u64)) -> Result<(), RuntimeError> {
        let all = pointers(&self.memory, (list, length.min(GOROUTINES_CHECKED)), GOROUTINES_CHECKED)?;
        let ids: Vec<u64> = words(&self.of_each(&all, self.layout.g.goid, 8)?).collect();
        let mut given: Vec<u64> = ids.iter().copied().filter(|id| *id != 0).collect();
        given.sort_unstable();
        let is_unique = given.windows(2).all(|pair| pair[0] != pair[1]);
        if ids.first() == Some(&0) || !is_unique || given.last().is_some_and(|id| *id > IDS_MAX) {
            return Err(implausible(&format!("goroutines have the ids {ids:?}: not the layout of this Go version")));
        }
        Ok(())
    }

    /// The Ps have all caches that there are; each has a span for every class, be it the empty one.
    fn span_caches(&self, ps: &[u64], caches_bytes: u64) -> Result<(), RuntimeError> {
        let caches = having(&self.caches(ps)?);
        same("memory of P's caches", caches_bytes, caches.len() as u64 * u64::from(self.layout.mcache.bytes))?;
        if words(&self.of_each(&caches, self.layout.mcache.alloc, 8 * SPAN_CLASSES)?).any(|span| span == 0) {
            return Err(implausible("a P's cache has no span of some class: not the layout of this Go version"));
        }
        Ok(())
    }
}

fn same(what: &str, found: u64, expected: u64) -> Result<(), RuntimeError> {
    if found == expected {
        return Ok(());
    }
    Err(implausible(&format!("{what} is {found}, not {expected}: not the layout of this Go version")))
}
