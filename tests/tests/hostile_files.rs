//! Executables that are damaged or lie about themselves, run for real where the kernel still runs them: right figures or
//! a reason, within two seconds and 64 MiB.
use memtrace::goruntime::GoFile;
use memtrace::goruntime::image::Image;
use memtrace_tests::matrix::built;
use memtrace_tests::{Child, Measured};
use object::{Object as _, ObjectSection as _};
use serde_json::Value;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const RELEASE: &str = "1.26.6";
const WALL_MAX: Duration = Duration::from_secs(2);
const PEAK_MAX_BYTES: u64 = 64 << 20;
/// Exit codes of a verb that names a reason.
const REASONS: &[i32] = &[1, 3, 4];
/// Of the ELF header, and of a section header (object::elf, FileHeader64, SectionHeader64).
const SECTIONS_AT: u64 = 0x28;
const SECTION_COUNT_AT: u64 = 0x3c;
const SECTION_BYTES: u64 = 64;

/// A copy of a real program.
struct Copy {
    path: PathBuf,
    file: File,
    /// Name, file offset and size of its sections, in the order of their headers.
    sections: Vec<(String, u64, u64)>,
    headers: u64,
    _directory: tempfile::TempDir,
}

impl Copy {
    fn of(variant: &str) -> Copy {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("program");
        fs::copy(built(RELEASE, variant), &path).expect("a copy");
        let bytes = fs::read(&path).expect("a program");
        let parsed = object::File::parse(&*bytes).expect("an ELF file");
        let place = |section: object::Section<'_, '_>| {
            let (offset, bytes) = section.file_range().unwrap_or_default();
            (section.name().expect("a name").to_owned(), offset, bytes)
        };
        let sections = parsed.sections().map(place).collect();
        let headers = bytes[SECTIONS_AT as usize..].first_chunk().map(|word| u64::from_le_bytes(*word));
        let file = OpenOptions::new().read(true).write(true).open(&path).expect("the copy");
        Copy { path, file, sections, headers: headers.expect("a header"), _directory: directory }
    }

    /// Where in the file a section is.
    #[track_caller]
    fn section(&self, name: &str) -> (u64, u64) {
        let found = self.sections.iter().find(|(of, ..)| of == name);
        found.map(|(_, at, bytes)| (*at, *bytes)).unwrap_or_else(|| panic!("no {name}"))
    }

    /// The file offset of a section's header; before the first is the one that stands for none.
    #[track_caller]
    fn header(&self, name: &str) -> u64 {
        let index = self.sections.iter().position(|(of, ..)| of == name).unwrap_or_else(|| panic!("no {name}"));
        self.headers + SECTION_BYTES * (index as u64 + 1)
    }

    fn write(&self, at: u64, bytes: &[u8]) {
        self.file.write_all_at(bytes, at).expect("the copy is written");
    }

    fn claim(&self, name: &str, kind: u32, offset: u64, bytes: u64) {
        let header = self.header(name);
        self.write(header + 4, &kind.to_le_bytes());
        self.write(header + 8, &0u64.to_le_bytes());
        self.write(header + 24, &[offset.to_le_bytes(), bytes.to_le_bytes()].concat());
    }

    /// Read as a file, and as a process if it runs; what `ps` says of the process.
    #[track_caller]
    fn read(self) -> Option<Value> {
        let Copy { path, file, _directory, .. } = self;
        // The kernel runs no file that is open for writing.
        drop(file);
        let started = Instant::now();
        let _ = Image::open(&path).map(|image| GoFile::read(&image).map(|file| file.located.is_ok()));
        assert!(started.elapsed() <= WALL_MAX, "read in {:?}", started.elapsed());
        running(&path).map(|program| ask(&program))
    }
}

/// `None`: the kernel does not run it, or it ends at once.
fn running(path: &Path) -> Option<Child> {
    if Command::new(path).stdin(std::process::Stdio::null()).output().is_err() {
        return None;
    }
    let mut program = Child::start(&mut Command::new(path));
    program.line().is_some().then_some(program)
}

#[track_caller]
fn measure(arguments: &[&str]) -> Measured {
    let measured = Measured::run(arguments);
    println!("{arguments:?}: {:?}, {} KiB, {:?}", measured.wall, measured.peak_bytes >> 10, measured.code);
    assert!(!measured.stderr.contains("panicked"), "{arguments:?}: {}", measured.stderr);
    assert!(measured.wall <= WALL_MAX, "{arguments:?} took {:?}", measured.wall);
    assert!(measured.peak_bytes <= PEAK_MAX_BYTES, "{arguments:?} took {} bytes", measured.peak_bytes);
    measured
}

/// Every verb; each succeeds, or says why not in one line.
#[track_caller]
fn ask(program: &Child) -> Value {
    let pid = program.pid().to_string();
    for verb in ["goroutines", "heap"] {
        let measured = measure(&[verb, "-o", "json", "-p", &pid]);
        if measured.code == Some(0) {
            measured.json();
        } else {
            assert!(measured.code.is_some_and(|code| REASONS.contains(&code)), "{verb}: {measured:?}");
            assert_eq!((measured.stdout.as_str(), measured.stderr.lines().count()), ("", 1), "{measured:?}");
        }
    }
    let explained = measure(&["explain", "-o", "json", "-p", &pid]).json();
    assert_eq!(explained["memstats"].is_null(), explained["refused"].is_string(), "{explained:#}");
    let all = measure(&["ps", "-o", "json"]).json();
    let found = all["processes"].as_array().expect("processes").iter().find(|of| of["pid"] == program.pid());
    // Not told from a program that is not Go's, then.
    let found = found.cloned().unwrap_or(Value::Null);
    assert!(found.is_null() || found["refused"].is_string() != found["read_by"].is_string(), "{found}");
    assert_eq!(found["read_by"].is_string(), explained["memstats"].is_object(), "{found} {explained:#}");
    found
}

#[test]
fn a_whole_copy_is_read() {
    let found = Copy::of("stripped").read().expect("it runs");
    assert_eq!(found["read_by"], "vote", "{found}");
    let found = Copy::of("plain").read().expect("it runs");
    assert_eq!(found["read_by"], "dwarf", "{found}");
}

#[test]
fn a_truncated_file_is_no_harm() {
    for part in [1, 2, 5, 9] {
        let copy = Copy::of("stripped");
        let bytes = copy.file.metadata().expect("a file").len();
        copy.file.set_len(bytes * part / 10).expect("shorter");
        copy.read();
    }
    // With its last bytes only the section headers are gone from a file that was merged.
    let copy = Copy::of("plain");
    let bytes = copy.file.metadata().expect("a file").len();
    copy.file.set_len(bytes - 4096).expect("shorter");
    let found = copy.read().expect("it runs");
    assert!(found["read_by"].is_string() || found["refused"].is_string(), "{found}");
}

#[test]
fn a_function_table_without_names_is_refused() {
    let copy = Copy::of("stripped");
    let (at, bytes) = copy.section(".gopclntab");
    let word = |index: u64| {
        let mut word = [0; 8];
        copy.file.read_exact_at(&mut word, at + 8 + 8 * index).expect("the header");
        u64::from_le_bytes(word)
    };
    // Function names are from the fourth word to the fifth; the program itself needs them in tracebacks only.
    let (names, units) = (word(3), word(4));
    assert!(names < units && units < bytes);
    copy.write(at + names, &vec![0xff; (units - names) as usize]);
    let found = copy.read().expect("it runs");
    assert!(found["refused"].as_str().is_some_and(|why| why.contains("no function that refers to")), "{found}");
}

#[test]
fn a_function_table_with_wild_offsets_is_no_harm() {
    for word in 0..8 {
        let copy = Copy::of("stripped");
        let (at, _) = copy.section(".gopclntab");
        copy.write(at + 8 + 8 * word, &(u64::MAX - 7).to_le_bytes());
        copy.read();
    }
}

#[test]
fn damaged_build_information_is_refused() {
    let copy = Copy::of("stripped");
    let (at, _) = copy.section(".go.buildinfo");
    // The version, behind its length.
    copy.write(at + 33, b"go9.99.99");
    let found = copy.read().expect("it runs");
    assert!(found["refused"].as_str().is_some_and(|why| why.contains("unknown Go version")), "{found}");
    let copy = Copy::of("stripped");
    copy.write(at + 32, &[0xff; 10]);
    let found = copy.read().expect("it runs");
    assert!(found.is_null() || found["refused"].is_string(), "{found}");
}

#[test]
fn a_module_with_wild_bounds_is_no_harm() {
    let fields = 344 / 8;
    let mut runs = 0;
    for field in 0..fields {
        let copy = Copy::of("stripped");
        let (at, _) = copy.section(".go.module");
        copy.write(at + 8 * field, &u64::MAX.to_le_bytes());
        runs += u32::from(copy.read().is_some());
    }
    assert!(runs > 3, "{runs} run");
}

#[test]
fn section_headers_that_are_wiped_or_wild_are_no_harm() {
    let patches: &[(u64, &[u8])] = &[
        // None; beyond the file; more than there are; names in a section that is none.
        (SECTIONS_AT, &[0; 8]),
        (SECTIONS_AT, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
        (SECTIONS_AT, &[0, 0, 0, 0, 1, 0, 0, 0]),
        (SECTION_COUNT_AT, &[0xff, 0xff]),
        (SECTION_COUNT_AT, &[0xff, 0x1f]),
        (SECTION_COUNT_AT + 2, &[0xff, 0xff]),
    ];
    for (at, bytes) in patches {
        for variant in ["stripped", "plain"] {
            let copy = Copy::of(variant);
            copy.write(*at, bytes);
            assert!(copy.read().is_some(), "the kernel does not look at section headers");
        }
    }
}

#[test]
fn a_sparse_file_of_a_hundred_gigabytes_is_no_harm() {
    const GIB: u64 = 1 << 30;
    let copy = Copy::of("plain");
    copy.file.set_len(100 * GIB).expect("a file system with sparse files");
    copy.claim(".symtab", object::elf::SHT_SYMTAB, GIB, 40 * GIB);
    copy.claim(".strtab", object::elf::SHT_STRTAB, 41 * GIB, 20 * GIB);
    copy.claim(".debug_abbrev", object::elf::SHT_PROGBITS, 62 * GIB, GIB);
    copy.claim(".debug_info", object::elf::SHT_PROGBITS, 64 * GIB, 20 * GIB);
    for name in [".debug_line", ".debug_frame", ".itablink", ".typelink"] {
        if copy.sections.iter().any(|(of, ..)| of == name) {
            copy.claim(name, object::elf::SHT_RELA, 85 * GIB, 10 * GIB);
        }
    }
    let found = copy.read().expect("it runs");
    assert!(found["read_by"].is_string() || found["refused"].is_string(), "{found}");
}
