//! Dossiers on disk: one file each, whole or not there; the oldest go when there is no room.
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

const EXTENSION: &str = "json";
/// What is counted of all that were ever saved here.
pub const COUNTERS: &str = "counters.json";
const UNFINISHED: &str = "unfinished";

/// A directory of its own.
#[derive(Debug)]
pub struct Store {
    directory: PathBuf,
    /// Of all files together.
    max_bytes: u64,
}

impl Store {
    pub fn new(directory: PathBuf, max_bytes: u64) -> Store {
        Store { directory, max_bytes }
    }

    /// From the next one on.
    pub fn limit(&mut self, max_bytes: u64) {
        self.max_bytes = max_bytes;
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Written beside, synced and renamed. The ids of those that had to go: for the limit, or because the disk was full.
    pub fn save(&self, id: &str, content: &[u8]) -> io::Result<Vec<String>> {
        fs::create_dir_all(&self.directory)?;
        let mut gone = self.make_room(content.len() as u64)?;
        loop {
            match self.write(id, content) {
                Err(error) if error.kind() == io::ErrorKind::StorageFull => match self.drop_oldest()? {
                    Some(oldest) => gone.push(oldest),
                    None => return Err(error),
                },
                written => return written.map(|()| gone),
            }
        }
    }

    /// Oldest first; ids begin with their time.
    pub fn ids(&self) -> io::Result<Vec<String>> {
        Ok(self.files()?.into_iter().map(|(id, _)| id).collect())
    }

    /// By its id, or by a beginning of it that no other has.
    pub fn read(&self, id: &str) -> io::Result<Vec<u8>> {
        let ids = self.ids()?;
        let mut found = ids.iter().filter(|known| *known == id || known.starts_with(id));
        match (found.next(), found.next()) {
            (Some(one), None) => fs::read(self.path(one)),
            (Some(_), Some(_)) => Err(io::Error::new(io::ErrorKind::InvalidInput, "more than one begins like that")),
            (None, _) => Err(io::Error::from(io::ErrorKind::NotFound)),
        }
    }

    fn path(&self, id: &str) -> PathBuf {
        self.directory.join(format!("{id}.{EXTENSION}"))
    }

    fn write(&self, id: &str, content: &[u8]) -> io::Result<()> {
        write_whole(&self.path(id), content)
    }

    fn make_room(&self, bytes: u64) -> io::Result<Vec<String>> {
        let files = self.files()?;
        let mut taken = files.iter().fold(bytes, |sum, (_, bytes)| sum.saturating_add(*bytes));
        let mut gone = Vec::new();
        for (id, bytes) in files {
            if taken <= self.max_bytes {
                break;
            }
            fs::remove_file(self.path(&id))?;
            taken = taken.saturating_sub(bytes);
            gone.push(id);
        }
        Ok(gone)
    }

    fn drop_oldest(&self) -> io::Result<Option<String>> {
        let Some(oldest) = self.ids()?.into_iter().next() else { return Ok(None) };
        fs::remove_file(self.path(&oldest))?;
        Ok(Some(oldest))
    }

    /// A file beside the dossiers, read, changed and written whole, by one memtrace at a time.
    pub fn update(&self, file: &str, change: impl FnOnce(Option<Vec<u8>>) -> io::Result<Vec<u8>>) -> io::Result<()> {
        fs::create_dir_all(&self.directory)?;
        let lock = File::open(&self.directory)?;
        lock.lock()?;
        let content = change(self.beside(file)?)?;
        write_whole(&self.directory.join(file), &content)
    }

    /// `None`: there is none yet.
    pub fn beside(&self, file: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.directory.join(file)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            content => content.map(Some),
        }
    }

    /// Oldest first, with their sizes.
    fn files(&self) -> io::Result<Vec<(String, u64)>> {
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let file = |entry: fs::DirEntry| {
            let path = entry.path();
            let id = path.file_stem()?.to_str()?.to_owned();
            let is_dossier = path.extension() == Some(OsStr::new(EXTENSION)) && !path.ends_with(COUNTERS);
            is_dossier.then_some((id, entry.metadata().ok()?.len()))
        };
        let mut files: Vec<_> = entries.flatten().filter_map(file).collect();
        files.sort();
        Ok(files)
    }
}

/// Whole or not there, whatever happens meanwhile: written beside, synced and renamed.
pub(super) fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension(UNFINISHED);
    let written = File::create(&unfinished).and_then(|mut file| file.write_all(content).map(|()| file));
    put_in_place(&unfinished, path, written)
}

/// What was written beside gets its name, once all of it is on disk; and then the name is, too.
pub(crate) fn put_in_place(unfinished: &Path, path: &Path, written: io::Result<File>) -> io::Result<()> {
    let renamed = written.and_then(|file| file.sync_all()).and_then(|()| fs::rename(unfinished, path));
    if renamed.is_err() {
        // What is left of it only takes room.
        let _ = fs::remove_file(unfinished);
    }
    renamed?;
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_when_there_is_no_room_and_what_is_there_is_whole() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path().join("oom"), 250);
        assert_eq!(store.ids().unwrap(), Vec::<String>::new());
        assert_eq!(store.save("2026-a", &[b'a'; 100]).unwrap(), Vec::<String>::new());
        assert_eq!(store.save("2026-b", &[b'b'; 100]).unwrap(), Vec::<String>::new());
        assert_eq!(store.save("2027-c", &[b'c'; 100]).unwrap(), ["2026-a"]);
        assert_eq!(store.ids().unwrap(), ["2026-b", "2027-c"]);
        assert_eq!(store.read("2027").unwrap(), [b'c'; 100]);
        assert_eq!(store.read("20").unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(store.read("1").unwrap_err().kind(), io::ErrorKind::NotFound);
        // Larger than all: it is kept alone.
        assert_eq!(store.save("2028-d", &[b'd'; 300]).unwrap(), ["2026-b", "2027-c"]);
        assert_eq!(store.ids().unwrap(), ["2028-d"]);
    }

    #[test]
    fn what_was_cut_off_is_no_dossier() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("2026-x.unfinished"), b"{").unwrap();
        let store = Store::new(directory.path().to_path_buf(), 1000);
        assert_eq!(store.ids().unwrap(), Vec::<String>::new());
    }
}
