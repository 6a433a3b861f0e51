//! What is known now over HTTP, on a thread of its own. Bounded: connections, the bytes of a request, the time of each, and
//! how often the processing thread is asked, whoever they are that ask.
mod access;
mod answer;
mod guard;
mod openapi;
mod route;
#[cfg(test)]
mod tests;
#[cfg(feature = "tls")]
mod tls;

use super::background::Background;
use super::oom::{Counters, Document};
use crate::config::ProfileOf;
use crate::config::file::Http;
use crate::dossier::{Dossier, Present};
use crate::error::Error;
use access::Access;
pub use access::Secrets;
use answer::Answers;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::fmt;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{sleep, timeout};

/// Of a request line with all headers.
const MAX_REQUEST_BYTES: usize = 16 << 10;
const MAX_HEADERS: usize = 64;
/// There may be no descriptor left for a connection.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// Where answers come from.
pub trait Sources: Send + Sync + 'static {
    /// Everybody who was there at the start has been looked at.
    fn is_ready(&self) -> bool;
    /// Asks for what is known; false: there is no room for the question.
    fn present(&self, to: oneshot::Sender<Box<Present>>) -> bool;
    /// Asks for all that is known of one process; the same.
    fn portrait(&self, pid: u32, to: oneshot::Sender<Option<Box<Dossier>>>) -> bool;
    /// By workload, over restarts.
    fn deaths(&self) -> Option<Counters>;
    /// A profile of a process in pprof's format; it takes a while.
    fn profile(&self, pid: u32, of: ProfileOf) -> Result<Vec<u8>, Error>;
    /// The newest dossiers that are saved, newest first, no more than this; `None`: nothing is saved.
    fn dossiers(&self, most: usize) -> Option<Vec<Document>>;
    /// The one with this id.
    fn dossier(&self, id: &str) -> Option<Document>;
}

/// Bound, and not served yet: who connects waits.
pub struct Server {
    listener: StdListener,
    address: SocketAddr,
    config: Http,
    secrets: Secrets,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Server {
    pub fn bind(config: Http) -> Result<Server, Error> {
        let secrets = Secrets::new(config.clone())?;
        let bound = StdListener::bind(config.listen).and_then(|listener| {
            listener.set_nonblocking(true)?;
            Ok((listener.local_addr()?, listener))
        });
        let (address, listener) =
            bound.map_err(|why| Error::Host(format!("cannot listen on {}: {why}", config.listen)))?;
        Ok(Server { listener, address, config, secrets })
    }

    /// With the port that was free, if any was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// For who looks whether their files have changed.
    pub fn secrets(&self) -> Secrets {
        self.secrets.clone()
    }

    /// Serves as long as what it returns lives.
    pub fn start(self, sources: Arc<dyn Sources>) -> Result<Background, Error> {
        let Server { listener, config, secrets, .. } = self;
        Background::start("http", |stopped| {
            let listener = TcpListener::from_std(listener).map_err(Error::io("cannot listen"))?;
            Ok(async move {
                tokio::select! {
                    () = serve(listener, config, secrets, sources) => {}
                    _ = stopped => {}
                }
            })
        })
    }
}

async fn serve(listener: TcpListener, config: Http, secrets: Secrets, sources: Arc<dyn Sources>) {
    let room = Arc::new(Semaphore::new(config.max_connections));
    let answers = Arc::new(Answers::new(sources, &config));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(why) => {
                log::debug!("no connection: {why}");
                sleep(AFTER_FAILURE).await;
                continue;
            }
        };
        // Without room it is closed.
        if let Ok(permit) = Arc::clone(&room).try_acquire_owned() {
            let (answers, limit, access) = (Arc::clone(&answers), config.request_timeout, secrets.now());
            tokio::spawn(async move {
                let _ = timeout(limit, accepted(stream, &access, answers, limit)).await;
                drop(permit);
            });
        }
    }
}

#[cfg(feature = "tls")]
async fn accepted(stream: TcpStream, access: &Access, answers: Arc<Answers>, limit: Duration) {
    match &access.tls {
        None => one(stream, access, answers, limit).await,
        Some(tls) => match tls.accept(stream).await {
            Ok(stream) => one(stream, access, answers, limit).await,
            Err(why) => log::debug!("a connection: {why}"),
        },
    }
}

#[cfg(not(feature = "tls"))]
async fn accepted(stream: TcpStream, access: &Access, answers: Arc<Answers>, limit: Duration) {
    one(stream, access, answers, limit).await;
}

/// One request, however slowly it is written and its answer read.
async fn one(stream: impl AsyncRead + AsyncWrite + Unpin, access: &Access, answers: Arc<Answers>, limit: Duration) {
    let answer = |request: Request<Incoming>| {
        let answers = Arc::clone(&answers);
        async move { Ok::<_, Infallible>(answers.to(&request, &access.guard).await) }
    };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limit)
        .max_buf_size(MAX_REQUEST_BYTES)
        .max_headers(MAX_HEADERS)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service_fn(answer));
    if let Err(why) = connection.await {
        log::debug!("a connection: {why}");
    }
}
