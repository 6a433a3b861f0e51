//! Which cgroup each frame of memory is charged to: `/proc/kpagecgroup`, see Documentation/admin-guide/mm/pagemap.rst.
//! Needs CAP_SYS_ADMIN, as the frame numbers do.
use super::entries::{FILE_OR_SHARED, FRAME, PRESENT, each_entry};
use super::{ProcError, error, path};
use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io;
use std::ops::Range;

/// Bits of kpageflags.
const HEAD: u64 = 1 << 15;
const TAIL: u64 = 1 << 16;
const SWAP_BACKED: u64 = 1 << 14;
/// Frames of a block: a huge page, so that the head of a compound page is in the block of its parts.
const BLOCK: u64 = 512;
const WORDS: usize = BLOCK as usize / 64;

/// Frames of one kind, by whom they are charged to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Charged {
    /// The cgroups asked about.
    pub here: u64,
    pub elsewhere: u64,
    /// Nobody.
    pub uncharged: u64,
}

/// What processes have resident, in pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeldPages {
    /// Each as often as a process has it.
    pub mapped: u64,
    pub anon: Charged,
    pub file: Charged,
    pub shmem: Charged,
}

impl HeldPages {
    /// Over all kinds.
    pub fn sum(&self, of: impl Fn(&Charged) -> u64) -> u64 {
        [&self.anon, &self.file, &self.shmem].into_iter().map(of).sum()
    }

    /// What is counted again, since another process, or mapping, has it too.
    pub fn repeated(&self) -> u64 {
        self.mapped.saturating_sub(self.sum(|of| of.here + of.elsewhere + of.uncharged))
    }
}

/// The frames that some processes have resident; memory: 136 bytes per 2 MiB of the host's, at most.
#[derive(Debug, Default)]
pub struct Frames {
    /// Anonymous ones, and all others.
    blocks: BTreeMap<u64, [[u64; WORDS]; 2]>,
    mapped: u64,
}

impl Frames {
    /// Adds the resident pages of ranges that hold only such.
    pub fn add(&mut self, pid: u32, ranges: &[Range<u64>]) -> Result<(), ProcError> {
        let file = File::open(path(pid, "pagemap")).map_err(|e| error(pid, "pagemap", e))?;
        let page = ::procfs::page_size();
        for range in ranges {
            let pages = range.start / page..range.end / page;
            each_entry(&file, pages, |_, entry| self.entry(entry)).map_err(|e| error(pid, "pagemap", e))?;
        }
        Ok(())
    }

    fn entry(&mut self, entry: u64) {
        let frame = entry & FRAME;
        if entry & PRESENT == 0 || frame == 0 {
            return;
        }
        let kind = usize::from(entry & FILE_OR_SHARED != 0);
        let at = frame % BLOCK;
        self.mapped += 1;
        self.blocks.entry(frame / BLOCK).or_default()[kind][at as usize / 64] |= 1 << (at % 64);
    }

    /// Whose they are; `ids`: inodes of the cgroups asked about.
    pub fn held(&self, ids: &HashSet<u64>) -> io::Result<HeldPages> {
        let (cgroups, flags) = (File::open("/proc/kpagecgroup")?, File::open("/proc/kpageflags")?);
        let mut held = HeldPages { mapped: self.mapped, ..HeldPages::default() };
        let (mut cgroup, mut flag) = ([0; BLOCK as usize], [0; BLOCK as usize]);
        for (block, frames) in &self.blocks {
            let pages = block * BLOCK..(block + 1) * BLOCK;
            cgroup.fill(0);
            flag.fill(0);
            each_entry(&cgroups, pages.clone(), |at, entry| cgroup[(at % BLOCK) as usize] = entry)?;
            // Of anonymous pages they are needed only where the page itself says nothing.
            let is_silent = |at| has(&frames[0], at) && cgroup[at] == 0;
            if frames[1] != [0; WORDS] || (0..BLOCK as usize).any(is_silent) {
                each_entry(&flags, pages, |at, entry| flag[(at % BLOCK) as usize] = entry)?;
            }
            sort(frames, &cgroup, &flag, ids, &mut held);
        }
        Ok(held)
    }
}

fn has(words: &[u64; WORDS], at: usize) -> bool {
    words[at / 64] >> (at % 64) & 1 != 0
}

/// The frames of one block. Before 6.x the parts of a compound page say nothing: its head speaks for them.
fn sort(frames: &[[u64; WORDS]; 2], cgroup: &[u64], flag: &[u64], ids: &HashSet<u64>, held: &mut HeldPages) {
    let mut head = None;
    for at in 0..BLOCK as usize {
        if flag[at] & TAIL == 0 {
            head = (flag[at] & HEAD != 0).then_some(at);
        }
        let speaks = if flag[at] & TAIL != 0 { head.unwrap_or(at) } else { at };
        let id = if cgroup[at] == 0 { cgroup[speaks] } else { cgroup[at] };
        for (kind, words) in frames.iter().enumerate() {
            if !has(words, at) {
                continue;
            }
            let of = match kind {
                0 => &mut held.anon,
                _ if (flag[at] | flag[speaks]) & SWAP_BACKED != 0 => &mut held.shmem,
                _ => &mut held.file,
            };
            match id {
                0 => of.uncharged += 1,
                id if ids.contains(&id) => of.here += 1,
                _ => of.elsewhere += 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_counted_once_and_the_head_speaks_for_its_parts() {
        let mut frames = Frames::default();
        // Two anonymous ones, the second twice; parts of a huge page of shmem; a file's of another cgroup; an uncharged one.
        for entry in [PRESENT | 1, PRESENT | 2, PRESENT | 2, 3, PRESENT] {
            frames.entry(entry);
        }
        for frame in [8, 9, 20, 21] {
            frames.entry(PRESENT | FILE_OR_SHARED | frame);
        }
        let (mut cgroup, mut flag) = ([0; BLOCK as usize], [0; BLOCK as usize]);
        (cgroup[1], cgroup[2], cgroup[8], cgroup[20]) = (7, 7, 7, 6);
        (flag[8], flag[9]) = (HEAD | SWAP_BACKED, TAIL);
        let mut held = HeldPages { mapped: frames.mapped, ..HeldPages::default() };
        sort(&frames.blocks[&0], &cgroup, &flag, &HashSet::from([7]), &mut held);
        assert_eq!(held.anon, Charged { here: 2, elsewhere: 0, uncharged: 0 });
        assert_eq!(held.shmem, Charged { here: 2, elsewhere: 0, uncharged: 0 });
        assert_eq!(held.file, Charged { here: 0, elsewhere: 1, uncharged: 1 });
        assert_eq!((held.mapped, held.repeated()), (7, 1));
    }
}
