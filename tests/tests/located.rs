//! What a file alone says of the Go runtime in it, for programs of every release and machine: by symbols and DWARF, and
//! with these taken away. `cargo xtask matrix` builds them.
use memtrace::goruntime::image::Image;
use memtrace::goruntime::layout::table;
use memtrace::goruntime::{Globals, GoFile, Located, ReadBy, Runtime, find};
use memtrace_tests::matrix::{RELEASES, built, run, start};
use memtrace_tests::{stripped, without_sections};
use object::{Object as _, ObjectSymbol as _};
use std::path::Path;
use std::process::Command;

fn read(path: &Path) -> GoFile {
    GoFile::read(&Image::open(path).expect("an ELF file")).expect("a Go program")
}

#[track_caller]
fn located(path: &Path, by: ReadBy) -> Located {
    let located = read(path).located.unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    assert_eq!(located.read_by, by, "{}", path.display());
    located
}

/// Where the symbol table has every variable, none left out.
fn symbols(path: &Path) -> Globals {
    let bytes = std::fs::read(path).expect("the program");
    let file = object::File::parse(&*bytes).expect("an ELF file");
    let address = |name| Some(file.symbol_by_name(name).unwrap_or_else(|| panic!("no {name}")).address());
    Globals::look_up(address).expect("every variable")
}

/// One build of each release, as it is and with less and less in it.
fn check(variant: &str, machine: u16) {
    let dir = tempfile::tempdir().expect("a directory");
    for release in RELEASES {
        let plain = built(release, variant);
        let (dwarf, truth) = (located(&plain, ReadBy::Dwarf), symbols(&plain));
        assert_eq!(dwarf.globals, truth, "{release}");
        let entry = table::look_up(&dwarf.version, machine).expect("a table");
        assert_eq!((&entry.release[..], entry.is_exact), (*release, true));
        assert_eq!(dwarf.layout, entry.layout, "{release}");
        for less in [stripped(&plain, dir.path()), without_sections(&plain, dir.path())] {
            let vote = located(&less, ReadBy::Vote);
            assert_eq!((vote.globals, &vote.layout), (truth, &entry.layout), "{release} {}", less.display());
            assert_eq!(read(&less).build.version, read(&plain).build.version);
        }
    }
}

#[test]
fn amd64_programs_are_read_alike_with_symbols_and_without() {
    check("plain", object::elf::EM_X86_64);
}

#[test]
fn arm64_programs_are_read_alike_with_symbols_and_without() {
    check("arm64", object::elf::EM_AARCH64);
}

#[test]
fn the_linkers_own_stripping_leaves_enough_for_a_vote() {
    let dir = tempfile::tempdir().expect("a directory");
    for variant in ["stripped", "pie", "cgo", "arm64-stripped"] {
        for release in RELEASES {
            let program = built(release, variant);
            let vote = located(&program, ReadBy::Vote);
            let wiped = located(&without_sections(&program, dir.path()), ReadBy::Vote);
            assert_eq!(wiped.globals, vote.globals, "{release} {variant}");
        }
    }
}

#[test]
fn a_running_program_whose_section_headers_were_wiped_is_read_by_vote() {
    let dir = tempfile::tempdir().expect("a directory");
    for (release, variant) in RELEASES.iter().flat_map(|release| [(release, "stripped"), (release, "pie")]) {
        let program = built(release, variant);
        let mut running = start(&mut Command::new(without_sections(&program, dir.path())));
        run(&mut running, "grow 3");
        let found = find(running.pid()).expect("a Go program");
        let link_time = located(&program, ReadBy::Vote).globals;
        let right = link_time.moved(found.load_bias).expect("addresses");
        assert_eq!(
            found.located.map(|at| (at.read_by, at.globals)),
            Some((ReadBy::Vote, right)),
            "{release} {variant}"
        );
        Runtime::attach(running.pid()).unwrap_or_else(|why| panic!("{release} {variant}: {why}"));
    }
}
