//! What the tables share: bars, and words within 100 columns.
use super::units::clean;
use std::io::{self, Write};

/// Widest bar.
const BAR: usize = 40;
pub(super) const COLUMNS: usize = 100;

/// A share as a length; nothing beyond the whole.
pub(super) fn bar(share: f64) -> String {
    "█".repeat((share.clamp(0.0, 1.0) * BAR as f64).round() as usize)
}

/// Words broken over lines of at most [`COLUMNS`]; further lines stand under the first.
pub(super) fn wrapped(out: &mut dyn Write, lead: &str, text: &str, paint: impl Fn(&str) -> String) -> io::Result<()> {
    broken(lead, text, COLUMNS).iter().try_for_each(|line| writeln!(out, "{}", paint(line)))
}

/// The same as lines of at most so many columns.
pub(in crate::sink) fn broken(lead: &str, text: &str, columns: usize) -> Vec<String> {
    let indent = lead.chars().count();
    let mut lines = Vec::new();
    let mut line = lead.to_owned();
    let mut is_empty = true;
    for word in clean(text, 1000).split(' ').map(|word| clean(word, columns.saturating_sub(indent))) {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > columns {
            lines.push(std::mem::replace(&mut line, " ".repeat(indent)));
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(&word);
        is_empty = false;
    }
    lines.push(line);
    lines
}
