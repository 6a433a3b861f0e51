//! `memtrace oom`: dossiers that were saved.
use crate::config::{Oom, OomFormat};
use crate::dossier::store::{COUNTERS, Store};
use crate::error::Error;
use crate::sink::oom::{
    Counters, Document, write_counters, write_counters_json, write_json, write_markdown, write_row, write_text,
};
use crate::sink::text::Style;
use std::io::{self, Write};
use std::process::ExitCode;

pub fn oom(config: &Oom, out: &mut dyn Write) -> Result<ExitCode, Error> {
    let store = Store::new(config.directory.clone(), u64::MAX);
    let written = match &config.id {
        Some(id) => show(&store, id, config, out)?,
        None if config.counts => counts(&store, config, out)?,
        None => list(&store, config, out)?,
    };
    super::written(out, written).map(|()| ExitCode::SUCCESS)
}

fn counts(store: &Store, config: &Oom, out: &mut dyn Write) -> Result<io::Result<()>, Error> {
    let failed = |why: String| Error::Host(format!("{COUNTERS} in {}: {why}", store.directory().display()));
    let content = store.beside(COUNTERS).map_err(|why| failed(why.to_string()))?;
    let counters =
        content.map_or_else(|| Ok(Counters::default()), |content| Counters::parse(&content)).map_err(failed)?;
    Ok(match config.format {
        OomFormat::Json => write_counters_json(out, &counters),
        OomFormat::Text | OomFormat::Markdown => write_counters(out, &counters),
    })
}

fn list(store: &Store, config: &Oom, out: &mut dyn Write) -> Result<io::Result<()>, Error> {
    let directory = store.directory().display();
    let ids = store.ids().map_err(|why| Error::Host(format!("cannot read {directory}: {why}")))?;
    if ids.is_empty() {
        log::warn!("no dossiers in {directory}: `memtrace watch-oom` writes them");
    }
    for id in ids {
        let document = match read(store, &id) {
            Ok(document) => document,
            Err(why) => {
                log::warn!("{id}: {why}");
                continue;
            }
        };
        let written = match config.format {
            OomFormat::Json => write_json(out, &document),
            OomFormat::Text | OomFormat::Markdown => write_row(out, &document),
        };
        if written.is_err() {
            return Ok(written);
        }
    }
    Ok(Ok(()))
}

fn show(store: &Store, id: &str, config: &Oom, out: &mut dyn Write) -> Result<io::Result<()>, Error> {
    let document = read(store, id).map_err(|why| {
        let directory = store.directory().display();
        Error::NoTarget(format!("dossier {id} in {directory}: {why}; `memtrace oom` lists them"))
    })?;
    Ok(match config.format {
        OomFormat::Json => write_json(out, &document),
        OomFormat::Markdown => write_markdown(out, &document),
        OomFormat::Text => write_text(out, &document, Style { color: config.color }),
    })
}

fn read(store: &Store, id: &str) -> Result<Document, String> {
    let content = store.read(id).map_err(|why| match why.kind() {
        io::ErrorKind::NotFound => "there is none".to_owned(),
        _ => why.to_string(),
    })?;
    Document::parse(&content)
}
