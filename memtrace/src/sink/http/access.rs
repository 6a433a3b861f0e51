//! Who may read, and over what. It rests on files that become others while the server runs: tokens and certificates end.
use super::guard::Guard;
#[cfg(feature = "tls")]
use super::tls;
use crate::config::file::Http;
use crate::error::Error;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// What makes an open connection a safe one.
#[cfg(feature = "tls")]
pub(super) type Tls = Option<tokio_rustls::TlsAcceptor>;
#[cfg(not(feature = "tls"))]
pub(super) type Tls = ();

/// Of a connection, to its end.
pub(super) struct Access {
    pub(super) guard: Guard,
    #[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "nothing is encrypted"))]
    pub(super) tls: Tls,
}

impl Access {
    fn read(config: &Http) -> Result<Access, Error> {
        Ok(Access { guard: Guard::new(config.token_file(), config.is_loopback())?, tls: tls_of(config)? })
    }
}

/// The files of token, certificate and key, and what counts of them.
#[derive(Clone)]
pub struct Secrets {
    config: Arc<Http>,
    now: Arc<Mutex<Arc<Access>>>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").finish_non_exhaustive()
    }
}

impl Secrets {
    pub(super) fn new(config: Http) -> Result<Secrets, Error> {
        let now = Arc::new(Mutex::new(Arc::new(Access::read(&config)?)));
        Ok(Secrets { config: Arc::new(config), now })
    }

    /// Those there are.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.config.token_file().into_iter().chain(self.config.tls_files().into_iter().flatten())
    }

    /// What they say counts from the next connection on; after an error what was read before still does, all of it.
    pub fn read(&self) -> Result<(), Error> {
        let read = Arc::new(Access::read(&self.config)?);
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = read;
        Ok(())
    }

    pub(super) fn now(&self) -> Arc<Access> {
        Arc::clone(&self.now.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(feature = "tls")]
fn tls_of(config: &Http) -> Result<Tls, Error> {
    config.tls_files().map(tls::acceptor).transpose()
}

#[cfg(not(feature = "tls"))]
fn tls_of(config: &Http) -> Result<Tls, Error> {
    match config.tls_files() {
        Some(_) => Err(Error::Host("this memtrace was built without TLS: leave tls_certificate_file empty".to_owned())),
        None => Ok(()),
    }
}
