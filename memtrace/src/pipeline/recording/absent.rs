//! A memtrace that was built without recordings: nothing is put anywhere.
use crate::account::Account;
use crate::config::file::Recording;
use crate::dossier::{BlackBox, Recorded};
use crate::enrich::{Closeup, News};
use crate::error::Error;
use crate::event::{Event, TargetId};
use crate::pipeline::work::Ask;
use crate::sink::oom::Document;
use crate::timeline::Point;
use std::io;

/// There is none.
#[derive(Debug)]
pub(super) enum Uploader {}

/// And nothing to upload.
pub(super) fn uploader(config: &Recording) -> Result<Option<Uploader>, Error> {
    let refused = "this memtrace was built without recordings: leave [recording] disabled, or use one that has them";
    if config.enabled { Err(Error::Usage(refused.to_owned())) } else { Ok(None) }
}

#[derive(Debug, Default)]
pub(super) struct Tap(());

impl Tap {
    pub(super) fn of_agent(_: &Recording, _: Option<Uploader>) -> Result<Tap, Error> {
        Ok(Tap(()))
    }

    pub(super) fn news(&mut self, _: &News) {}

    pub(super) fn event(&mut self, _: &Event, _: Option<&str>) {}

    pub(super) fn point(&mut self, _: TargetId, _: Option<&Point>) {}

    pub(super) fn closeup(&mut self, _: &Closeup) {}

    pub(super) fn dossier(&mut self, _: TargetId, _: &Document, _: &[u8]) {}

    pub(super) fn beat(&mut self, _: u64, _: &BlackBox, _: Account, _: &mut impl FnMut(Ask)) {}

    pub(super) fn place(&self) -> Option<&str> {
        None
    }

    pub(super) fn counts(&self) -> Option<Recorded> {
        None
    }

    pub(super) fn finish(&mut self, _: u64, _: &BlackBox, _: &Account) -> io::Result<()> {
        Ok(())
    }
}
