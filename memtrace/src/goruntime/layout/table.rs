//! The layouts and signatures that come with memtrace, one for every release of Go that was measured. Written by
//! `cargo xtask layouts`, from each release's own DWARF and code.
use std::fmt::Write as _;
use std::sync::Arc;

use object::elf;

use super::signature::Signature;
use super::{Field, Layout};
use crate::goruntime::{Globals, Version};

const LAYOUTS: &str = include_str!("tables/layouts.txt");
const SIGNATURES: &str = include_str!("tables/signatures.txt");
const WAITS: &str = include_str!("tables/waits.txt");
/// Shifts every structure, and every reference by the same amount.
const SHIFTS_ALL: &str = "staticlockranking";
/// Shift `runtime.work` in some releases.
const SHIFTS_WORK: &[&str] = &["greenteagc", "nogreenteagc"];

/// What the tables say of a release.
#[derive(Clone, Debug)]
pub struct Entry {
    pub layout: Arc<Layout>,
    pub signature: Arc<Signature>,
    /// The measured release, `1.26.6`.
    pub release: String,
    /// Otherwise it is the nearest patch of the same minor release.
    pub is_exact: bool,
    /// Whether `runtime.work` is laid out as in the release.
    pub is_work_known: bool,
    /// What `g.waitreason` counts.
    pub wait_reasons: WaitReasons,
}

/// `runtime.waitReasonStrings` (Go runtime2.go), in its order.
pub type WaitReasons = Arc<[String]>;

impl Entry {
    /// Without the variables whose layout is not certain.
    pub(crate) fn trusted(&self, globals: Globals) -> Globals {
        Globals { work: globals.work.filter(|_| self.is_work_known), ..globals }
    }
}

/// The entry of exactly this version, else of the nearest patch of its minor release. `machine`: `EM_X86_64`, …
/// `Err`: why there is none.
pub fn look_up(version: &Version, machine: u16) -> Result<Entry, String> {
    let arch = architecture(machine).ok_or("only amd64 and arm64 layouts are known")?;
    if version.is_devel {
        return Err("a development version of Go: its layout is unknown".to_owned());
    }
    if version.experiments.iter().any(|x| x == SHIFTS_ALL) {
        return Err(format!("GOEXPERIMENT={SHIFTS_ALL} shifts every layout"));
    }
    let patch = version.patch.unwrap_or(0);
    let release = releases(arch)
        .filter(|(minor, _)| *minor == version.minor)
        .map(|(_, known)| known)
        .min_by_key(|known| (known.abs_diff(patch), *known))
        .ok_or_else(|| format!("the layout of Go 1.{} is unknown", version.minor))?;
    let name = format!("1.{}.{release}", version.minor);
    let damaged = || format!("no table of Go {name} {arch}");
    Ok(Entry {
        layout: Arc::new(layout(arch, &name).ok_or_else(damaged)?),
        signature: Arc::new(signature(arch, &name).ok_or_else(damaged)?),
        wait_reasons: wait_reasons(arch, &name).ok_or_else(damaged)?,
        is_exact: version.patch == Some(release),
        is_work_known: !version.experiments.iter().any(|x| SHIFTS_WORK.contains(&x.as_str())),
        release: name,
    })
}

/// Every (release, architecture) with a table, in the order of the table.
pub fn known() -> Vec<(String, u16)> {
    let all = [(elf::EM_X86_64, "amd64"), (elf::EM_AARCH64, "arm64")].into_iter();
    all.flat_map(|(machine, arch)| releases(arch).map(move |(minor, patch)| (format!("1.{minor}.{patch}"), machine)))
        .collect()
}

fn architecture(machine: u16) -> Option<&'static str> {
    match machine {
        elf::EM_X86_64 => Some("amd64"),
        elf::EM_AARCH64 => Some("arm64"),
        _ => None,
    }
}

/// The columns of the table of layouts: architecture, releases.
fn columns() -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
    let heads = LAYOUTS.lines().filter_map(|line| line.strip_prefix("= "));
    heads.filter_map(|head| {
        let (arch, releases) = head.split_once(' ')?;
        Some((arch, releases.split(' ').collect()))
    })
}

/// Minor and patch of every release of an architecture.
fn releases(arch: &str) -> impl Iterator<Item = (u32, u32)> {
    columns().filter(move |(of, _)| *of == arch).flat_map(|(_, releases)| releases).filter_map(|release| {
        let (minor, patch) = release.strip_prefix("1.")?.split_once('.')?;
        Some((minor.parse().ok()?, patch.parse().ok()?))
    })
}

fn layout(arch: &str, release: &str) -> Option<Layout> {
    let column = columns().position(|(of, releases)| of == arch && releases.contains(&release))?;
    let rows = LAYOUTS.lines().filter(|line| !line.starts_with(['=', '#']) && !line.is_empty());
    let values = rows.map(|row| row.rsplit('\t').next()?.split_ascii_whitespace().nth(column)?.parse().ok());
    Layout::from_values(values)
}

fn signature(arch: &str, release: &str) -> Option<Signature> {
    Signature::parse(lines_of(SIGNATURES, arch, release)?)
}

fn wait_reasons(arch: &str, release: &str) -> Option<WaitReasons> {
    Some(lines_of(WAITS, arch, release)?.map(|line| line.trim_matches('"').to_owned()).collect())
}

/// The lines below the head that names this release.
fn lines_of(text: &'static str, arch: &str, release: &str) -> Option<impl Iterator<Item = &'static str>> {
    let is_head = |line: &str| {
        let of = line.strip_prefix("= ").and_then(|head| head.split_once(' '));
        of.is_some_and(|(of, releases)| of == arch && releases.split(' ').any(|known| known == release))
    };
    let mut lines = text.lines();
    lines.find(|line| is_head(line))?;
    Some(lines.take_while(|line| !line.starts_with('=')))
}

/// Release, architecture and what was measured there; equal neighbours share a column.
pub type Measured<T> = (String, u16, T);

/// The text of `tables/layouts.txt`.
pub fn layouts_text(measured: &[Measured<Layout>]) -> String {
    let mut text = "# Offsets and sizes in Go's runtime, in bytes, written by `cargo xtask layouts`.\n".to_owned();
    let columns = shared(measured);
    for (head, _) in &columns {
        let _ = writeln!(text, "= {head}");
    }
    let values: Vec<Vec<Option<u32>>> = columns.iter().map(|(_, layout)| layout.values()).collect();
    for (index, Field { of, path, .. }) in Layout::fields().into_iter().enumerate() {
        let _ = write!(text, "{of}\t{path}\t");
        for column in &values {
            match column[index] {
                Some(value) => drop(write!(text, " {value:>8}")),
                None => drop(write!(text, " {:>8}", "-")),
            }
        }
        text.push('\n');
    }
    text
}

/// The text of `tables/signatures.txt`.
pub fn signatures_text(measured: &[Measured<Signature>]) -> String {
    let mut text = String::new();
    for (head, signature) in shared(measured) {
        let _ = write!(text, "= {head}\n{}", signature.to_text());
    }
    text
}

/// The text of `tables/waits.txt`.
pub fn waits_text(measured: &[Measured<WaitReasons>]) -> String {
    let mut text = String::new();
    for (head, reasons) in shared(measured) {
        let _ = writeln!(text, "= {head}");
        for reason in reasons.iter() {
            let _ = writeln!(text, "\"{reason}\"");
        }
    }
    text
}

/// Heads and values of the columns.
fn shared<T: PartialEq>(measured: &[Measured<T>]) -> Vec<(String, &T)> {
    let mut columns: Vec<(u16, String, &T)> = Vec::new();
    for (release, machine, value) in measured {
        match columns.iter_mut().find(|(of, _, known)| of == machine && *known == value) {
            Some((_, head, _)) => drop(write!(head, " {release}")),
            None => {
                let arch = architecture(*machine).unwrap_or("unknown");
                columns.push((*machine, format!("{arch} {release}"), value));
            }
        }
    }
    columns.into_iter().map(|(_, head, value)| (head, value)).collect()
}
