//! The ring of urgent records. With room for all that is walked of the dying it is large, and empty nearly always; mapped, all
//! of its pages count as resident, and twice. So it is mapped while something comes, and for a while after that.
use super::{KernelError, map_error};
use aya::maps::ring_buf::RingBufItem;
use aya::maps::{Map, MapData, MapError, RingBuf};
use memtrace_common::names::map;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// Without a record for so long it is unmapped: to map and unmap 8 MiB takes some 0.3 ms, so that this costs little at any pace.
const QUIET: Duration = Duration::from_secs(1);

/// Where the reader is, the kernel's part of it knows: nothing is lost or read twice over a mapping.
pub struct Urgent {
    /// Programs are loaded by its number.
    ring: MapData,
    /// To map it again, when no descriptor may be left.
    spare: Option<OwnedFd>,
    mapped: Option<RingBuf<MapData>>,
    has_failed: bool,
    heard: Instant,
}

impl Urgent {
    pub(super) fn open(ring: Map) -> Result<Urgent, KernelError> {
        let Map::RingBuf(ring) = ring else { return Err(KernelError::Absent(map::URGENT)) };
        let mut urgent = Urgent { ring, spare: None, mapped: None, has_failed: false, heard: Instant::now() };
        urgent.map().map_err(map_error(map::URGENT))?;
        Ok(urgent)
    }

    fn map(&mut self) -> Result<(), MapError> {
        let fd = self.spare.take().map_or_else(|| self.ring.fd().as_fd().try_clone_to_owned(), Ok);
        let ring = Map::RingBuf(MapData::from_fd(fd.map_err(MapError::IoError)?)?);
        self.mapped = Some(RingBuf::try_from(ring)?);
        Ok(())
    }

    /// What has come.
    pub fn next(&mut self) -> Option<RingBufItem<'_>> {
        if self.mapped.is_none() {
            if !has_some(self.fd()) {
                return None;
            }
            // What is in it stays there.
            if let Err(why) = self.map()
                && !std::mem::replace(&mut self.has_failed, true)
            {
                log::warn!("the ring of urgent records cannot be mapped: {why}");
            }
        }
        self.mapped.as_mut()?.next()
    }

    /// All has been read. `heard`: there was something.
    pub fn rest(&mut self, heard: bool) {
        if heard {
            self.heard = Instant::now();
        } else if self.mapped.is_some()
            && self.heard.elapsed() >= QUIET
            && let Ok(spare) = self.ring.fd().as_fd().try_clone_to_owned()
        {
            // In this order: at no moment could another take the last descriptor.
            self.spare = Some(spare);
            self.mapped = None;
        }
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.ring.fd().as_fd()
    }
}

fn has_some(fd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    // Unable to ask, better look.
    poll(&mut fds, Some(&Timespec::default())).is_err() || !fds[0].revents().is_empty()
}
