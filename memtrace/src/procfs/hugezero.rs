//! The huge zero page: mapped where a huge page fits and memory was only read. Kernels without PAGEMAP_SCAN tell it from
//! memory by the flags of its frames alone.
use super::entries::entry;
use std::fs::File;

const FLAGS: &str = "/proc/kpageflags";
const FLAG_BYTES: u64 = 8;
/// KPF_ZERO_PAGE, see Documentation/admin-guide/mm/pagemap.rst.
const ZERO_PAGE: u64 = 1 << 24;

/// Asks once for each huge page in a row.
#[derive(Debug)]
pub(super) struct HugeZero<'a> {
    flags: Option<&'a File>,
    /// In a huge page.
    pages: u64,
    /// First frame of the huge page asked for last, and the answer.
    last: Option<(u64, bool)>,
}

/// Needs the rights that frames need.
pub(super) fn flags() -> Option<File> {
    File::open(FLAGS).ok()
}

impl<'a> HugeZero<'a> {
    /// A table of page entries fills a page, and maps what one huge page does.
    pub(super) fn new(flags: Option<&'a File>, page_bytes: u64) -> Self {
        Self { flags, pages: page_bytes / FLAG_BYTES, last: None }
    }

    /// Whether the frame that is mapped at this page (both by number) is a part of it.
    pub(super) fn has(&mut self, page: u64, frame: u64) -> bool {
        // As far into its huge page as the frame into its block, or no huge page is mapped there.
        let within = self.pages.saturating_sub(1);
        if (page ^ frame) & within != 0 {
            return false;
        }
        let first = frame & !within;
        if let Some((_, is_zero)) = self.last.filter(|(last, _)| *last == first) {
            return is_zero;
        }
        let is_zero = self.flags.and_then(|file| entry(file, first)).is_some_and(|flags| flags & ZERO_PAGE != 0);
        self.last = Some((first, is_zero));
        is_zero
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt as _;

    #[test]
    fn only_a_huge_page_whose_frames_are_flagged_is_it() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&[0; 4096 * 8], 0).unwrap();
        // The kernel flags all frames of it; the first is asked for.
        file.write_all_at(&ZERO_PAGE.to_ne_bytes(), 1024 * FLAG_BYTES).unwrap();
        let mut zero = HugeZero::new(Some(&file), 4096);
        assert!(zero.has(512, 1024) && zero.has(513, 1025) && zero.has(5 * 512 + 511, 1535), "all of it, anywhere");
        assert!(!zero.has(512, 1536) && !zero.has(513, 1024), "another huge page, and a small one");
        assert!(!zero.has(512, 1 << 30), "beyond the end");
        assert!(!HugeZero::new(None, 4096).has(512, 1024), "nobody to ask");
    }
}
