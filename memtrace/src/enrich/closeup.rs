//! A close look at one process, dear enough to be taken only now and then.
use super::profiles;
use super::waterfall::Look;
use crate::aggregate::waterfall::Waterfall;
use crate::event::{TargetId, WalkEnd};
use crate::goruntime::{Finder, Frame, Runtime};
use crate::procfs::clock;
use crate::profile::{Profile, Sample};
use std::collections::HashMap;

/// Sites that are kept of each profile, and bytes of a name: those of generic functions have no end.
const SITES: usize = 24;
const NAME: usize = 256;

/// What a process holds by who made it, and all of its RSS.
#[derive(Clone, Debug, PartialEq)]
pub struct Closeup {
    pub target: TargetId,
    /// CLOCK_MONOTONIC, when it was begun, and how long it took.
    pub t_ns: u64,
    pub took_ns: u64,
    /// The largest sites of allocation, by bytes in use as the heap profile estimates them. `None`: there is no profile.
    pub heap: Option<Vec<Site>>,
    /// The largest groups of goroutines, with the stack space they hold. `None`: not read.
    pub goroutines: Option<Vec<Site>>,
    pub waterfall: Option<Waterfall>,
}

/// What a process held as it died, by who made it: what the kernel walked of it, and how far it came.
#[derive(Clone, Debug, PartialEq)]
pub struct LastState {
    pub target: TargetId,
    /// CLOCK_MONOTONIC, at the end of the walk.
    pub t_ns: u64,
    pub end: WalkEnd,
    /// As in a [`Closeup`], of what was walked.
    pub heap: Option<Vec<Site>>,
    pub goroutines: Option<Vec<Site>>,
}

impl LastState {
    /// Where they are all there is.
    pub fn all_heap(&self) -> Option<&[Site]> {
        self.heap.as_deref().filter(|_| self.end.buckets.stands_for_all())
    }

    /// The same; where one in so many was looked at, each stands for that many.
    pub fn all_goroutines(&self) -> Option<&[Site]> {
        self.goroutines.as_deref().filter(|_| self.end.goroutines.stands_for_all())
    }
}

/// Function, file and line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    pub name: String,
    pub bytes: u64,
    pub count: u64,
}

impl Closeup {
    pub(super) fn take(pid: u32, target: TargetId, runtime: Option<&Runtime>, finder: &mut Finder) -> Closeup {
        let t_ns = clock::monotonic_ns();
        let heap = runtime.and_then(|runtime| profiles::heap(pid, runtime).ok()).filter(|(_, of)| of.rate_bytes > 0);
        let goroutines = runtime.and_then(|runtime| profiles::goroutines(pid, runtime).ok());
        let waterfall = Look::take(pid, finder).ok().map(|look| look.waterfall);
        Closeup {
            target,
            t_ns,
            took_ns: clock::monotonic_ns().saturating_sub(t_ns),
            heap: heap.map(|(profile, _)| heap_sites(&profile)),
            goroutines: goroutines.map(|(profile, _)| goroutine_sites(&profile)),
            waterfall,
        }
    }
}

pub(super) fn heap_sites(profile: &Profile) -> Vec<Site> {
    largest(profile, "inuse_space", "inuse_objects", innermost)
}

pub(super) fn goroutine_sites(profile: &Profile) -> Vec<Site> {
    largest(profile, "stack_space", "goroutine", start_and_creator)
}

fn largest(profile: &Profile, bytes: &str, count: &str, name: impl Fn(&Sample) -> String) -> Vec<Site> {
    let (bytes, count) = (profile.index_of(bytes), profile.index_of(count));
    let value = |sample: &Sample, index: Option<usize>| {
        index.and_then(|index| sample.values.get(index)).map_or(0, |value| value.max(&0).cast_unsigned())
    };
    let mut sites: HashMap<String, Site> = HashMap::new();
    for sample in &profile.samples {
        let name = name(sample);
        let site = sites.entry(name.clone()).or_insert(Site { name, bytes: 0, count: 0 });
        site.bytes = site.bytes.saturating_add(value(sample, bytes));
        site.count = site.count.saturating_add(value(sample, count));
    }
    let mut sites: Vec<Site> = sites.into_values().filter(|site| site.bytes > 0 || site.count > 0).collect();
    sites.sort_by(|a, b| (b.bytes, b.count, &a.name).cmp(&(a.bytes, a.count, &b.name)));
    sites.truncate(SITES);
    for site in &mut sites {
        site.name.truncate(site.name.floor_char_boundary(NAME));
        site.name.shrink_to_fit();
    }
    sites
}

fn innermost(sample: &Sample) -> String {
    sample.stack.first().map_or_else(|| "(runtime)".to_owned(), place)
}

/// The stack of a goroutine is its start function and who made it.
fn start_and_creator(sample: &Sample) -> String {
    let names: Vec<String> = sample.stack.iter().map(place).collect();
    names.join(", created by ")
}

fn place(frame: &Frame) -> String {
    let function = frame.function.clone().unwrap_or_else(|| format!("{:#x}", frame.address));
    // The file's name alone: the whole path says where it was built.
    let file = frame.file.as_deref().and_then(|file| file.rsplit('/').next());
    match (file, frame.line) {
        (Some(file), Some(line)) => format!("{function} {file}:{line}"),
        _ => function,
    }
}
