//! The ring of urgent records. With room for all that is walked of the dying it is large, and empty nearly always; mapped, all
//! of its pages count as resident, and twice. So it is mapped while something comes, and for a while after that.
use super::{KernelError, map_error};
use aya::maps::ring_buf::RingBufItem;
use aya::maps::{Map, MapData, RingBuf};
use memtrace_common::names::map;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::{Duration, Instant};

/// Without a record for so long it is unmapped: to map and unmap 8 MiB takes some 0.3 ms, so that this costs little at any pace.
const QUIET: Duration = Duration::from_secs(1);

/// Where the reader is, the kernel's part of it knows: nothing is lost or read twice over a mapping.
pub struct Urgent {
    /// Lives as long as memtrace: programs are loaded by its number, and to map it takes no other.
    ring: &'static Map,
    mapped: Option<RingBuf<&'static MapData>>,
    has_failed: bool,
    heard: Instant,
}

impl Urgent {
    pub(super) fn open(ring: Map) -> Result<Urgent, KernelError> {
        let ring: &Map = Box::leak(Box::new(ring));
        let mapped = RingBuf::try_from(ring).map_err(map_error(map::URGENT))?;
        Ok(Urgent { ring, mapped: Some(mapped), has_failed: false, heard: Instant::now() })
    }

    /// What has come.
    pub fn next(&mut self) -> Option<RingBufItem<'_>> {
        if self.mapped.is_none() {
            if !has_some(self.ring) {
                return None;
            }
            match RingBuf::try_from(self.ring) {
                Ok(ring) => self.mapped = Some(ring),
                // What is in it stays there.
                Err(why) if !std::mem::replace(&mut self.has_failed, true) => {
                    log::warn!("the ring of urgent records cannot be mapped: {why}");
                }
                Err(_) => {}
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

impl Urgent {
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        fd(self.ring)
    }
}

fn fd(ring: &Map) -> Option<BorrowedFd<'_>> {
    match ring {
        Map::RingBuf(data) => Some(data.fd().as_fd()),
        _ => None,
    }
}

fn has_some(ring: &Map) -> bool {
    let Some(fd) = fd(ring) else { return true };
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    // Unable to ask, better look.
    poll(&mut fds, Some(&Timespec::default())).is_err() || !fds[0].revents().is_empty()
}
