//! `/proc/PID/smaps`: every mapping of a process with what of it is resident, from a walk of the page tables.
//!
//! Own parser: a target chooses the names of its files and may have any number of mappings. Lines are told apart by their
//! first byte (headers start with a hexadecimal digit in lower case, fields with a capital letter), and a name cannot
//! start a line: the kernel escapes its newlines (fs/proc/task_mmu.c, `seq_path(…, "\n")`).
use super::{ProcError, error, path};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::ops::Range;

/// Mappings remembered one by one; the memory of further ones is summed in [`Smaps::beyond`].
const VMAS_MAX: usize = 1 << 16;
/// Bytes kept of a name: its end, which says most of a path.
const NAME_MAX: usize = 256;
/// Bytes kept of a line; a path has 4096 at most, each of which may be escaped to four.
const LINE_MAX: usize = 4 * 4096 + 256;
/// Less than the kernel's own buffer of a page by more than one mapping: of one that would not fit there any more it
/// walks the pages in vain, and then again (fs/seq_file.c, seq_read_iter).
const BUFFER_BYTES: usize = 1 << 11;

/// One mapping.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vma {
    pub range: Range<u64>,
    pub readable: bool,
    pub writable: bool,
    pub executable: bool,
    /// MAP_SHARED.
    pub shared: bool,
    /// `None`: no file behind it; only then a name in brackets is the kernel's own.
    pub file: Option<FileId>,
    /// Path, `[heap]`, `[anon:NAME]`, or nothing; only the end of a long one.
    pub name: String,
    pub sizes: Sizes,
    /// VmFlags `ht`: not in RSS.
    pub hugetlb: bool,
}

/// Device and inode of a mapped file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FileId {
    pub device: (u32, u32),
    pub inode: u64,
}

/// What is resident, in bytes; what a kernel does not print counts as 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    pub rss: u64,
    pub pss: u64,
    pub shared_clean: u64,
    pub shared_dirty: u64,
    pub private_clean: u64,
    pub private_dirty: u64,
    /// Not pages of a file: of a private mapping of a file the copies that were written to.
    pub anonymous: u64,
    /// MADV_FREE pages not written to since.
    pub lazy_free: u64,
    /// Mapped by 2 MiB entries.
    pub anon_huge: u64,
    pub shmem_pmd_mapped: u64,
    pub swap: u64,
}

impl Sizes {
    fn field(&mut self, key: &[u8]) -> Option<&mut u64> {
        Some(match key {
            b"Rss" => &mut self.rss,
            b"Pss" => &mut self.pss,
            b"Shared_Clean" => &mut self.shared_clean,
            b"Shared_Dirty" => &mut self.shared_dirty,
            b"Private_Clean" => &mut self.private_clean,
            b"Private_Dirty" => &mut self.private_dirty,
            b"Anonymous" => &mut self.anonymous,
            b"LazyFree" => &mut self.lazy_free,
            b"AnonHugePages" => &mut self.anon_huge,
            b"ShmemPmdMapped" => &mut self.shmem_pmd_mapped,
            b"Swap" => &mut self.swap,
            _ => return None,
        })
    }

    fn add(&mut self, other: &Sizes) {
        for key in SUMMED {
            if let (Some(sum), Some(more)) = (self.field(key), { *other }.field(key)) {
                *sum = sum.saturating_add(*more);
            }
        }
    }
}

/// Every key of [`Sizes`].
const SUMMED: [&[u8]; 11] = [
    b"Rss",
    b"Pss",
    b"Shared_Clean",
    b"Shared_Dirty",
    b"Private_Clean",
    b"Private_Dirty",
    b"Anonymous",
    b"LazyFree",
    b"AnonHugePages",
    b"ShmemPmdMapped",
    b"Swap",
];

impl Vma {
    pub fn bytes(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// The kernel's own name for it, such as `[heap]`.
    pub fn is_called(&self, name: &str) -> bool {
        self.file.is_none() && self.name == name
    }

    /// `start-end perms offset major:minor inode name`; `None` for what is no such line, or an empty range.
    fn parse(line: &[u8]) -> Option<Vma> {
        let mut fields = line.splitn(6, |b| *b == b' ');
        let mut field = || fields.next();
        let (range, perms, _offset, device, inode) = (field()?, field()?, field()?, field()?, field()?);
        let name = field().unwrap_or_default().trim_ascii_start();
        let text = |bytes| std::str::from_utf8(bytes).ok();
        let hex = |text| u64::from_str_radix(text, 16).ok();
        let (start, end) = text(range)?.split_once('-')?;
        let range = hex(start)?..hex(end)?;
        let (major, minor) = text(device)?.split_once(':')?;
        let device = (u32::from_str_radix(major, 16).ok()?, u32::from_str_radix(minor, 16).ok()?);
        let inode = text(inode)?.parse().ok()?;
        let may = |at: usize, c: u8| perms.get(at) == Some(&c);
        let tail = &name[name.len().saturating_sub(NAME_MAX)..];
        (range.start < range.end).then(|| Vma {
            range,
            readable: may(0, b'r'),
            writable: may(1, b'w'),
            executable: may(2, b'x'),
            shared: may(3, b's'),
            file: (inode != 0).then_some(FileId { device, inode }),
            name: String::from_utf8_lossy(tail).into_owned(),
            ..Vma::default()
        })
    }

    /// `Key:   123 kB` or `VmFlags: rd wr …`; other lines say nothing we want.
    fn field(&mut self, line: &[u8]) -> Option<()> {
        let colon = line.iter().position(|b| *b == b':')?;
        let (key, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if key == b"VmFlags" {
            self.hugetlb = value.split(|b| *b == b' ').any(|flag| flag == b"ht");
            return Some(());
        }
        let size = self.sizes.field(key)?;
        let kib = std::str::from_utf8(value.strip_suffix(b" kB")?).ok()?.trim();
        *size = kib.parse::<u64>().ok()?.checked_mul(1024)?;
        Some(())
    }
}

/// All mappings, by address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Smaps {
    pub vmas: Vec<Vma>,
    /// The sum of the mappings that are not in `vmas`.
    pub beyond: Sizes,
}

impl Smaps {
    /// Needs ptrace rights over the process. Kernel threads and zombies have no memory: [`ProcError::Vanished`].
    pub fn read(pid: u32) -> Result<Smaps, ProcError> {
        let read = File::open(path(pid, "smaps"))
            .and_then(|file| Self::parse(BufReader::with_capacity(BUFFER_BYTES, file), VMAS_MAX));
        match read {
            Ok(smaps) if smaps.vmas.is_empty() => Err(ProcError::Vanished { pid }),
            read => read.map_err(|e| error(pid, "smaps", e)),
        }
    }

    pub(crate) fn parse(mut text: impl BufRead, vmas_max: usize) -> io::Result<Smaps> {
        let mut smaps = Smaps::default();
        let mut current: Option<Vma> = None;
        let mut line = Vec::new();
        while read_line(&mut text, &mut line)? {
            match line.first() {
                Some(b'0'..=b'9' | b'a'..=b'f') => {
                    smaps.push(current.take(), vmas_max);
                    current = Vma::parse(&line);
                }
                _ => {
                    let _unwanted = current.as_mut().and_then(|vma| vma.field(&line));
                }
            }
        }
        smaps.push(current, vmas_max);
        Ok(smaps)
    }

    /// Out of order is damaged text: left out, so that `vmas` is sorted and disjoint whatever was read.
    fn push(&mut self, vma: Option<Vma>, vmas_max: usize) {
        let Some(vma) = vma else { return };
        if self.vmas.last().is_some_and(|last| last.range.end > vma.range.start) {
            return;
        }
        if self.vmas.len() < vmas_max {
            self.vmas.push(vma);
        } else if !vma.hugetlb {
            self.beyond.add(&vma.sizes);
        }
    }

    /// RSS: what hugetlb mappings hold is not in it.
    pub fn rss_bytes(&self) -> u64 {
        let counted = self.vmas.iter().filter(|vma| !vma.hugetlb);
        counted.fold(self.beyond.rss, |sum, vma| sum.saturating_add(vma.sizes.rss))
    }

    pub fn swap_bytes(&self) -> u64 {
        self.vmas.iter().fold(self.beyond.swap, |sum, vma| sum.saturating_add(vma.sizes.swap))
    }
}

/// The next line without its end; false at the end of the text. Of an overlong one the rest is passed over.
fn read_line(text: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    if text.by_ref().take(LINE_MAX as u64).read_until(b'\n', line)? == 0 {
        return Ok(false);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    } else {
        text.skip_until(b'\n')?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "00400000-00452000 r-xp 00001000 08:02 173521      /usr/bin/a b\n\
        Size:                328 kB\nRss:                 100 kB\nAnonymous:            4 kB\n\
        THPeligible:           0\nVmFlags: rd ex mr mw me dw \n\
        c000000000-c000400000 rw-p 00000000 00:00 0                              [anon: Go: heap]\n\
        Rss:                4096 kB\nAnonHugePages:      2048 kB\nLazyFree:  64 kB\nSwap: 8 kB\n\
        7f0000000000-7f0000200000 rw-s 00000000 00:0f 12                             /anon_hugepage (deleted)\n\
        Rss: 0 kB\nPrivate_Hugetlb: 2048 kB\nVmFlags: rd wr ht \n\
        7f1000000000-7f1000001000 rw-p 00000000 fd:00 9  [heap]\nRss: 4 kB\n";

    fn parse(text: impl AsRef<[u8]>) -> Smaps {
        Smaps::parse(text.as_ref(), VMAS_MAX).unwrap()
    }

    #[test]
    fn mappings_and_their_sizes_are_read() {
        let smaps = parse(TEXT);
        assert_eq!(smaps.vmas.len(), 4);
        let [text, heap, huge, file] = smaps.vmas.as_slice() else { panic!() };
        assert_eq!(text.name, "/usr/bin/a b");
        assert!(text.executable && !text.writable && !text.shared);
        assert_eq!(text.file, Some(FileId { device: (8, 2), inode: 173_521 }));
        assert_eq!((text.sizes.rss, text.sizes.anonymous), (100 << 10, 4 << 10));
        assert_eq!((heap.bytes(), heap.sizes.anon_huge, heap.sizes.lazy_free), (4 << 20, 2 << 20, 64 << 10));
        assert!(heap.is_called("[anon: Go: heap]") && huge.hugetlb && huge.shared);
        assert!(!file.is_called("[heap]"), "a file that calls itself so");
        assert_eq!((smaps.rss_bytes(), smaps.swap_bytes()), ((100 + 4096 + 4) << 10, 8 << 10));
    }

    #[test]
    fn names_cannot_pose_as_lines() {
        let hostile = "1000-2000 r--p 00000000 fd:00 7  /x\\012Rss: 999 kB\nRss: 4 kB\n\
            2000-3000 r--p 00000000 fd:00 8 /\u{fffd}/SYSV00 (deleted)\nRss: 8 kB\nRss: rubbish kB\n\
            Rss:\n: 3 kB\n\n2800-9000 r--p 0 0:0 0\nRss: 1 kB\n9000-8000 r--p 0 0:0 0\nzz\n";
        let smaps = parse(hostile);
        assert_eq!(smaps.vmas.iter().map(|v| v.sizes.rss).collect::<Vec<_>>(), [4 << 10, 8 << 10]);
        assert_eq!(smaps.vmas[0].name, "/x\\012Rss: 999 kB");
        let long = format!("1000-2000 r--p 00000000 fd:00 7 /{}\nRss: 4 kB\n", "y".repeat(LINE_MAX));
        let smaps = parse(long);
        assert_eq!((smaps.vmas[0].name.len(), smaps.vmas[0].sizes.rss), (NAME_MAX, 4 << 10));
        assert_eq!(parse(b"1000-2000 r--p 00000000 fd:00 7 /\xff\xfe\nRss: 4 kB\n").rss_bytes(), 4 << 10);
    }

    #[test]
    fn every_prefix_is_parsed() {
        for end in 0..TEXT.len() {
            parse(&TEXT[..end]);
        }
    }

    #[test]
    fn mappings_beyond_the_bound_are_summed() {
        let smaps = Smaps::parse(TEXT.as_bytes(), 1).unwrap();
        assert_eq!((smaps.vmas.len(), smaps.beyond.rss, smaps.beyond.anon_huge), (1, 4100 << 10, 2 << 20));
        assert_eq!(smaps.rss_bytes(), parse(TEXT).rss_bytes());
    }

    #[test]
    fn this_process_is_read_like_its_rollup() {
        let smaps = Smaps::read(std::process::id()).unwrap();
        assert!(smaps.rss_bytes() > 0 && smaps.vmas.iter().any(|vma| vma.is_called("[stack]")));
        assert!(matches!(Smaps::read(1 << 30), Err(ProcError::Vanished { .. })));
    }
}
