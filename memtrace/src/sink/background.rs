//! A thread of its own for what talks to others over the network, with a clock and sockets of tokio's.
use crate::error::Error;
use std::future::Future;
use std::thread::{self, JoinHandle};
use tokio::runtime::Builder;
use tokio::sync::oneshot;

/// Dropped, it is told to stop, and waited for.
#[derive(Debug)]
pub struct Background {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    /// `begin` makes the work, where tokio is; that runs to its end, which is soon after `stopped` is.
    pub(super) fn start<W: Future<Output = ()> + Send + 'static>(
        name: &str,
        begin: impl FnOnce(oneshot::Receiver<()>) -> Result<W, Error>,
    ) -> Result<Background, Error> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(Error::io("cannot start tokio"))?;
        let (stop, stopped) = oneshot::channel();
        let entered = runtime.enter();
        let work = begin(stopped)?;
        drop(entered);
        let working = move || {
            runtime.block_on(work);
            // A name that nobody resolves, or a file that nobody answers for, holds a thread, which nobody waits for.
            runtime.shutdown_background();
        };
        let thread = thread::Builder::new().name(name.to_owned()).spawn(working);
        let thread = Some(thread.map_err(Error::io("cannot start a thread"))?);
        Ok(Background { stop: Some(stop), thread })
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
