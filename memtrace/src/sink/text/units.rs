//! Numbers as a person reads them, each within 8 columns (9 with its `~`).
use crate::snapshot::ProcessSnapshot;

/// `0`, `512 B`, `1.2 GiB`, `1023 MiB`.
pub(in crate::sink) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    match bytes {
        0 => "0".to_owned(),
        1..1024 => format!("{bytes} B"),
        _ => {
            let mut value = bytes as f64 / 1024.0;
            let mut unit = 0;
            while value >= 1023.5 && unit + 1 < UNITS.len() {
                value /= 1024.0;
                unit += 1;
            }
            scaled(value, UNITS[unit])
        }
    }
}

/// `-` for what is not known.
pub(in crate::sink) fn maybe(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "-".to_owned(), size)
}

/// With a `~` in front when approximate.
pub(super) fn maybe_about(bytes: Option<u64>, approximate: bool) -> String {
    if approximate && bytes.is_some() { format!("~{}", maybe(bytes)) } else { maybe(bytes) }
}

pub(super) fn signed_size(bytes: i64) -> String {
    let sign = if bytes < 0 { "-" } else { "" };
    format!("{sign}{}", size(bytes.unsigned_abs()))
}

/// `0`, `999 ns`, `1.2 µs`, `12.3 ms`, `100 s`, `5.1 h`, `213504 d`.
pub(in crate::sink) fn duration(ns: u64) -> String {
    let value = ns as f64;
    match ns {
        0 => "0".to_owned(),
        1..1_000 => format!("{ns} ns"),
        1_000..999_500 => scaled(value / 1e3, "µs"),
        999_500..999_500_000 => scaled(value / 1e6, "ms"),
        999_500_000..9_999_500_000_000 => scaled(value / 1e9, "s"),
        9_999_500_000_000..360_000_000_000_000 => scaled(value / 3600e9, "h"),
        _ => scaled(value / 86_400e9, "d"),
    }
}

pub(super) fn maybe_duration(ns: Option<u64>) -> String {
    ns.map_or_else(|| "-".to_owned(), duration)
}

/// Exact up to 9999999, then `12.3M`.
pub(super) fn count(n: u64) -> String {
    if n < 10_000_000 {
        return n.to_string();
    }
    let mut value = n as f64;
    let mut unit = 0;
    while value >= 999.95 && unit < 6 {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1}{}", ["", "k", "M", "G", "T", "P", "E"][unit])
}

pub(super) fn maybe_count(n: Option<u64>) -> String {
    n.map_or_else(|| "-".to_owned(), count)
}

/// A ratio as percent; never 100 or 0 unless it is.
pub(in crate::sink) fn percent(ratio: f64) -> String {
    let percent = (ratio * 1000.0).round() / 10.0;
    match percent {
        p if p >= 100.0 && ratio < 1.0 => "99.9 %".to_owned(),
        p if p <= 0.0 && ratio > 0.0 => "0.1 %".to_owned(),
        p if p >= 100.0 || p <= 0.0 => format!("{p:.0} %"),
        p => format!("{p:.1} %"),
    }
}

/// `4242/allocd`, at most 23 columns.
pub(super) fn who(process: &ProcessSnapshot) -> String {
    let comm = clean(process.comm.as_deref().unwrap_or("?"), 15);
    match process.pid {
        Some(pid) => format!("{}/{comm}", pid.min(9_999_999)),
        None => format!("{} × {comm}", count(process.processes)),
    }
}

/// Names come from other processes: no control characters, no more than `columns`.
pub(in crate::sink) fn clean(text: &str, columns: usize) -> String {
    let printable = |c: char| if c.is_control() { '?' } else { c };
    if text.chars().count() <= columns {
        return text.chars().map(printable).collect();
    }
    text.chars().map(printable).take(columns.saturating_sub(1)).chain(['…']).collect()
}

/// The same, but the end is what matters: a path.
pub(in crate::sink) fn clean_path(path: &str, columns: usize) -> String {
    let length = path.chars().count();
    if length <= columns {
        return clean(path, columns);
    }
    let tail: String = path.chars().skip(length - columns.saturating_sub(1)).collect();
    format!("…{}", clean(&tail, columns))
}

/// Three significant digits or the whole number.
fn scaled(value: f64, unit: &str) -> String {
    if value < 99.95 { format!("{value:.1} {unit}") } else { format!("{value:.0} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well_and_stay_narrow() {
        let cases = [
            (0, "0"),
            (1, "1 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (4096, "4.0 KiB"),
            (102_399, "100 KiB"),
            (1 << 20, "1.0 MiB"),
            ((1 << 20) - 1, "1.0 MiB"),
            (1_288_490_189, "1.2 GiB"),
            (u64::MAX, "16.0 EiB"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(size(bytes), expected);
        }
        for shift in 0..64 {
            for bytes in [1_u64 << shift, (1_u64 << shift) - 1, u64::MAX >> shift] {
                assert!(size(bytes).chars().count() <= 8, "{bytes}");
                assert!(duration(bytes).chars().count() <= 8, "{bytes}: {}", duration(bytes));
                assert!(count(bytes).chars().count() <= 7, "{bytes}: {}", count(bytes));
            }
        }
    }

    #[test]
    fn durations_change_unit_before_they_round_over() {
        let cases = [
            (0, "0"),
            (999, "999 ns"),
            (1_234, "1.2 µs"),
            (999_499, "999 µs"),
            (999_500, "1.0 ms"),
            (12_345_678, "12.3 ms"),
            (1_500_000_000, "1.5 s"),
            (100_000_000_000, "100 s"),
            (36_000_000_000_000, "10.0 h"),
        ];
        for (ns, expected) in cases {
            assert_eq!(duration(ns), expected);
        }
    }

    #[test]
    fn a_percentage_never_rounds_to_all_or_nothing() {
        let got: Vec<_> = [0.0, 0.0001, 0.5, 0.9999, 1.0].into_iter().map(percent).collect();
        assert_eq!(got, ["0 %", "0.1 %", "50.0 %", "99.9 %", "100 %"]);
    }

    #[test]
    fn names_cannot_steer_the_terminal() {
        assert_eq!(clean("a\x1b[31mb", 15), "a?[31mb");
        assert_eq!(clean("averyverylongcommand", 15), "averyverylongc…");
        assert_eq!(clean_path("/usr/local/bin/server", 11), "…bin/server");
    }
}
