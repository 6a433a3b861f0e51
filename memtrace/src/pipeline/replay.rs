//! `memtrace replay`: what recordings hold.
use crate::config::{Format, Replay};
use crate::error::Error;
use crate::sink::recording;
use crate::sink::text::Style;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Directories below the one that is named.
const DEPTH: usize = 16;

pub fn replay(config: &Replay, out: &mut dyn Write) -> Result<ExitCode, Error> {
    let path = &config.path;
    let refused = |why: String| Error::Usage(format!("{}: {why}", path.display()));
    let is_directory = fs::metadata(path).map_err(|why| refused(why.to_string()))?.is_dir();
    let mut files = Vec::new();
    if is_directory {
        find(path, DEPTH, &mut files).map_err(|why| refused(why.to_string()))?;
        files.sort();
        if files.is_empty() {
            return Err(refused("there are no recordings: *.parquet".to_owned()));
        }
    } else {
        files.push(path.clone());
    }
    let style = Style { color: config.color };
    let mut replay = recording::Replay::new(config.view, config.format == Format::Json, style, out);
    let (mut written, mut failed) = (Ok(()), None);
    // What the reader of Parquet says of damaged pages as it gives up on them; the line that is said of the file is ours.
    let said = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    for file in &files {
        let read = File::open(file).map_err(|why| why.to_string()).and_then(|file| replay.file(file));
        match read {
            Ok(outcome) => written = outcome,
            // Others may be whole.
            Err(why) if is_directory => log::warn!("{}: {why}", file.display()),
            Err(why) => {
                failed = Some(why);
                break;
            }
        }
        if written.is_err() {
            break;
        }
    }
    std::panic::set_hook(said);
    if let Some(why) = failed {
        return Err(refused(why));
    }
    let written = written.and_then(|()| replay.finish());
    super::written(out, written).map(|()| ExitCode::SUCCESS)
}

fn find(directory: &Path, depth: usize, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let (path, kind) = entry.and_then(|entry| Ok((entry.path(), entry.file_type()?)))?;
        if kind.is_dir() && depth > 0 {
            find(&path, depth - 1, files)?;
        } else if kind.is_file() && path.extension().is_some_and(|extension| extension == "parquet") {
            files.push(path);
        }
    }
    Ok(())
}
