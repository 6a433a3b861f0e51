//! Folded stacks (`outermost;…;innermost value` a line), and a flame graph of them.
use crate::goruntime::Frame;
use crate::profile::Profile;
use std::io::{self, Write};

/// One line per stack with the value of that index; stacks without any are left out.
pub fn write_folded(out: &mut dyn Write, profile: &Profile, index: usize) -> io::Result<()> {
    lines(profile, index).iter().try_for_each(|line| writeln!(out, "{line}"))
}

/// `title`: what it is a profile of. Of a difference only what grew has a width.
pub fn write_svg(out: &mut dyn Write, profile: &Profile, index: usize, title: &str) -> io::Result<()> {
    let mut options = inferno::flamegraph::Options::default();
    options.title = title.to_owned();
    options.count_name = profile.types.get(index).map(|of| of.unit.clone()).unwrap_or_default();
    let lines = lines(profile, index);
    let has_grown = |line: &&str| line.rsplit(' ').next().is_some_and(|value| !value.starts_with('-'));
    let lines = lines.iter().map(String::as_str).filter(has_grown);
    // Whole before it is written: the library hides what goes wrong with the output.
    let mut svg = Vec::new();
    let drawn = inferno::flamegraph::from_lines(&mut options, lines, &mut svg);
    // Of nothing it draws a picture that says so, and fails.
    if svg.is_empty() {
        drawn.map_err(|error| io::Error::other(error.to_string()))?;
    }
    out.write_all(&svg)
}

fn lines(profile: &Profile, index: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for sample in &profile.samples {
        let value = sample.values.get(index).copied().unwrap_or(0);
        if value == 0 {
            continue;
        }
        let mut names: Vec<String> = sample.stack.iter().rev().map(name).collect();
        let labels = ["state", "wait_reason"].iter().filter_map(|label| sample.labels.get(*label));
        names.extend(labels.map(|label| format!("[{}]", plain(label))));
        lines.push(format!("{} {value}", names.join(";")));
    }
    lines
}

fn name(frame: &Frame) -> String {
    frame.function.as_deref().map_or_else(|| format!("{:#x}", frame.address), plain)
}

/// Semicolons part frames and the last space the value; a program may be named anything.
fn plain(name: &str) -> String {
    name.chars()
        .map(|c| {
            if c == ';' {
                ':'
            } else if c.is_control() {
                '?'
            } else {
                c
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{Sample, ValueType};

    fn profile() -> Profile {
        let frame = |function: &str| Frame { function: Some(function.into()), ..Frame::default() };
        let labels = [("state".to_owned(), "waiting".to_owned()), ("wait_reason".to_owned(), "select".to_owned())];
        Profile {
            types: vec![ValueType::new("goroutine", "count")],
            shown: 0,
            period: None,
            samples: vec![
                Sample {
                    stack: vec![frame("main.f;\n1"), Frame { address: 16, ..Frame::default() }],
                    labels: labels.into(),
                    values: vec![7],
                    ..Sample::default()
                },
                Sample { stack: vec![frame("main.g")], values: vec![0], ..Sample::default() },
            ],
        }
    }

    #[test]
    fn outermost_first_and_nothing_that_breaks_a_line() {
        let mut out = Vec::new();
        write_folded(&mut out, &profile(), 0).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "0x10;main.f:?1;[waiting];[select] 7\n");
    }

    #[test]
    fn a_flame_graph_names_each_frame() {
        let mut out = Vec::new();
        write_svg(&mut out, &profile(), 0, "goroutines of 1").unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("<?xml") && text.contains("main.f:?1") && text.contains("goroutines of 1"));
    }

    #[test]
    fn a_flame_graph_of_what_shrank_or_of_nothing_is_drawn_too() {
        let mut shrunk = profile();
        shrunk.samples[0].values = vec![-7];
        shrunk.samples[1].values = vec![3];
        for samples in [shrunk.samples, Vec::new()] {
            let mut out = Vec::new();
            let has_grown = !samples.is_empty();
            write_svg(&mut out, &Profile { samples, ..profile() }, 0, "difference").unwrap();
            let text = String::from_utf8(out).unwrap();
            assert!(text.ends_with("</svg>") || text.ends_with("</svg>\n"), "{text}");
            assert_eq!((text.contains("main.g"), text.contains("main.f")), (has_grown, false));
        }
    }
}
