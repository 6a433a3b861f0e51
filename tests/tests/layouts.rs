//! Every table against every other release's program: what is not the program's own layout is refused.
use memtrace::goruntime::image::Image;
use memtrace::goruntime::layout::{Layout, table};
use memtrace::goruntime::memory::ProcessMemory;
use memtrace::goruntime::metadata::MetadataKind;
use memtrace::goruntime::{GoFile, Located, Runtime, RuntimeError, Version};
use memtrace_tests::matrix::{RELEASES, built, run, start};
use std::process::Command;
use std::sync::Arc;

/// `EM_X86_64`.
const AMD64: u16 = 62;
/// Fields that nothing is read by. Of sizes only those count that are a stride, or the length of a read.
const UNREAD: &[(&str, &str)] = &[
    ("runtime.mheap", "#"),
    ("runtime.p", "#"),
    ("runtime.g", "#"),
    ("runtime.g", "parentGoid"),
    ("runtime.m", "#"),
    ("runtime.workType", "#"),
    ("runtime.workType", "cycles"),
    ("runtime.workType", "heap0"),
    ("runtime.workType", "heap1"),
    ("runtime.workType", "heap2"),
    ("runtime.moduledata", "#"),
    // By a constant for each minor release (moduledata.rs).
    ("runtime.moduledata", "gofunc"),
];
/// Read by one view alone, which refuses them itself.
const THREADS: &[(&str, &str)] = &[("runtime.m", "alllink")];
const HEAP_PROFILE: &[&str] = &["runtime.memRecord", "runtime.memRecordCycle"];

/// The read fields in which two layouts differ.
fn differing(one: &Layout, other: &Layout) -> Vec<(&'static str, &'static str)> {
    let values = one.values().into_iter().zip(other.values());
    let fields = Layout::fields().into_iter().zip(values).filter(|(_, (one, other))| one != other);
    fields.map(|(field, _)| (field.of, field.path)).filter(|field| !UNREAD.contains(field)).collect()
}

fn runtime(located: Located, tgid: u32) -> Runtime<ProcessMemory> {
    Runtime::of(located, ProcessMemory { tgid })
}

/// What is wrong with how this runtime is taken, given the read fields in which it is not the right one.
fn misjudged(taken: &Runtime<ProcessMemory>, wrong: &[(&'static str, &'static str)]) -> Option<String> {
    let is_threads = |field: &(&str, &str)| THREADS.contains(field);
    let is_heap_profile = |field: &(&str, &str)| HEAP_PROFILE.contains(&field.0);
    match taken.validate() {
        Err(RuntimeError::Implausible(_)) if !wrong.is_empty() => None,
        Err(why) => Some(format!("not accepted: {why}")),
        Ok(()) if wrong.iter().any(|field| !is_threads(field) && !is_heap_profile(field)) => {
            Some(format!("accepted, though {wrong:?} differ"))
        }
        Ok(()) => {
            let metadata = taken.metadata().expect("metadata");
            let has_threads = metadata.iter().any(|range| range.kind == MetadataKind::ThreadStack);
            let profile = taken.heap_profile();
            if has_threads == wrong.iter().any(is_threads) {
                return Some(format!("thread stacks: {has_threads}"));
            }
            (profile.is_ok() == wrong.iter().any(is_heap_profile)).then(|| format!("heap profile: {profile:?}"))
        }
    }
}

#[test]
fn every_layout_but_the_programs_own_is_refused() {
    let mut misjudgements = Vec::new();
    for release in RELEASES {
        let path = built(release, "stripped");
        let mut program = start(&mut Command::new(&path));
        run(&mut program, "mix");
        let image = Image::open(&path).expect("a program");
        let right = GoFile::read(&image).expect("Go").located.expect("located");
        let mut equal = 0;
        for (table, _) in table::known().into_iter().filter(|(_, machine)| *machine == AMD64) {
            let version = Version::parse(&format!("go{table}")).expect("a version");
            let layout = table::look_up(&version, AMD64).expect("a table").layout;
            let wrong = differing(&layout, &right.layout);
            equal += u32::from(wrong.is_empty());
            let mut judge = |how: &str, located: Located| {
                let misjudged = misjudged(&runtime(located, program.pid()), &wrong);
                misjudgements.extend(misjudged.map(|what| format!("{release} as {table}, {how}: {what}")));
            };
            // With the addresses that it has.
            judge("right addresses", Located { layout: Arc::clone(&layout), ..right.clone() });
            // With those that the table's signature elects.
            match Located::in_file(&image, &version) {
                Ok(located) => {
                    let is_right = located.globals == right.globals;
                    judge("elected addresses", located.clone());
                    if !is_right && runtime(located, program.pid()).validate().is_ok() {
                        misjudgements.push(format!("{release} as {table}: accepted with wrong addresses"));
                    }
                }
                Err(why) if wrong.is_empty() => misjudgements.push(format!("{release} as {table}: {why}")),
                Err(_) => {}
            }
        }
        assert!(equal > 0, "{release} is not among the tables");
    }
    assert!(misjudgements.is_empty(), "{}", misjudgements.join("\n"));
}
