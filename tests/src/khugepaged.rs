//! khugepaged in a hurry, and the host as it was before when dropped.
use std::path::{Path, PathBuf};
use std::process::Command;

const HOME: &str = "/sys/kernel/mm/transparent_hugepage";
/// Where one page of 512 is there the others are added; so soon that a test can wait for it.
const SETTINGS: &[(&str, &str)] = &[
    ("enabled", "always"),
    ("khugepaged/max_ptes_none", "511"),
    ("khugepaged/alloc_sleep_millisecs", "0"),
    ("khugepaged/scan_sleep_millisecs", "50"),
];
/// It is as nice as can be: on a busy host it would hardly run.
const NICE: &str = "-10";

#[derive(Debug)]
pub struct Khugepaged {
    pid: String,
    nice: String,
    saved: Vec<(PathBuf, String)>,
}

impl Khugepaged {
    #[track_caller]
    pub fn hurried() -> Self {
        let pid = find();
        let stat = read(&PathBuf::from(format!("/proc/{pid}/stat")));
        // Field 19; the name in brackets is the second.
        let nice = stat.rsplit(')').next().and_then(|rest| rest.split_ascii_whitespace().nth(16)).expect("niceness");
        let saved = SETTINGS.iter().map(|(name, _)| (Path::new(HOME).join(name), chosen(name))).collect();
        let before = Self { pid, nice: nice.to_owned(), saved };
        // From here on a panic restores.
        for ((path, _), (_, value)) in before.saved.iter().zip(SETTINGS) {
            std::fs::write(path, value).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
        assert!(before.renice(NICE), "cannot hurry khugepaged");
        before
    }

    fn renice(&self, nice: &str) -> bool {
        let status = Command::new("renice").args(["-n", nice, "-p", &self.pid]).output();
        status.is_ok_and(|output| output.status.success())
    }
}

impl Drop for Khugepaged {
    fn drop(&mut self) {
        for (path, value) in &self.saved {
            if let Err(error) = std::fs::write(path, value) {
                eprintln!("{} is not {value} again: {error}", path.display());
            }
        }
        self.renice(&self.nice);
    }
}

#[track_caller]
fn find() -> String {
    let processes = std::fs::read_dir("/proc").expect("/proc").flatten();
    let mut named = processes.filter(|process| {
        std::fs::read_to_string(process.path().join("comm")).is_ok_and(|comm| comm == "khugepaged\n")
    });
    named.next().expect("khugepaged runs").file_name().to_string_lossy().into_owned()
}

/// The value, or of several the one in brackets.
#[track_caller]
fn chosen(name: &str) -> String {
    let text = read(&Path::new(HOME).join(name));
    let bracketed = text.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    bracketed.map_or(text.trim(), |(chosen, _)| chosen).to_owned()
}

#[track_caller]
fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
