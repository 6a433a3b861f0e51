//! `memtrace agent`: the black box of `watch-oom`, and what it knows of the living over HTTP.
use super::export::Export;
use super::profile::profile;
use super::recording::{Tap, uploader};
use super::reload::Reload;
use super::watch::watch;
use super::work::Work;
use crate::config::file::File;
use crate::config::{Agent, ProfileFormat, ProfileOf, ProfileView};
use crate::dossier::store::{COUNTERS, Store};
use crate::dossier::{Dossier, Present};
use crate::error::Error;
use crate::host::rights;
use crate::kernel::Kernel;
use crate::procfs::clock;
use crate::sink::background::Background;
use crate::sink::happened::Events;
use crate::sink::http::{Server, Sources};
use crate::sink::oom::{Counters, Document};
use crate::sink::text::Style;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::SyncSender;
use tokio::sync::oneshot;

/// `memtrace agent`.
pub fn agent(config: Agent, out: impl Write + Send + 'static) -> Result<ExitCode, Error> {
    let Agent { watch: config, over, file } = config;
    let (http, otlp, recording) = (file.http.clone(), file.otlp.clone(), file.recording.clone());
    let uploader = uploader(&recording)?;
    let recorded = recording.enabled.then_some(&recording.directory);
    let writes = config.directory.iter().chain(recorded).cloned().collect();
    let (export, max_series) = (Export::new(otlp)?, http.max_series_processes);
    let server = Server::bind(http)?;
    let secrets = server.secrets();
    let served =
        Served { server, ready: Arc::default(), directory: config.directory.clone(), writes, export, max_series };
    let reload = Reload::new(over, file, secrets);
    watch(config, Some((served, reload)), || Tap::of_agent(&recording, uploader), out)
}

/// What `--check-config` says of a file that can be read: whether those are right that it names for uploads.
pub fn check(file: &File) -> Result<(), Error> {
    uploader(&file.recording).map(drop)
}

/// What will be served as soon as there is somebody to ask.
pub(super) struct Served {
    server: Server,
    ready: Arc<AtomicBool>,
    /// Of the dossiers.
    directory: Option<PathBuf>,
    /// And all directories that are written to.
    writes: Vec<PathBuf>,
    export: Export,
    /// Processes with figures of their own.
    max_series: usize,
}

/// What the processing thread knows of it.
#[derive(Clone, Debug)]
pub(super) struct Listening {
    pub(super) address: SocketAddr,
    /// To be set once everybody has been looked at.
    pub(super) ready: Arc<AtomicBool>,
    pub(super) events: Events,
}

impl Served {
    pub(super) fn listening(&self) -> Listening {
        Listening { address: self.server.address(), ready: Arc::clone(&self.ready), events: self.export.events() }
    }

    /// Once all programs are attached, and before there is a second thread: rights are a thread's own.
    pub(super) fn drop_rights(&self, kernel: &mut Kernel) {
        // The self-test's own.
        kernel.finish_leaving();
        let suffices = || !kernel.hears_fatal() || kernel.can_hear_more();
        match rights::drop_rest(&self.writes, suffices) {
            Ok(left) => log::debug!("of all capabilities left: {}", left.join(", ")),
            Err(why) => log::warn!("no capability is dropped: {why}"),
        }
    }

    /// The server, and the exporter, which goes on when nobody is served any more.
    pub(super) fn start(self, work: &SyncSender<Work>) -> Result<(Background, Option<Background>), Error> {
        let Served { server, ready, directory, export, max_series, .. } = self;
        let store = directory.map(|directory| Store::new(directory, u64::MAX));
        let known = Arc::new(Known { ready, work: work.clone(), store });
        Ok((server.start(known.clone())?, export.start(known, max_series)?))
    }
}

/// What is known, for those who ask over HTTP. A full queue is for events: who asks can ask again.
struct Known {
    ready: Arc<AtomicBool>,
    work: SyncSender<Work>,
    store: Option<Store>,
}

impl Sources for Known {
    fn is_ready(&self) -> bool {
        self.ready.load(Relaxed)
    }

    fn present(&self, to: oneshot::Sender<Box<Present>>) -> bool {
        self.work.try_send(Work::Present(clock::monotonic_ns(), to)).is_ok()
    }

    fn portrait(&self, pid: u32, to: oneshot::Sender<Option<Box<Dossier>>>) -> bool {
        self.work.try_send(Work::Portrait(pid, clock::monotonic_ns(), to)).is_ok()
    }

    fn deaths(&self) -> Option<Counters> {
        self.store.as_ref().and_then(deaths)
    }

    fn profile(&self, pid: u32, of: ProfileOf) -> Result<Vec<u8>, Error> {
        let view = ProfileView { of, pid, format: ProfileFormat::Pprof, top: 0, diff: None, sample_index: None };
        let mut pprof = Vec::new();
        profile(&view, Style { color: false }, &mut pprof).map(|()| pprof)
    }

    fn dossiers(&self, most: usize) -> Option<Vec<Document>> {
        let store = self.store.as_ref()?;
        let unread = |why: &io::Error| log::debug!("{}: {why}", store.directory().display());
        let ids = store.ids().inspect_err(unread).unwrap_or_default();
        Some(ids.iter().rev().filter_map(|id| self.dossier(id)).take(most).collect())
    }

    fn dossier(&self, id: &str) -> Option<Document> {
        let read = self.store.as_ref()?.read(id).map_err(|why| why.to_string());
        let parsed = read.and_then(|content| Document::parse(&content));
        parsed.inspect_err(|why| log::debug!("dossier {id}: {why}")).ok()
    }
}

fn deaths(store: &Store) -> Option<Counters> {
    let read = store.beside(COUNTERS).map_err(|why| why.to_string());
    let parsed = read.and_then(|content| content.as_deref().map(Counters::parse).transpose());
    parsed.inspect_err(|why| log::debug!("{COUNTERS} in {}: {why}", store.directory().display())).ok().flatten()
}
