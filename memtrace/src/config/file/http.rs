//! What `memtrace agent` serves, and within which bounds.
use super::duration;
use super::limits::within;
use crate::error::Error;
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

const CONNECTIONS: std::ops::RangeInclusive<usize> = 1..=1024;
const SERIES: std::ops::RangeInclusive<usize> = 1..=1 << 16;
const LONGEST: Duration = Duration::from_secs(300);

/// See [`ABOUT`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    pub listen: SocketAddr,
    pub allow_any_address: bool,
    pub max_connections: usize,
    #[serde(with = "duration")]
    pub request_timeout: Duration,
    pub max_series_processes: usize,
    pub token_file: PathBuf,
    pub tls_certificate_file: PathBuf,
    pub tls_key_file: PathBuf,
    pub compat_names: bool,
}

pub(super) const ABOUT: &[(&str, &str)] = &[
    ("listen", "of memtrace agent: address and port; port 0 is any that is free"),
    ("allow_any_address", "listen on an address that others reach, too, though there is neither a token nor TLS"),
    ("max_connections", "open at once; more are closed"),
    ("request_timeout", "a connection is one request, and lives no longer"),
    ("max_series_processes", "in /metrics: those watched longest; the others are summed up in one more series"),
    ("token_file", "who asks must send what this file holds as `Authorization: Bearer`; empty: no token"),
    ("tls_certificate_file", "PEM, the server's first: answers are encrypted; empty: they are not"),
    ("tls_key_file", "PEM, the key of that certificate"),
    ("compat_names", "in /metrics also go_memstats_* and process_*, named as client_golang names them"),
];

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 9460).into(),
            allow_any_address: false,
            max_connections: 32,
            request_timeout: Duration::from_secs(10),
            max_series_processes: 1000,
            token_file: PathBuf::new(),
            tls_certificate_file: PathBuf::new(),
            tls_key_file: PathBuf::new(),
            compat_names: false,
        }
    }
}

impl Http {
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        within("max_connections", self.max_connections, &CONNECTIONS)?;
        within("max_series_processes", self.max_series_processes, &SERIES)?;
        if self.tls_certificate_file.as_os_str().is_empty() != self.tls_key_file.as_os_str().is_empty() {
            return Err(("tls_key_file", "and tls_certificate_file: one without the other is of no use".to_owned()));
        }
        if self.request_timeout > LONGEST {
            return Err(("request_timeout", "must be from 10ms to 5m".to_owned()));
        }
        Ok(())
    }

    pub fn is_loopback(&self) -> bool {
        self.listen.ip().to_canonical().is_loopback()
    }

    pub fn token_file(&self) -> Option<&Path> {
        Some(self.token_file.as_path()).filter(|path| !path.as_os_str().is_empty())
    }

    /// Certificate and key.
    pub fn tls_files(&self) -> Option<[&Path; 2]> {
        let files = [self.tls_certificate_file.as_path(), self.tls_key_file.as_path()];
        Some(files).filter(|files| files.iter().all(|path| !path.as_os_str().is_empty()))
    }

    /// Who reaches the address reads all of it; of the agent only, since nobody else listens.
    pub fn check_address(&self) -> Result<(), Error> {
        let is_guarded = self.token_file().is_some() || self.tls_files().is_some();
        if self.allow_any_address || is_guarded || self.is_loopback() {
            return Ok(());
        }
        Err(Error::Usage(format!(
            "{} is no loopback address, and others would read what is served there: set token_file or TLS, or \
             --listen-anywhere (allow_any_address = true) if that is meant",
            self.listen
        )))
    }
}
