//! The dossier of one death: `memtrace.oom/1` as JSON, and what a person reads. Text is rendered from the document, so
//! that one that was saved reads as it did on the day.
mod build;
mod counters;
mod document;
mod list;
mod sections;
mod spark;
#[cfg(test)]
mod tests;

pub use counters::{COUNTERS_SCHEMA, Causes, Counted, Counters, write_counters, write_counters_json};
pub use document::{Document, OOM_SCHEMA, TimelineJson};
pub(super) use document::{TopJson, WorkloadJson};
pub use list::write_list;

use super::text::Style;
use sections::Section;
use std::io::{self, Write};
use std::net::SocketAddr;

/// One object on one line.
pub fn write_json(out: &mut dyn Write, document: &Document) -> io::Result<()> {
    serde_json::to_writer(&mut *out, document)?;
    writeln!(out)
}

pub fn write_text(out: &mut dyn Write, document: &Document, style: Style) -> io::Result<()> {
    writeln!(out, "{}", style.bold(&sections::headline(document)))?;
    for Section { title, lines } in sections::of(document) {
        writeln!(out, "\n{}", style.dim(title))?;
        lines.iter().try_for_each(|line| writeln!(out, "  {line}"))?;
    }
    Ok(())
}

pub fn write_markdown(out: &mut dyn Write, document: &Document) -> io::Result<()> {
    writeln!(out, "# {}", sections::headline(document))?;
    for Section { title, lines } in sections::of(document) {
        writeln!(out, "\n## {title}\n\n```text")?;
        lines.iter().try_for_each(|line| writeln!(out, "{line}"))?;
        writeln!(out, "```")?;
    }
    Ok(())
}

/// From here on a death is seen.
pub fn write_start(
    out: &mut dyn Write,
    style: Style,
    processes: usize,
    directory: Option<&str>,
    recording: Option<&str>,
    listen: Option<SocketAddr>,
) -> io::Result<()> {
    // A recording has the dossiers, too.
    let saved = match (directory, recording) {
        (Some(directory), None) => format!("dossiers are saved in {directory}"),
        (Some(directory), Some(to)) => format!("dossiers are saved in {directory}, all is recorded in {to}"),
        (None, Some(to)) => format!("all is recorded in {to}"),
        (None, None) => "dossiers are not saved".to_owned(),
    };
    let what = if processes == 1 { "process" } else { "processes" };
    let listening = listen.map_or(String::new(), |address| format!("; listening on http://{address}"));
    writeln!(out, "{}", style.dim(&format!("watching {processes} {what}; {saved}{listening}")))
}

/// A line of a list of dossiers.
pub fn write_row(out: &mut dyn Write, document: &Document) -> io::Result<()> {
    writeln!(out, "{}", sections::row(document))
}
