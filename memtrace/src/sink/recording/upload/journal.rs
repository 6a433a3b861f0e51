//! What was uploaded, for the next start: one file beside the recordings, a line for each. Whoever is killed between the
//! store's answer and the line uploads that file again, under the same name with the same content.
use crate::dossier::store::put_in_place;
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Lines beyond those that the files there are have: then it is written anew.
const SPARE: usize = 1024;

#[derive(Debug)]
pub(super) struct Journal {
    directory: PathBuf,
    path: PathBuf,
    /// The first line: what was uploaded elsewhere is not there.
    place: String,
    /// To append to.
    file: File,
    lines: usize,
    most: usize,
}

impl Journal {
    /// And what was uploaded to `place`, of the files that are still there.
    pub(super) fn open(directory: &Path, node: &str, place: &str) -> io::Result<(Journal, HashSet<PathBuf>)> {
        let path = directory.join(format!(".uploaded-{node}"));
        let uploaded = read(directory, &path, place)?;
        let file = write(&path, place, &uploaded)?;
        let (lines, directory, place) = (uploaded.len(), directory.to_owned(), place.to_owned());
        Ok((Journal { directory, path, place, file, lines, most: lines + SPARE }, uploaded.into_iter().collect()))
    }

    /// `file`: its path below the directory.
    pub(super) fn add(&mut self, file: &Path) -> io::Result<()> {
        if self.lines >= self.most {
            let uploaded = read(&self.directory, &self.path, &self.place)?;
            self.file = write(&self.path, &self.place, &uploaded)?;
            (self.lines, self.most) = (uploaded.len(), uploaded.len() + SPARE.max(uploaded.len()));
        }
        self.file.write_all(format!("{}\n", file.display()).as_bytes())?;
        self.lines += 1;
        Ok(())
    }
}

/// A line without an end was not written to its end.
fn read(directory: &Path, path: &Path, place: &str) -> io::Result<Vec<PathBuf>> {
    let content = match fs::read(path) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => Vec::new(),
        content => content?,
    };
    let content = String::from_utf8_lossy(&content);
    let whole = content.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let Some(("", lines)) = whole.strip_prefix(place).map(|rest| rest.split_once('\n').unwrap_or((rest, ""))) else {
        return Ok(Vec::new());
    };
    let is_there = |file: &PathBuf| directory.join(file).exists();
    Ok(lines.lines().map(PathBuf::from).filter(is_there).collect())
}

/// Open at its end.
fn write(path: &Path, place: &str, uploaded: &[PathBuf]) -> io::Result<File> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(super::UNFINISHED);
    let unfinished = PathBuf::from(unfinished);
    let lines: String = uploaded.iter().map(|file| format!("{}\n", file.display())).collect();
    let mut file = File::create(&unfinished)?;
    let written = file.write_all(format!("{place}\n{lines}").as_bytes()).and_then(|()| file.try_clone());
    put_in_place(&unfinished, path, written)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "s3://b/here";

    fn opened(home: &Path, place: &str) -> (Journal, Vec<PathBuf>) {
        let (journal, uploaded) = Journal::open(home, "n1", place).unwrap();
        let mut uploaded: Vec<PathBuf> = uploaded.into_iter().collect();
        uploaded.sort();
        (journal, uploaded)
    }

    fn names(of: &[&str]) -> Vec<PathBuf> {
        of.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn what_was_uploaded_is_known_at_the_next_start_and_only_of_this_place() {
        let home = tempfile::tempdir().unwrap();
        ["a", "b", "c"].into_iter().for_each(|name| fs::write(home.path().join(name), name).unwrap());
        let (mut journal, uploaded) = opened(home.path(), HERE);
        assert_eq!(uploaded, names(&[]));
        ["a", "b", "c"].into_iter().for_each(|name| journal.add(Path::new(name)).unwrap());
        drop(journal);
        // The last line was cut; one file has gone.
        let path = home.path().join(".uploaded-n1");
        let content = fs::read_to_string(&path).unwrap();
        assert_eq!(content, "s3://b/here\na\nb\nc\n");
        fs::write(&path, &content[..content.len() - 1]).unwrap();
        fs::remove_file(home.path().join("a")).unwrap();
        let (mut journal, uploaded) = opened(home.path(), HERE);
        assert_eq!(uploaded, names(&["b"]));
        journal.add(Path::new("c")).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "s3://b/here\nb\nc\n");
        drop(journal);
        assert_eq!(opened(home.path(), "s3://b/her").1, names(&[]));
        assert_eq!(opened(home.path(), HERE).1, names(&[]));
        fs::write(&path, [0xff, b'\n', 0xff]).unwrap();
        assert_eq!(opened(home.path(), HERE).1, names(&[]));
    }

    #[test]
    fn it_does_not_grow_for_ever() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("kept"), "").unwrap();
        let (mut journal, _) = opened(home.path(), HERE);
        journal.add(Path::new("kept")).unwrap();
        for n in 0..3 * SPARE {
            journal.add(Path::new(&format!("gone-{n}"))).unwrap();
        }
        let content = fs::read_to_string(home.path().join(".uploaded-n1")).unwrap();
        assert!(content.lines().count() <= SPARE + 2, "{}", content.lines().count());
        drop(journal);
        assert_eq!(opened(home.path(), HERE).1, names(&["kept"]));
    }
}
