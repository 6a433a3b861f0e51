//! A line per Go process, the largest first.
use super::style::Style;
use super::units::{clean, clean_path, maybe};
use crate::sink::{GoList, GoRow};
use std::io::{self, Write};

pub fn write_ps(out: &mut dyn Write, list: &GoList, style: Style) -> io::Result<()> {
    let head = format!(
        "{:>7} {:<15} {:<10} {:<7} {:<16} {:>9} {:>9} {:>9} {:>9} {:>9} {:>10} {:>5}  {:<40} {}",
        "PID",
        "COMMAND",
        "GO",
        "READ BY",
        "BUILD",
        "RSS",
        "HEAP",
        "IDLE",
        "REL-RES",
        "LIMIT",
        "GOMEMLIMIT",
        "GOGC",
        "CGROUP",
        "EXE"
    );
    writeln!(out, "{}", style.bold(&head))?;
    for row in &list.rows {
        writeln!(out, "{}", line(row).trim_end())?;
        if let Some(why) = &row.refused {
            writeln!(out, "{}", style.alarm(&format!("{:>7} {}", "", clean(why, 160))))?;
        }
    }
    Ok(())
}

fn line(row: &GoRow) -> String {
    let version = row.build.as_ref().map_or("-", |build| build.version.as_str());
    let is_read = row.read_by.is_some();
    // Not read: nothing is known, which is not the same as no limit.
    let setting =
        |value: Option<String>, none: &str| value.unwrap_or_else(|| if is_read { none } else { "-" }.to_owned());
    format!(
        "{:>7} {:<15} {:<10} {:<7} {:<16} {:>9} {:>9} {:>9} {:>9} {:>9} {:>10} {:>5}  {:<40} {}",
        row.pid,
        clean(row.comm.as_deref().unwrap_or("-"), 15),
        clean(version, 24),
        row.read_by.map_or("refused", |by| by.as_str()),
        build(row),
        maybe(row.rss_bytes),
        maybe(row.heap_inuse_bytes),
        maybe(row.retained_idle_bytes),
        maybe(row.released_resident_bytes),
        row.limit_bytes.map_or("none".to_owned(), super::units::size),
        setting(row.gomemlimit_bytes.map(super::units::size), "none"),
        setting(row.gogc_percent.map(|percent| percent.to_string()), "off"),
        clean_path(row.cgroup_path.as_deref().unwrap_or("-"), 40),
        clean_path(row.exe.as_deref().unwrap_or("-"), 60),
    )
}

fn build(row: &GoRow) -> String {
    let Some(build) = &row.build else { return "-".to_owned() };
    let words = [("stripped", build.stripped), ("pie", build.pie), ("cgo", build.cgo == Some(true))];
    let words: Vec<&str> = words.iter().filter(|(_, is)| *is).map(|(word, _)| *word).collect();
    if words.is_empty() { "plain".to_owned() } else { words.join(",") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::goruntime::{GoBuild, ReadBy};

    #[test]
    fn what_is_not_known_is_a_dash_and_refusals_say_why() {
        let build = GoBuild { version: "go1.26.6".into(), stripped: true, pie: true, cgo: Some(false), release: None };
        let read = GoRow {
            pid: 7,
            comm: Some("a\x1b[31mb".into()),
            build: Some(build.clone()),
            read_by: Some(ReadBy::Vote),
            rss_bytes: Some(25 << 20),
            ..GoRow::default()
        };
        let refused = GoRow { pid: 8, build: Some(build), refused: Some("why not".into()), ..GoRow::default() };
        let mut out = Vec::new();
        let list = GoList { rows: vec![read, refused], not_permitted: 0 };
        write_ps(&mut out, &list, Style::default()).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(
            lines[1].contains("vote") && lines[1].contains("stripped,pie") && lines[1].contains("none   off"),
            "{text}"
        );
        assert!(lines[2].contains("refused") && lines[2].contains("         -     -  -"), "{text}");
        assert!(lines[3].ends_with("why not") && !text.contains('\x1b'));
    }
}
