//! The ring of urgent records. With room for all that is walked of the dying it is large, and empty nearly always; mapped, all
//! of its pages count as resident, and twice. So it is mapped while something comes, and for a while after that.
use super::{KernelError, map_error};
use aya::maps::ring_buf::RingBufItem;
use aya::maps::{Map, MapData, MapError, RingBuf};
use memtrace_common::names::map;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

/// Without a record for so long it is unmapped: to map and unmap 8 MiB takes some 0.3 ms, so that this costs little at any pace.
const QUIET: Duration = Duration::from_secs(1);

/// Where the reader is, the kernel's part of it knows: nothing is lost or read twice over a mapping.
pub struct Urgent {
    /// Programs are loaded by its number.
    ring: MapData,
    mapped: Option<RingBuf<MapData>>,
    heard: Instant,
}

impl Urgent {
    pub(super) fn open(ring: Map) -> Result<Urgent, KernelError> {
        let Map::RingBuf(ring) = ring else { return Err(KernelError::Absent(map::URGENT)) };
        let mapped = Some(mapped(&ring).map_err(map_error(map::URGENT))?);
        Ok(Urgent { ring, mapped, heard: Instant::now() })
    }

    /// What has come.
    pub fn next(&mut self) -> Option<RingBufItem<'_>> {
        if self.mapped.is_none() {
            if !has_some(self.as_fd()) {
                return None;
            }
            match mapped(&self.ring) {
                Ok(ring) => self.mapped = Some(ring),
                // What is in it stays there.
                Err(why) => log::warn!("the ring of urgent records cannot be mapped: {why}"),
            }
        }
        self.mapped.as_mut()?.next()
    }

    /// All has been read. `heard`: there was something.
    pub fn rest(&mut self, heard: bool) {
        if heard {
            self.heard = Instant::now();
        } else if self.mapped.is_some() && self.heard.elapsed() >= QUIET {
            self.mapped = None;
        }
    }
}

impl AsFd for Urgent {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ring.fd().as_fd()
    }
}

fn mapped(ring: &MapData) -> Result<RingBuf<MapData>, MapError> {
    let fd = ring.fd().as_fd().try_clone_to_owned().map_err(MapError::IoError)?;
    RingBuf::try_from(Map::RingBuf(MapData::from_fd(fd)?))
}

fn has_some(fd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    // Unable to ask, better look.
    poll(&mut fds, Some(&Timespec::default())).is_err() || !fds[0].revents().is_empty()
}
