//! The file system that a guest wakes up with: an archive in cpio's `newc` format, compressed.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Component, Path};

use anyhow::{Context, Result};
use flate2::Compression;
use flate2::write::GzEncoder;

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;

/// Directories are made as files need them.
#[derive(Default)]
pub(super) struct Initramfs {
    archive: Vec<u8>,
    directories: BTreeSet<String>,
    entries: u32,
}

impl Initramfs {
    /// A directory and all above it.
    pub(super) fn directory(&mut self, path: &Path) -> Result<()> {
        let mut above = String::new();
        for component in path.components().filter(|component| matches!(component, Component::Normal(_))) {
            let name = component.as_os_str().to_str().context("a path that is no UTF-8")?;
            above = if above.is_empty() { name.to_owned() } else { format!("{above}/{name}") };
            if self.directories.insert(above.clone()) {
                self.entry(&above, DIRECTORY, &[])?;
            }
        }
        Ok(())
    }

    /// An executable file.
    pub(super) fn program(&mut self, path: &Path, contents: &[u8]) -> Result<()> {
        self.directory(path.parent().context("a file without a name")?)?;
        let name = path.to_str().context("a path that is no UTF-8")?.trim_start_matches('/');
        self.entry(name, PROGRAM, contents)
    }

    pub(super) fn compressed(mut self) -> Result<Vec<u8>> {
        self.entry("TRAILER!!!", 0, &[])?;
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&self.archive)?;
        Ok(encoder.finish()?)
    }

    /// Thirteen numbers, the name with its NUL, the contents; name and contents are padded to four bytes.
    fn entry(&mut self, name: &str, mode: u32, contents: &[u8]) -> Result<()> {
        self.entries += 1;
        let size = u32::try_from(contents.len()).context("a file of 4 GiB")?;
        let name_size = u32::try_from(name.len() + 1).context("a long name")?;
        let (inode, links) = (self.entries, 1);
        self.archive.extend(b"070701");
        for number in [inode, mode, 0, 0, links, 0, size, 0, 0, 0, 0, name_size, 0] {
            self.archive.extend(format!("{number:08x}").bytes());
        }
        self.archive.extend(name.bytes().chain([0]));
        self.pad();
        self.archive.extend(contents);
        self.pad();
        Ok(())
    }

    fn pad(&mut self) {
        self.archive.resize(self.archive.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn directories_come_once_and_before_what_is_in_them() {
        let mut initramfs = Initramfs::default();
        initramfs.program(Path::new("/a/b/one"), b"1").unwrap();
        initramfs.program(Path::new("/a/two"), b"22222").unwrap();
        initramfs.directory(Path::new("/a/b")).unwrap();
        assert_eq!(initramfs.entries, 4);
        let names: Vec<_> = ["a\0", "a/b\0", "a/b/one\0", "a/two\0"]
            .iter()
            .map(|name| initramfs.archive.windows(name.len()).position(|bytes| bytes == name.as_bytes()).unwrap())
            .collect();
        assert!(names.is_sorted(), "{names:?}");
        assert_eq!(initramfs.archive.len() % 4, 0);
    }

    #[test]
    fn gzip_reads_what_was_compressed() {
        let mut initramfs = Initramfs::default();
        initramfs.program(Path::new("/init"), &[7; 1000]).unwrap();
        let length = initramfs.archive.len();
        let mut gzip = Command::new("gzip").arg("-dc").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        gzip.stdin.take().unwrap().write_all(&initramfs.compressed().unwrap()).unwrap();
        let archive = gzip.wait_with_output().unwrap().stdout;
        // The last entry: 110 bytes of header, the name, padding.
        assert_eq!(archive.len(), length + (110_usize + 11).next_multiple_of(4));
        assert!(archive.starts_with(b"070701"));
    }
}
