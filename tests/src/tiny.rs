//! A disk that is soon full.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A filesystem of one page, unmounted when its test is over.
#[derive(Debug)]
pub struct Tiny(tempfile::TempDir);

impl Tiny {
    pub const BYTES: usize = 4096;

    #[track_caller]
    pub fn mount() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={}", Self::BYTES), "memtrace-test"]).arg(dir.path());
        assert!(mount.status().expect("mount runs").success());
        Self(dir)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn file(&self) -> PathBuf {
        self.0.path().join("out")
    }

    pub fn bytes(&self) -> u64 {
        fs::metadata(self.file()).map_or(0, |file| file.len())
    }

    pub fn is_full(&self) -> bool {
        self.bytes() >= Self::BYTES as u64
    }
}

impl Drop for Tiny {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(self.0.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "{} stays mounted", self.0.path().display());
    }
}
