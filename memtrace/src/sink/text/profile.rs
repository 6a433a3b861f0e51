//! Goroutines and heap allocations as tables, largest first.
use super::style::Style;
use super::units::{clean, clean_path, duration, signed_size, size};
use crate::enrich::profiles::{GoroutineTotals, HeapTotals};
use crate::goruntime::Frame;
use crate::profile::Sample;
use crate::sink::{ProfileReport, Profiled};
use std::io::{self, Write};

/// Callers shown below an allocation.
const CALLERS: usize = 4;

pub fn write_profile(out: &mut dyn Write, report: &ProfileReport, style: Style) -> io::Result<()> {
    for warning in report.warnings() {
        writeln!(out, "{}", style.alarm(&format!("!  {warning}")))?;
    }
    let comm = clean(report.comm.as_deref().unwrap_or("?"), 15);
    writeln!(out, "{}", style.bold(&format!("{}/{comm}   {}", report.pid, clean(&report.go_version, 40))))?;
    writeln!(out, "{}", style.dim(&clean_path(report.exe.as_deref().unwrap_or("-"), 98)))?;
    match &report.of {
        Profiled::Goroutines(totals) => goroutines(out, report, totals, style)?,
        Profiled::Heap(totals) => heap(out, report, totals, style)?,
    }
    let samples = &report.profile.samples;
    if samples.len() > report.top {
        let rest = samples.iter().skip(report.top);
        let shown = report.profile.shown;
        let sum =
            rest.filter_map(|sample| sample.values.get(shown)).fold(0i64, |sum, value| sum.saturating_add(*value));
        let sum = if is_bytes(report, shown) { signed_size(sum) } else { sum.to_string() };
        writeln!(out, "… {} more rows: {sum} (--top N shows more)", samples.len() - report.top)?;
    }
    if let Some(since) = &report.since {
        writeln!(out, "difference to {}: later less earlier", clean_path(since, 60))?;
    }
    Ok(())
}

fn goroutines(out: &mut dyn Write, report: &ProfileReport, totals: &GoroutineTotals, style: Style) -> io::Result<()> {
    let about = if totals.one_in > 1 { "~" } else { "" };
    let (system, stacks) = (totals.system.count, size(totals.stack_bytes));
    writeln!(
        out,
        "{} goroutines (NumGoroutine), {about}{} met, {about}{stacks} of stack; and {system} of the runtime's own",
        totals.num_goroutine, totals.counted
    )?;
    let head =
        format!("{:>8} {:>10} {:<10} {:<26} {:>9}  {}", "COUNT", "STACK", "STATE", "WAITS FOR", "SINCE", "START");
    writeln!(out, "\n{}", style.bold(&head))?;
    for sample in report.profile.samples.iter().take(report.top) {
        let label = |name: &str| sample.labels.get(name).map_or("-", String::as_str);
        let since = sample.numbers.get("waiting").map_or("-".to_owned(), |(ns, _)| duration((*ns).unsigned_abs()));
        let start = sample.stack.first().map_or("-".to_owned(), place);
        let (count, stack) = (value(sample, 0), value(sample, 1));
        let (count, stack) = match report.since {
            Some(_) => (format!("{count:+}"), signed_size(stack)),
            None => (count.to_string(), size(stack.unsigned_abs())),
        };
        let (state, reason) = (clean(label("state"), 10), clean(label("wait_reason"), 26));
        writeln!(out, "{count:>8} {stack:>10} {state:<10} {reason:<26} {since:>9}  {start}")?;
        if let Some(creator) = sample.stack.get(1) {
            writeln!(out, "{}", style.dim(&format!("{:>68} {}", "created by", place(creator))))?;
        }
    }
    Ok(())
}

fn heap(out: &mut dyn Write, report: &ProfileReport, totals: &HeapTotals, style: Style) -> io::Result<()> {
    let total = |index: usize| amount(report, index, report.profile.total(index));
    writeln!(
        out,
        "in use {} in {} objects, allocated {} in {}; estimates from one sample in {}",
        total(3),
        total(2),
        total(1),
        total(0),
        size(totals.rate_bytes)
    )?;
    let head = format!("{:>10} {:>9} {:>10} {:>11}  {}", "IN USE", "OBJECTS", "ALLOCATED", "OBJECTS", "ALLOCATED BY");
    writeln!(out, "\n{}", style.bold(&head))?;
    for sample in report.profile.samples.iter().take(report.top) {
        let cell = |index: usize| amount(report, index, value(sample, index));
        let by = sample.stack.first().map_or("-".to_owned(), place);
        writeln!(out, "{:>10} {:>9} {:>10} {:>11}  {by}", cell(3), cell(2), cell(1), cell(0))?;
        for caller in sample.stack.iter().skip(1).take(CALLERS) {
            writeln!(out, "{}", style.dim(&format!("{:>43}  {}", "", place(caller))))?;
        }
        let deeper = sample.stack.len().saturating_sub(1 + CALLERS);
        if deeper > 0 {
            writeln!(out, "{}", style.dim(&format!("{:>43}  … {deeper} more calls", "")))?;
        }
    }
    Ok(())
}

fn is_bytes(report: &ProfileReport, index: usize) -> bool {
    report.profile.types.get(index).is_some_and(|of| of.unit == "bytes")
}

fn amount(report: &ProfileReport, index: usize, value: i64) -> String {
    match (is_bytes(report, index), &report.since) {
        (true, Some(_)) => signed_size(value),
        (true, None) if value >= 0 => size(value.unsigned_abs()),
        (true, None) => signed_size(value),
        (false, Some(_)) => format!("{value:+}"),
        (false, None) => value.to_string(),
    }
}

fn value(sample: &Sample, index: usize) -> i64 {
    sample.values.get(index).copied().unwrap_or(0)
}

/// Function, and file and line without the directories.
fn place(frame: &Frame) -> String {
    let function = frame.function.as_deref().map_or_else(|| format!("{:#x}", frame.address), |name| clean(name, 100));
    let file = frame.file.as_deref().and_then(|file| file.rsplit('/').next());
    match (file, frame.line) {
        (Some(file), Some(line)) => format!("{function} {}:{line}", clean(file, 40)),
        _ => function,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{Profile, ValueType};
    use std::collections::BTreeMap;

    fn report(since: Option<String>) -> ProfileReport {
        let frame = |function: &str| Frame {
            address: 1,
            function: Some(function.into()),
            file: Some("/a/b/c.go".into()),
            line: Some(9),
        };
        let sample = |count| Sample {
            stack: vec![frame("main.work\x1b[2J"), frame("main.main")],
            labels: BTreeMap::from([("state".into(), "waiting".into()), ("wait_reason".into(), "select".into())]),
            numbers: BTreeMap::from([("waiting".into(), (5_000_000_000, "nanoseconds".into()))]),
            values: vec![count, 2048 * count],
        };
        let totals = GoroutineTotals { num_goroutine: 12, counted: 12, one_in: 1, ..GoroutineTotals::default() };
        ProfileReport {
            pid: 7,
            t_ns: 1,
            taken_ns: 1,
            comm: Some("x".into()),
            exe: None,
            go_version: "go1.26.6".into(),
            of: Profiled::Goroutines(totals),
            profile: Profile {
                types: vec![ValueType::new("goroutine", "count"), ValueType::new("stack_space", "bytes")],
                shown: 0,
                period: None,
                samples: vec![sample(10), sample(2)],
            },
            since,
            top: 1,
        }
    }

    #[test]
    fn what_is_beyond_the_top_is_summed_up() {
        let mut out = Vec::new();
        write_profile(&mut out, &report(None), Style::default()).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("12 goroutines (NumGoroutine), 12 met") && !text.contains('\x1b'), "{text}");
        let row = "      10   20.0 KiB waiting    select                         5.0 s  main.work";
        assert!(text.contains(row), "{text}");
        assert!(text.contains("created by main.main c.go:9") && text.contains("… 1 more rows: 2 "), "{text}");
    }

    #[test]
    fn a_difference_has_signs() {
        let mut out = Vec::new();
        write_profile(&mut out, &report(Some("before.pb.gz".into())), Style::default()).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("     +10   20.0 KiB") && text.contains("difference to before.pb.gz"), "{text}");
    }
}
