//! What each path says.
use super::guard::{Guard, Refusal};
use super::route::{JSON, PPROF, Route, TEXT, paths};
use super::{Sources, openapi};
use crate::config::ProfileOf;
use crate::config::file::Http;
use crate::dossier::Present;
use crate::error::Error;
use crate::procfs::own::OwnCost;
use crate::sink::json;
use crate::sink::metrics::{Admitted, CONTENT_TYPE, Scrape};
use crate::sink::oom::{write_json, write_list};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE as TYPE_HEADER, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Method, Request, Response, StatusCode};
use std::io;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Mutex, Semaphore, oneshot};
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// An answer of the processing thread serves all that ask within so long: it is asked no more often.
const SHARED: Duration = Duration::from_millis(100);
/// Of one process it is asked no more often than this, and one question after the other.
const APART: Duration = Duration::from_millis(10);
/// The processing thread may take this part of a request's time.
const PATIENCE: u32 = 2;

const BUSY: &str = "memtrace has no time to answer: try again";
/// Dossiers in the list.
const DOSSIERS: usize = 100;
/// Profiles and files that are read at once: they take memory, and time of a CPU.
const READERS: usize = 1;

type Answer = Response<Full<Bytes>>;
type Newest = Option<(Instant, Arc<Present>)>;

/// Of one server.
pub(super) struct Answers {
    sources: Arc<dyn Sources>,
    max_series: usize,
    compat_names: bool,
    admitted: StdMutex<Admitted>,
    patience: Duration,
    newest: Arc<Mutex<Newest>>,
    /// When it was last asked of one process.
    asked: Mutex<Option<Instant>>,
    readers: Arc<Semaphore>,
}

impl Answers {
    pub(super) fn new(sources: Arc<dyn Sources>, config: &Http) -> Answers {
        Answers {
            sources,
            max_series: config.max_series_processes,
            compat_names: config.compat_names,
            admitted: StdMutex::default(),
            patience: config.request_timeout / PATIENCE,
            newest: Arc::default(),
            asked: Mutex::default(),
            readers: Arc::new(Semaphore::new(READERS)),
        }
    }

    pub(super) async fn to(self: &Arc<Self>, request: &Request<Incoming>, guard: &Guard) -> Answer {
        let route = Route::of(request.uri().path());
        match guard.check(request.headers(), request.uri().host()) {
            Ok(()) => {}
            // A kubelet's probe has no token to send, and this says nothing of anybody.
            Err(Refusal::Token) if matches!(route, Some(Route::Health | Route::Ready)) => {}
            Err(Refusal::Token) => {
                let mut refused = said(StatusCode::UNAUTHORIZED, "a token is wanted: Authorization: Bearer TOKEN");
                refused.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
                return refused;
            }
            Err(Refusal::Host) => {
                return said(StatusCode::MISDIRECTED_REQUEST, "not of that name: ask an address, or localhost");
            }
        }
        let Some(route) = route else {
            return said(StatusCode::NOT_FOUND, &format!("not here; there are {}", paths()));
        };
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut refused = said(StatusCode::METHOD_NOT_ALLOWED, "GET and HEAD only");
            refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refused;
        }
        timeout(self.patience, self.at(route)).await.unwrap_or_else(|_| busy())
    }

    async fn at(self: &Arc<Self>, route: Route) -> Answer {
        match route {
            Route::Health => said(StatusCode::OK, "ok"),
            Route::Ready if self.sources.is_ready() => said(StatusCode::OK, "ready"),
            Route::Ready => said(StatusCode::SERVICE_UNAVAILABLE, "not everybody has been looked at yet"),
            Route::OpenApi => answer(StatusCode::OK, JSON, openapi::document().to_string().into_bytes()),
            Route::Metrics => self.present().await.map_or_else(busy, |present| self.metrics(&present)),
            Route::Processes => {
                let list = |present: Arc<Present>| rendered(|body| json::write_processes(body, &present));
                self.present().await.map_or_else(busy, list)
            }
            Route::Process(pid) => self.process(pid).await,
            Route::Profile(pid, of) => self.profile(pid, of).await,
            Route::Deaths => self.read(deaths).await,
            Route::Death(id) => self.read(move |sources| death(sources, &id)).await,
        }
    }

    fn metrics(&self, present: &Present) -> Answer {
        let deaths = self.sources.deaths();
        let (deaths, max_series, compat_names) = (deaths.as_ref(), self.max_series, self.compat_names);
        let scrape = Scrape { present, own: OwnCost::read(), deaths, max_series, compat_names };
        let mut admitted = self.admitted.lock().unwrap_or_else(PoisonError::into_inner);
        match scrape.render(&mut admitted) {
            Ok(text) => answer(StatusCode::OK, CONTENT_TYPE, text.into_bytes()),
            Err(why) => said(StatusCode::INTERNAL_SERVER_ERROR, &why.to_string()),
        }
    }

    async fn process(&self, pid: u32) -> Answer {
        let mut asked = self.asked.lock().await;
        if let Some(last) = *asked {
            sleep_until(last + APART).await;
        }
        *asked = Some(Instant::now());
        let (to, from) = oneshot::channel();
        if !self.sources.portrait(pid, to) {
            return busy();
        }
        match from.await {
            Ok(Some(of)) => rendered(|body| json::write_living(body, &of)),
            Ok(None) => not_watched(pid),
            Err(_) => busy(),
        }
    }

    /// Only of who is watched: the API is no way to look into others.
    async fn profile(self: &Arc<Self>, pid: u32, of: ProfileOf) -> Answer {
        let Some(present) = self.present().await else { return busy() };
        if !present.processes.iter().any(|living| living.process.pid == Some(pid)) {
            return not_watched(pid);
        }
        drop(present);
        self.read(move |sources| match sources.profile(pid, of) {
            Ok(pprof) => answer(StatusCode::OK, PPROF, pprof),
            // There is none of it, or none that may be read from here.
            Err(why @ (Error::NoTarget(_) | Error::Host(_))) => said(StatusCode::NOT_FOUND, &why.to_string()),
            Err(why) => said(StatusCode::INTERNAL_SERVER_ERROR, &why.to_string()),
        })
        .await
    }

    /// On a thread that may wait, one after the other.
    async fn read(self: &Arc<Self>, read: impl FnOnce(&dyn Sources) -> Answer + Send + 'static) -> Answer {
        let Ok(permit) = Arc::clone(&self.readers).acquire_owned().await else { return busy() };
        let answers = Arc::clone(self);
        let reading = tokio::task::spawn_blocking(move || {
            let answer = read(&*answers.sources);
            // Not before: who asked may have given up.
            drop(permit);
            answer
        });
        reading.await.unwrap_or_else(|_| said(StatusCode::INTERNAL_SERVER_ERROR, "could not be read"))
    }

    /// One question at a time. `None`: there is no answer, now or any more.
    async fn present(&self) -> Option<Arc<Present>> {
        let mut newest = self.newest.lock().await;
        if let Some((_, present)) = newest.as_ref().filter(|(at, _)| at.elapsed() < SHARED) {
            return Some(Arc::clone(present));
        }
        *newest = None;
        let (to, from) = oneshot::channel();
        if !self.sources.present(to) {
            return None;
        }
        let present: Arc<Present> = Arc::from(from.await.ok()?);
        *newest = Some((Instant::now(), Arc::clone(&present)));
        tokio::spawn(forget(Arc::clone(&self.newest)));
        Some(present)
    }
}

/// Of many processes it is megabytes.
async fn forget(newest: Arc<Mutex<Newest>>) {
    sleep(SHARED).await;
    newest.lock().await.take_if(|(at, _)| at.elapsed() >= SHARED);
}

fn deaths(sources: &dyn Sources) -> Answer {
    match sources.dossiers(DOSSIERS) {
        Some(all) => rendered(|body| write_list(body, &all)),
        None => said(StatusCode::NOT_FOUND, "no dossiers are saved: memtrace was started with --no-save"),
    }
}

fn death(sources: &dyn Sources, id: &str) -> Answer {
    match sources.dossier(id) {
        Some(document) => rendered(|body| write_json(body, &document)),
        None => said(StatusCode::NOT_FOUND, "no such dossier; /api/v1/oom lists them"),
    }
}

fn busy() -> Answer {
    said(StatusCode::SERVICE_UNAVAILABLE, BUSY)
}

fn not_watched(pid: u32) -> Answer {
    said(StatusCode::NOT_FOUND, &format!("process {pid} is not watched"))
}

/// As JSON.
fn rendered(write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> Answer {
    let mut body = Vec::new();
    match write(&mut body) {
        Ok(()) => answer(StatusCode::OK, JSON, body),
        Err(why) => said(StatusCode::INTERNAL_SERVER_ERROR, &why.to_string()),
    }
}

fn said(status: StatusCode, line: &str) -> Answer {
    answer(status, TEXT, format!("{line}\n").into_bytes())
}

fn answer(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Answer {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(TYPE_HEADER, HeaderValue::from_static(content_type));
    response
}
