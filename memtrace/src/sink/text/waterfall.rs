//! RSS at the start and at the end of a window, side by side.
use super::style::Style;
use super::units::{clean, maybe, signed_size, size};
use crate::aggregate::waterfall::{Anonymous, Waterfall};
use std::io::{self, Write};

/// Smaller buckets are added up: a bucket has this part of RSS at one of the ends, or moved by it.
const SHOWN_SHARE: u64 = 100;

pub(super) fn write_waterfalls(
    out: &mut impl Write,
    style: Style,
    [start, end]: &[Option<Box<Waterfall>>; 2],
) -> io::Result<()> {
    if start.is_none() && end.is_none() {
        return Ok(());
    }
    let head = format!("  {:<30} {:>10} {:>10} {:>11}", "where RSS is", "start", "end", "change");
    writeln!(out, "{}", style.dim(&head))?;
    let least = [start, end].iter().filter_map(|fall| fall.as_ref()).map(|fall| fall.rss_bytes).max().unwrap_or(0)
        / SHOWN_SHARE;
    let mut small = [0u64; 2];
    for (name, title) in names(start.as_deref(), end.as_deref()) {
        let bytes = [start, end].map(|fall| fall.as_ref().map(|fall| fall.bytes(name)));
        if bytes.iter().flatten().all(|bytes| *bytes < least) {
            small.iter_mut().zip(bytes).for_each(|(sum, bytes)| *sum += bytes.unwrap_or(0));
        } else {
            row(out, title, bytes)?;
        }
    }
    let known = |sum: u64, fall: &Option<Box<Waterfall>>| fall.as_ref().map(|_| sum);
    row(out, "all others", [known(small[0], start), known(small[1], end)])?;
    row(out, "unknown", [start, end].map(|fall| fall.as_ref().map(|fall| fall.unknown_bytes)))?;
    end.as_ref().map_or(Ok(()), |end| write_creators(out, &end.anonymous))
}

/// Those that are known: calls before the window, and without `--stack`, are not.
fn write_creators(out: &mut impl Write, mappings: &[Anonymous]) -> io::Result<()> {
    let known: Vec<(&Anonymous, &str)> = mappings.iter().filter_map(|m| Some((m, m.creator.as_deref()?))).collect();
    if !known.is_empty() {
        writeln!(out, "  other anonymous mappings, by who made them")?;
    }
    for (mapping, creator) in known {
        writeln!(out, "  {:>10}  {:#x}  {}", size(mapping.bytes), mapping.range.start, clean(creator, 60))?;
    }
    Ok(())
}

/// Names and titles of both, in the order of the account as far as one of them has it.
fn names(start: Option<&Waterfall>, end: Option<&Waterfall>) -> Vec<(&'static str, &'static str)> {
    let mut names: Vec<(&str, &str)> = Vec::new();
    for bucket in [end, start].into_iter().flatten().flat_map(|fall| &fall.buckets) {
        if !names.iter().any(|(name, _)| *name == bucket.name) {
            names.push((bucket.name, bucket.title));
        }
    }
    names
}

fn row(out: &mut impl Write, title: &str, [start, end]: [Option<u64>; 2]) -> io::Result<()> {
    let change = start.zip(end).map(|(start, end)| i128::from(end) - i128::from(start));
    let change = match change {
        Some(0) => "0".to_owned(),
        Some(change) if change > 0 => format!("+{}", size(u64::try_from(change).unwrap_or(u64::MAX))),
        Some(change) => signed_size(i64::try_from(change).unwrap_or(i64::MIN)),
        None => "-".to_owned(),
    };
    writeln!(out, "  {title:<30} {:>10} {:>10} {change:>11}", maybe(start), maybe(end))
}
