//! The paths, in one table: what is answered is what `/openapi.json` describes.
use crate::config::ProfileOf;

/// What a path asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Health,
    Ready,
    Metrics,
    Processes,
    Process(u32),
    Profile(u32, ProfileOf),
    Deaths,
    Death(String),
    OpenApi,
}

/// A path with its parameter in braces, what it says, and as what.
pub(super) struct Described {
    pub(super) path: &'static str,
    pub(super) summary: &'static str,
    pub(super) content_type: &'static str,
}

pub(super) const TEXT: &str = "text/plain; charset=utf-8";
pub(super) const JSON: &str = "application/json";
pub(super) const PPROF: &str = "application/octet-stream";

pub(super) const DEATHS: &str = "/api/v1/oom";

const fn row(path: &'static str, summary: &'static str, content_type: &'static str) -> Described {
    Described { path, summary, content_type }
}

pub(super) const ROUTES: &[Described] = &[
    row("/healthz", "200 while memtrace answers", TEXT),
    row("/readyz", "200 once everybody who was there at the start has been looked at, before that 503", TEXT),
    row("/metrics", "Prometheus text; see docs/metrics.md", crate::sink::metrics::CONTENT_TYPE),
    row("/api/v1/processes", "every process that is watched: memtrace.processes/1", JSON),
    row("/api/v1/processes/{pid}", "its page-return ledger, RSS waterfall and timeline: memtrace.process/1", JSON),
    row("/api/v1/processes/{pid}/goroutines", "its goroutines now, read from outside: gzipped pprof", PPROF),
    row("/api/v1/processes/{pid}/heap", "its heap profile now, read from outside: gzipped pprof", PPROF),
    row(DEATHS, "the newest saved dossiers, newest first: memtrace.oom_list/1", JSON),
    row("/api/v1/oom/{id}", "one dossier: memtrace.oom/1", JSON),
    row("/openapi.json", "this API, as OpenAPI 3.1", JSON),
];

impl Route {
    /// `/processes` and `/oom` are found without `/api/v1`, too.
    pub(super) fn of(path: &str) -> Option<Route> {
        let parts: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        let parts = parts.strip_prefix(&["api", "v1"]).unwrap_or(&parts);
        Some(match (parts, path.starts_with("/api/")) {
            (["healthz"], false) => Route::Health,
            (["readyz"], false) => Route::Ready,
            (["metrics"], false) => Route::Metrics,
            (["openapi.json"], false) => Route::OpenApi,
            (["processes"], _) => Route::Processes,
            (["processes", pid], _) => Route::Process(pid.parse().ok()?),
            (["processes", pid, "goroutines"], _) => Route::Profile(pid.parse().ok()?, ProfileOf::Goroutines),
            (["processes", pid, "heap"], _) => Route::Profile(pid.parse().ok()?, ProfileOf::Heap),
            (["oom"], _) => Route::Deaths,
            (["oom", id], _) if !id.is_empty() => Route::Death((*id).to_owned()),
            _ => return None,
        })
    }
}

/// All of them, for who asked for something else.
pub(super) fn paths() -> String {
    let paths: Vec<&str> = ROUTES.iter().map(|route| route.path).collect();
    paths.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_that_is_described_is_found() {
        for route in ROUTES {
            let path = route.path.replace("{pid}", "7").replace("{id}", "x");
            assert!(Route::of(&path).is_some(), "{path}");
        }
        assert_eq!(Route::of("/processes/7/heap"), Some(Route::Profile(7, ProfileOf::Heap)));
        assert_eq!(Route::of("/oom"), Route::of("/api/v1/oom"));
        for path in
            ["", "/", "metrics", "/api/v1/metrics", "/api/v1", "/metrics/", "/processes/7/", "/oom/", "/oom/a/b"]
        {
            assert_eq!(Route::of(path), None, "{path}");
        }
    }
}
