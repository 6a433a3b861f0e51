//! The last state of a process that was killed: which bytes to have copied on its way out, and what they say afterwards.
use std::io;

use memtrace_common::records::WordPlan;

use super::memory::{Piece, ReadMemory, SYSTEM_PAGE_BYTES};
use super::runtime::{PinnedMemory, Runtime, RuntimeError};
use super::sample::{Sample, implausible};
use super::statics::Part;
use super::{GoProcess, Located};
use crate::event::{LastWords, WordRange};

/// What to copy of a process as it is killed: all that a sample is made of, and how many finished goroutines each P keeps,
/// where there are few enough Ps. `None`: its runtime is not located.
pub fn plan_words(tgid: u32, found: &GoProcess) -> Result<Option<WordPlan>, RuntimeError> {
    let Some(located) = found.located.clone() else { return Ok(None) };
    let memory = PinnedMemory::open(tgid, located.counters_address())?;
    plan(&Runtime::of(located, memory)).map(Some)
}

/// What the runtime's statistics were. Of a process that was killed amid its work they may be torn, as those of a running
/// one; there is no second look.
pub fn sample_of_words(located: &Located, words: &LastWords) -> Result<Sample, RuntimeError> {
    let runtime = Runtime::of(located.clone(), Copied(words));
    runtime.sampler()?.sample_copied(&runtime)
}

pub(super) fn plan<M: ReadMemory>(runtime: &Runtime<M>) -> Result<WordPlan, RuntimeError> {
    let statics = runtime.sampler()?.statics.parts(&runtime.memory)?.to_vec();
    let (list, _) = runtime.slice(runtime.globals.allp)?;
    let ps = runtime.ps()?;
    let gfree_at = u64::from(runtime.layout.p.gfree_count);
    let mut wanted = statics.clone();
    wanted.extend(pages(list, 8 * ps.len() as u64));
    wanted.extend(ps.iter().flat_map(|p| pages(p.saturating_add(gfree_at), 4)));
    lay_out(wanted).or_else(|| lay_out(statics)).ok_or_else(|| implausible("its variables are too many to be copied"))
}

/// Bytes of memory that the process has written, page by page.
fn pages(address: u64, bytes: u64) -> impl Iterator<Item = Part> {
    let end = address.saturating_add(bytes);
    let mut from = address;
    std::iter::from_fn(move || {
        let to = end.min((from | (SYSTEM_PAGE_BYTES - 1)).saturating_add(1));
        let part = (from < end).then_some(Part::of(from, (to - from) as usize, false));
        from = to;
        part
    })
}

fn lay_out(mut parts: Vec<Part>) -> Option<WordPlan> {
    parts.sort_by_key(|part| part.bytes);
    let ranges: Option<Vec<_>> =
        parts.iter().map(|part| Some((part.address, u32::try_from(part.bytes).ok()?, part.is_untouched))).collect();
    WordPlan::of(ranges?)
}

/// Of memory that can still be read, what the kernel would copy: for tests and the fuzzer.
#[cfg(any(test, fuzzing))]
pub(super) fn copy<M: ReadMemory>(runtime: &Runtime<M>) -> Result<LastWords, RuntimeError> {
    let meta = crate::event::Meta { t_ns: 0, tgid: 1, tid: 1, target: 1, cpu: 0 };
    let planned = plan(runtime)?;
    let ranges = planned.ranges.iter().zip(0..).filter(|(range, _)| range.bytes > 0).map(|(range, index)| {
        let mut bytes = vec![0; range.bytes as usize];
        let bytes = runtime.memory.read(range.address, &mut bytes).map(|()| bytes).ok();
        WordRange { address: range.address, bytes, was_untouched: planned.untouched >> index & 1 == 1 }
    });
    Ok(LastWords { meta, go: None, ranges: ranges.collect() })
}

/// Memory of which only what was copied is left.
struct Copied<'a>(&'a LastWords);

impl Copied<'_> {
    /// As much from `address` on as was copied in one piece.
    fn at(&self, address: u64) -> Option<&[u8]> {
        let from = |range: &'_ WordRange| usize::try_from(address.checked_sub(range.address)?).ok();
        self.0
            .ranges
            .iter()
            .find_map(|range| range.bytes.as_ref()?.get(from(range)?..).filter(|bytes| !bytes.is_empty()))
    }
}

impl ReadMemory for Copied<'_> {
    fn read_pieces(&self, pieces: &mut [Piece<'_>]) -> io::Result<()> {
        for Piece { address, buffer } in pieces {
            let mut left = &mut **buffer;
            let mut address = *address;
            while !left.is_empty() {
                let bytes = self.at(address).ok_or_else(|| io::Error::other(format!("{address:#x} was not copied")))?;
                let count = bytes.len().min(left.len());
                left[..count].copy_from_slice(&bytes[..count]);
                left = &mut left[count..];
                address = address.saturating_add(count as u64);
            }
        }
        Ok(())
    }

    /// A page that was never touched before, and was not there when the process ended, has been touched never.
    fn is_touched(&self, address: u64) -> io::Result<bool> {
        let page = |address: u64| address & !(SYSTEM_PAGE_BYTES - 1);
        let is_zero = |range: &WordRange| range.was_untouched && range.bytes.is_none();
        Ok(!self.0.ranges.iter().any(|range| is_zero(range) && page(range.address) == page(address)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::corpus;
    use crate::goruntime::fake::memory::FakeMemory;
    use crate::goruntime::fuzz::attached;

    fn located(runtime: &Runtime<FakeMemory<'_>>) -> Located {
        let Runtime { version, layout, globals, read_by, wait_reasons, .. } = runtime;
        let (version, layout, wait_reasons) = (version.clone(), layout.clone(), wait_reasons.clone());
        Located { version, layout, globals: *globals, read_by: *read_by, wait_reasons }
    }

    fn each(check: impl Fn(&Located, LastWords, Sample)) {
        for release in ["go1.19.8", "go1.23.9", "go1.26.6"] {
            let attached = attached(&corpus(&format!("goroutines/{release}")), |runtime| {
                let sample = runtime.sampler().unwrap().sample(runtime).unwrap();
                check(&located(runtime), copy(runtime).unwrap(), sample);
            });
            assert!(attached.is_some(), "{release}");
        }
    }

    #[test]
    fn what_was_copied_says_what_the_process_said_but_for_the_caches_of_its_ps() {
        each(|located, words, sample| {
            let copied = sample_of_words(located, &words).unwrap();
            assert!(!copied.is_flushed && copied.is_num_goroutine_exact);
            assert_eq!(copied.memstats.heap_alloc, sample.heap_alloc_uncorrected);
            let memstats = sample.memstats.clone();
            assert_eq!((copied.memstats.heap_inuse, &copied.memstats.pauses), (memstats.heap_inuse, &memstats.pauses));
            let rest = |sample: Sample| Sample { is_flushed: true, memstats: memstats.clone(), retries: 0, ..sample };
            assert_eq!(rest(copied), rest(sample));
        });
    }

    #[test]
    fn a_range_that_was_not_resident_refuses_all_unless_it_was_never_touched() {
        each(|located, mut words, _| {
            let largest = words.ranges.iter_mut().max_by_key(|range| range.bytes.as_ref().map(Vec::len)).unwrap();
            largest.bytes = None;
            let refused = sample_of_words(located, &words).unwrap_err().to_string();
            assert!(refused.contains("was not copied"), "{refused}");
            words.ranges.iter_mut().for_each(|range| (range.bytes, range.was_untouched) = (None, true));
            assert!(sample_of_words(located, &words).is_ok_and(|zero| zero.memstats.sys == 0), "an untouched .bss");
        });
    }

    #[test]
    fn without_the_list_of_ps_goroutines_are_an_upper_bound() {
        each(|located, mut words, sample| {
            let list = located.globals.allp;
            let at = words.ranges.iter().find_map(|range| {
                let offset = usize::try_from(list.checked_sub(range.address)?).ok()?;
                range.bytes.as_ref()?.get(offset..)?.first_chunk::<8>().map(|word| u64::from_le_bytes(*word))
            });
            words.ranges.retain(|range| Some(range.address) != at);
            let copied = sample_of_words(located, &words).unwrap();
            assert!(!copied.is_num_goroutine_exact && copied.num_goroutine >= sample.num_goroutine);
            assert_eq!(copied.procs, sample.procs);
        });
    }
}
