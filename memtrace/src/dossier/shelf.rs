//! Savings on disk: a directory for each running memtrace, locked as long as it runs, with a file for each saving. One that
//! nobody holds the lock of was left by a memtrace that was killed.
use super::store::write_whole;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

const SPILL: &str = "spill";
const EXTENSION: &str = "part";
/// A file beyond this is none of ours.
const MAX_BYTES: u64 = 1 << 30;

/// Of one memtrace; the lock goes with it.
#[derive(Debug)]
pub struct Shelf {
    directory: PathBuf,
    /// Its lock lies on the directory itself.
    lock: File,
    next: u64,
}

impl Shelf {
    /// A new one below the directory of the dossiers. `name`: of no other that runs.
    pub fn create(dossiers: &Path, name: &str) -> io::Result<Shelf> {
        let spill = dossiers.join(SPILL);
        fs::create_dir_all(&spill)?;
        // Seen by others only when it is locked.
        let hidden = spill.join(format!(".{name}"));
        fs::create_dir(&hidden)?;
        let locked = File::open(&hidden).and_then(|lock| {
            lock.try_lock()?;
            Ok(lock)
        });
        let directory = spill.join(name);
        match locked.and_then(|lock| fs::rename(&hidden, &directory).map(|()| lock)) {
            Ok(lock) => Ok(Shelf { directory, lock, next: 0 }),
            Err(why) => {
                let _ = fs::remove_dir(&hidden);
                Err(why)
            }
        }
    }

    /// Those of others that do not run any more; from now on ours.
    pub fn orphans(dossiers: &Path) -> Vec<Shelf> {
        let entries = fs::read_dir(dossiers.join(SPILL)).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
        paths.sort();
        let orphan = |directory: PathBuf| {
            let lock = File::open(&directory).ok()?;
            lock.try_lock().ok()?;
            // Meanwhile another may have taken it, and removed it.
            directory.is_dir().then_some(Shelf { directory, lock, next: 0 })
        };
        paths.into_iter().filter_map(orphan).collect()
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// All files, in the order that they were written in.
    pub fn read(&self) -> Vec<(PathBuf, io::Result<Vec<u8>>)> {
        let content = |path: &Path| {
            let mut bytes = Vec::new();
            File::open(path)?.take(MAX_BYTES).read_to_end(&mut bytes).map(|_| bytes)
        };
        self.files().into_iter().map(|path| (path.clone(), content(&path))).collect()
    }

    /// One more; when it is whole, those before it go.
    pub fn write(&mut self, content: &[u8], is_whole: bool) -> io::Result<()> {
        let before = if is_whole { self.files() } else { Vec::new() };
        self.next += 1;
        write_whole(&self.directory.join(format!("{:012}.{EXTENSION}", self.next)), content)?;
        before.into_iter().try_for_each(fs::remove_file)
    }

    /// Nobody needs it any more.
    pub fn remove(self) {
        let _ = fs::remove_dir_all(&self.directory);
        // The last one takes the directory of all with it.
        let _ = self.directory.parent().map(fs::remove_dir);
        drop(self.lock);
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.directory).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut files: Vec<PathBuf> = entries.filter(|path| path.extension() == Some(OsStr::new(EXTENSION))).collect();
        files.sort();
        files
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_memtrace_leaves_is_taken_by_the_next_and_by_one_only() {
        let dossiers = tempfile::tempdir().unwrap();
        let mut shelf = Shelf::create(dossiers.path(), "a").unwrap();
        shelf.write(b"1", true).unwrap();
        shelf.write(b"2", false).unwrap();
        assert!(Shelf::orphans(dossiers.path()).is_empty(), "it runs");
        drop(shelf);
        let orphans = Shelf::orphans(dossiers.path());
        let contents = |shelf: &Shelf| shelf.read().into_iter().map(|(_, bytes)| bytes.unwrap()).collect::<Vec<_>>();
        assert_eq!(orphans.iter().map(contents).collect::<Vec<_>>(), [[b"1", b"2"]]);
        assert!(Shelf::orphans(dossiers.path()).is_empty(), "it is taken");
        let mut own = Shelf::create(dossiers.path(), "b").unwrap();
        for (content, is_whole, files) in [(b"3", false, 1), (b"4", true, 1), (b"5", false, 2)] {
            own.write(content, is_whole).unwrap();
            assert_eq!(own.read().len(), files);
        }
        assert_eq!(contents(&own), [b"4", b"5"]);
        orphans.into_iter().for_each(Shelf::remove);
        own.remove();
        assert_eq!(fs::read_dir(dossiers.path()).unwrap().count(), 0, "nothing is left");
    }

    #[test]
    fn what_cannot_be_written_is_an_error_and_what_was_there_stays() {
        let dossiers = tempfile::tempdir().unwrap();
        assert!(Shelf::create(Path::new("/proc/no-such-directory"), "a").is_err());
        let mut shelf = Shelf::create(dossiers.path(), "a").unwrap();
        shelf.write(b"1", true).unwrap();
        fs::create_dir(shelf.directory().join("000000000002.unfinished")).unwrap();
        assert!(shelf.write(b"2", true).is_err());
        assert_eq!(shelf.read().len(), 1);
    }
}
