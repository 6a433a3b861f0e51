//! Applies the rules to one file.

use super::Violation;
use super::law::{CAPS, RULES, Rule, Sees, covers};
use super::source::{Line, is_word, lines, use_paths};

pub(super) fn file(path: &str, text: &str) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut report = |line, rule: String| violations.push(Violation { path: path.to_owned(), line, rule });
    let cap = CAPS.iter().find(|(prefix, _)| path.starts_with(prefix)).map_or(usize::MAX, |(_, cap)| *cap);
    let length = text.lines().count();
    if length > cap {
        report(cap + 1, format!("{length} lines, the cap here is {cap}: split it"));
    }
    let lines = lines(text);
    let imports = use_paths(&lines);
    for rule in RULES.iter().filter(|rule| covers(rule.within, path) && !covers(rule.except, path)) {
        for (number, line) in lines.iter().enumerate() {
            if (rule.in_tests || !line.test) && breaks(rule, line, imports.get(&number).map_or(&[], Vec::as_slice)) {
                report(number + 1, rule.says.to_owned());
            }
        }
    }
    violations
}

fn breaks(rule: &Rule, line: &Line, imports: &[String]) -> bool {
    match &rule.sees {
        Sees::Words(words) => words.iter().any(|word| has_words(&line.code, word, &[])),
        Sees::Unsafe => has_words(&line.code, "unsafe", &['(']),
        Sees::Paths(paths) => paths.iter().any(|path| {
            let compact: String = line.code.split(" ::").collect::<Vec<_>>().join("::");
            has_words(&compact, path, &[]) || imports.iter().any(|import| has_words(import, path, &[]))
        }),
        Sees::FilesBelow(roots) => roots.iter().any(|root| {
            line.literals.iter().any(|literal| {
                literal.match_indices(root).any(|(at, _)| {
                    !literal[at + root.len()..].starts_with(is_word) && !literal[..at].ends_with(is_word)
                })
            })
        }),
        Sees::Comments(phrases) => {
            let comment = line.comment.to_lowercase();
            phrases.iter().any(|phrase| comment.contains(phrase))
        }
    }
}

/// Whether `word` stands in `code` as whole identifiers, not directly followed by one of `not_before`.
fn has_words(code: &str, word: &str, not_before: &[char]) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let rest = &code[at + word.len()..];
        !code[..at].ends_with(is_word) && !rest.starts_with(is_word) && !rest.starts_with(not_before)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of `text`, at `path`, that break a rule.
    fn broken(path: &str, text: &str) -> Vec<usize> {
        file(path, text).into_iter().map(|violation| violation.line).collect()
    }

    #[test]
    fn aya_stays_in_its_rooms() {
        let text = "// aya::Ebpf is fine here\nuse aya::Ebpf;\nlet s = \"aya\";\nuse aya_ebpf::maps;\n";
        assert_eq!(broken("memtrace/src/pipeline.rs", text), [2]);
        assert_eq!(broken("memtrace/src/kernel/load.rs", text), [0usize; 0]);
        assert_eq!(broken("memtrace/src/source/ring.rs", text), [0usize; 0]);
        assert_eq!(broken("memtrace/src/source/ringer.rs", text), [2]);
    }

    #[test]
    fn clap_serde_and_tokio_stay_in_theirs() {
        assert_eq!(broken("memtrace/src/config.rs", "use clap::Parser;"), [1]);
        assert_eq!(broken("memtrace/src/event/map.rs", "#[derive(Clone, Serialize)]"), [1]);
        assert_eq!(broken("memtrace/src/sink/json.rs", "#[derive(Clone, serde::Serialize)]"), [0usize; 0]);
        assert_eq!(broken("memtrace/src/decode/mod.rs", "tokio::spawn(x)"), [1]);
        assert_eq!(broken("memtrace/src/pipeline/mod.rs", "tokio::spawn(x)"), [0usize; 0]);
    }

    #[test]
    fn kernel_files_are_named_where_they_are_read() {
        let text = "/// reads /proc/self\nlet a = \"/proc/self/maps\";\nlet b = format!(\"see /sys/kernel\");\nlet c = \"/system.slice\";\n";
        assert_eq!(broken("memtrace/src/sink/text.rs", text), [2, 3]);
        assert_eq!(broken("memtrace/src/host/facts.rs", text), [0usize; 0]);
        let test = "#[cfg(test)]\nmod tests {\n    const P: &str = \"/proc/1\";\n}\n";
        assert_eq!(broken("memtrace/src/sink/text.rs", test), [0usize; 0]);
    }

    #[test]
    fn pure_rooms_have_no_files_and_no_clock() {
        let text = "use std::{fmt, fs};\nuse std::time::Instant;\nlet t = Instant::now();\nuse std::{\n    io,\n    net::TcpStream,\n};\n";
        assert_eq!(broken("memtrace/src/aggregate/ledger.rs", text), [1, 3, 6]);
        assert_eq!(broken("memtrace/src/host/facts.rs", text), [0usize; 0]);
    }

    #[test]
    fn unsafe_needs_a_room_but_attributes_do_not() {
        let text = "#[unsafe(no_mangle)]\nunsafe { x() }\nunsafe impl Pod for A {}\n#![deny(unsafe_code)]\n";
        assert_eq!(broken("memtrace-ebpf/src/probes/map.rs", text), [2, 3]);
        assert_eq!(broken("memtrace-ebpf/src/kread.rs", text), [0usize; 0]);
    }

    #[test]
    fn caps_and_promises_are_checked() {
        let long = "\n".repeat(201);
        assert_eq!(broken("memtrace-ebpf/src/filter.rs", &long), [201]);
        assert_eq!(broken("memtrace/src/decode/map.rs", &long), [0usize; 0]);
        let text = concat!("// Keep in", " sync with b\nlet s = \"keep in", " sync\";");
        assert_eq!(broken("memtrace/src/decode/map.rs", text), [1]);
    }

    #[test]
    fn a_violation_is_one_line() {
        let violations = file("memtrace/src/config.rs", "\nuse clap::Parser;");
        assert_eq!(violations[0].to_string(), "memtrace/src/config.rs:2: clap only in memtrace/src/cli/ and xtask/");
    }
}
