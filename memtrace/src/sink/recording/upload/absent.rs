//! A memtrace that was built without uploads: files stay where they are.
use crate::config::file::Upload;
use crate::dossier::Uploaded;
use crate::error::Error;
use crate::sink::background::Background;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Clone, Copy, Debug)]
pub(in crate::sink::recording) enum Removed {
    TooMuch,
    TooOld,
}

/// There is none.
#[derive(Debug)]
pub(in crate::sink::recording) enum Waiting {}

impl Waiting {
    pub(in crate::sink::recording) fn push(&self, _: PathBuf) {
        match *self {}
    }

    pub(in crate::sink::recording) fn remove(&self, _: &Path, _: Removed) {
        match *self {}
    }

    pub(in crate::sink::recording) fn counts(&self) -> Uploaded {
        match *self {}
    }
}

/// There is none.
#[derive(Clone, Copy, Debug)]
pub enum Uploader {}

impl Uploader {
    pub fn new(_: &Upload) -> Result<Uploader, Error> {
        Err(Error::Usage("[recording.upload] url: this memtrace was built without the feature upload".to_owned()))
    }

    pub(in crate::sink::recording) fn start(
        self,
        _: &Path,
        _: &str,
        _: impl Iterator<Item = PathBuf>,
    ) -> Result<(Arc<Waiting>, Background), Error> {
        match self {}
    }
}
