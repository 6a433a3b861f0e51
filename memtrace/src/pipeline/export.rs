//! What is sent on: by an exporter, where one is asked for and built in.
use crate::config::file::Otlp;
use crate::error::Error;
use crate::sink::background::Background;
use crate::sink::happened::Events;
use crate::sink::http::Sources;
#[cfg(feature = "otlp")]
use crate::sink::otlp::Exporter;
use std::sync::Arc;

/// Nothing is built in.
#[cfg(not(feature = "otlp"))]
enum Exporter {}

#[cfg(not(feature = "otlp"))]
impl Exporter {
    fn new(_: Otlp) -> Result<Exporter, Error> {
        Err(Error::Usage("[otlp] endpoint: this memtrace was built without the feature otlp".to_owned()))
    }

    fn events(&self) -> Events {
        match *self {}
    }

    fn start(self, _: Arc<dyn Sources>, _: usize) -> Result<Background, Error> {
        match self {}
    }
}

/// `None`: nobody asked for it.
pub(super) struct Export(Option<Exporter>);

impl Export {
    pub(super) fn new(config: Otlp) -> Result<Export, Error> {
        let config = config.with_environment(|name| std::env::var(name).ok()).map_err(Error::Usage)?;
        let is_wanted = !config.endpoint.is_empty();
        Ok(Export(is_wanted.then(|| Exporter::new(config)).transpose()?))
    }

    pub(super) fn events(&self) -> Events {
        self.0.as_ref().map(Exporter::events).unwrap_or_default()
    }

    /// `max_series`: processes with figures of their own.
    pub(super) fn start(self, sources: Arc<dyn Sources>, max_series: usize) -> Result<Option<Background>, Error> {
        self.0.map(|exporter| exporter.start(sources, max_series)).transpose()
    }
}
