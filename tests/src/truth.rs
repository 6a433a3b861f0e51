//! The Go workload `truth` (tests/workloads/truth) under control of a test.
use crate::child::Child;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Built by `cargo xtask test`.
pub fn truth_binary() -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/workloads/truth");
    assert!(path.exists(), "{} is missing: cargo xtask test builds it", path.display());
    path
}

/// `binary` without its symbol table, as `strip` leaves it, in `dir`: neither the symbols nor the section are there.
pub fn stripped(binary: &Path, dir: &Path) -> PathBuf {
    const SECTIONS_AT: usize = 0x28;
    const SECTION_BYTES: usize = 64;
    const SHT_SYMTAB: u32 = 2;
    let mut elf = std::fs::read(binary).expect("the binary");
    assert_eq!(&elf[..5], b"\x7fELF\x02", "a 64-bit ELF file");
    let word = |elf: &[u8], at: usize| u64::from_le_bytes(elf[at..at + 8].try_into().expect("8 bytes")) as usize;
    let sections = word(&elf, SECTIONS_AT);
    let count = usize::from(u16::from_le_bytes([elf[0x3c], elf[0x3d]]));
    let mut removed = 0;
    for header in (0..count).map(|n| sections + n * SECTION_BYTES) {
        if elf[header + 4..header + 8] == SHT_SYMTAB.to_le_bytes() {
            let (at, size) = (word(&elf, header + 0x18), word(&elf, header + 0x20));
            elf[at..at + size].fill(0);
            elf[header..header + SECTION_BYTES].fill(0);
            removed += 1;
        }
    }
    assert_eq!(removed, 1, "symbol tables in {}", binary.display());
    let path = dir.join("truth-stripped");
    std::fs::write(&path, elf).expect("a copy");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&path, mode).expect("an executable copy");
    path
}

/// Idle between commands; ends when dropped.
#[derive(Debug)]
pub struct Truth {
    child: Child,
    pub go_version: String,
}

impl Truth {
    #[track_caller]
    pub fn start(binary: &Path, environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(binary);
        command.env_remove("GODEBUG").env_remove("GOGC").env_remove("GOMEMLIMIT").env_remove("GOMAXPROCS");
        let mut child = Child::start(command.envs(environment.iter().copied()));
        let ready = child.line();
        let Some(ready) = ready else { panic!("truth did not start: {}", child.rest().1) };
        let ready: Value = serde_json::from_str(&ready).expect("JSON");
        let go_version = ready["go_version"].as_str().expect("a version").to_owned();
        Self { child, go_version }
    }

    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    #[track_caller]
    pub fn run(&mut self, command: &str) -> Value {
        self.child.say(command);
        let answer = self.child.line().unwrap_or_else(|| panic!("truth ended in: {command}"));
        let answer: Value =
            serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{command}: {error}: {answer}"));
        assert!(answer["error"].is_null(), "{command}: {answer}");
        answer
    }

    #[track_caller]
    pub fn all(&mut self, commands: &[&str]) {
        for command in commands {
            self.run(command);
        }
    }

    /// A read from outside between two equal `memstats`: only then is it known what it should have found.
    #[track_caller]
    pub fn compare<T>(&mut self, mut read: impl FnMut() -> T) -> (Value, T) {
        const TRIES: usize = 20;
        for _ in 0..TRIES {
            let before = self.run("memstats");
            let read = read();
            if self.run("memstats") == before {
                return (before, read);
            }
        }
        panic!("truth does not come to rest");
    }

    pub fn last(mut self, command: &str) -> std::process::ExitStatus {
        self.child.say(command);
        self.child.end()
    }
}
