//! Splits Rust source into code, comments and string literals, line by line.
//!
//! A scanner, not a parser: it knows strings (raw and byte ones too), characters, lifetimes, and nested comments.

use std::collections::HashMap;

#[derive(Clone, Debug, Default)]
pub(super) struct Line {
    /// The code, with the text of strings left out.
    pub(super) code: String,
    pub(super) comment: String,
    /// The strings that start on this line.
    pub(super) literals: Vec<String>,
    /// Inside a `#[cfg(test)]` module.
    pub(super) test: bool,
}

pub(super) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

pub(super) fn lines(text: &str) -> Vec<Line> {
    let mut scanner = Scanner { rest: text, lines: vec![Line::default()] };
    while scanner.step().is_some() {}
    mark_tests(&mut scanner.lines);
    scanner.lines
}

struct Scanner<'a> {
    rest: &'a str,
    lines: Vec<Line>,
}

impl Scanner<'_> {
    fn step(&mut self) -> Option<()> {
        let first = self.rest.chars().next()?;
        if self.rest.starts_with("//") {
            let end = self.rest.find('\n').unwrap_or(self.rest.len());
            self.comment(end);
        } else if self.rest.starts_with("/*") {
            self.comment(block_comment_length(self.rest));
        } else if let Some((open, length, close)) = self.string() {
            let literal = self.rest[open..length - close].to_owned();
            self.current().literals.push(literal);
            self.current().code.push_str("\"\"");
            self.advance(length);
        } else if first == '\'' {
            let length = character_length(self.rest);
            self.code(length);
        } else if is_word(first) {
            let length = self.rest.find(|c| !is_word(c)).unwrap_or(self.rest.len());
            self.code(length);
        } else {
            self.code(first.len_utf8());
        }
        Some(())
    }

    /// A string literal here: length of its opening, of all of it, of its closing.
    fn string(&self) -> Option<(usize, usize, usize)> {
        let prefix = self.rest.find(|c| !matches!(c, 'b' | 'c' | 'r')).filter(|length| *length <= 2)?;
        let raw = self.rest[..prefix].contains('r');
        let after = &self.rest[prefix..];
        let hashes = if raw { after.len() - after.trim_start_matches('#').len() } else { 0 };
        if !after[hashes..].starts_with('"') {
            return None;
        }
        let open = prefix + hashes + 1;
        let body = &self.rest[open..];
        let length = if raw {
            body.find(&format!("\"{}", "#".repeat(hashes)))?
        } else {
            let mut escaped = false;
            body.find(|c| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            })?
        };
        Some((open, open + length + 1 + hashes, 1 + hashes))
    }

    fn current(&mut self) -> &mut Line {
        if self.lines.is_empty() {
            self.lines.push(Line::default());
        }
        let last = self.lines.len() - 1;
        &mut self.lines[last]
    }

    fn code(&mut self, length: usize) {
        let code = self.rest[..length].replace('\n', "");
        self.current().code.push_str(&code);
        self.advance(length);
    }

    fn comment(&mut self, length: usize) {
        for (index, part) in self.rest[..length].split('\n').enumerate() {
            if index > 0 {
                self.lines.push(Line::default());
            }
            self.current().comment.push_str(part);
        }
        self.rest = &self.rest[length..];
    }

    /// Goes on by `length` bytes and starts as many lines as they hold.
    fn advance(&mut self, length: usize) {
        for _ in 0..self.rest[..length].matches('\n').count() {
            self.lines.push(Line::default());
        }
        self.rest = &self.rest[length..];
    }
}

fn block_comment_length(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(c) = text[at..].chars().next() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += c.len_utf8();
        }
    }
    text.len()
}

/// `'a'`, `'\n'` and `'"'` are characters, `'a` alone is a lifetime.
fn character_length(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some((at, escaped))) => {
            let after = at + escaped.len_utf8();
            text[after..].find('\'').map_or(text.len(), |end| after + end + 1)
        }
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 1,
    }
}

/// Marks the lines of modules (or other items with braces) behind `#[cfg(test)]`.
fn mark_tests(lines: &mut [Line]) {
    let mut depth = None;
    let mut waiting = false;
    for line in lines {
        waiting |= depth.is_none() && line.code.contains("#[cfg(test)]");
        line.test = waiting || depth.is_some();
        for c in line.code.chars() {
            match (c, &mut depth) {
                ('{', None) if waiting => depth = Some(1_usize),
                (';', None) if waiting => waiting = false,
                ('{', Some(open)) => *open += 1,
                ('}', Some(1)) => {
                    depth = None;
                    waiting = false;
                }
                ('}', Some(open)) => *open -= 1,
                _ => {}
            }
        }
    }
}

/// What `use` trees name, written out, by the index of the line with the last part: `use std::{fs}` names `std::fs`.
pub(super) fn use_paths(lines: &[Line]) -> HashMap<usize, Vec<String>> {
    let mut found: HashMap<usize, Vec<String>> = HashMap::new();
    let mut stack: Option<Vec<String>> = None;
    let mut path = String::new();
    for (number, line) in lines.iter().enumerate() {
        let mut rest = line.code.as_str();
        if stack.is_none() {
            let Some(at) = line.code.find("use ").filter(|at| !line.code[..*at].ends_with(is_word)) else { continue };
            rest = &line.code[at + 4..];
            stack = Some(Vec::new());
            path.clear();
        }
        for c in rest.chars() {
            let Some(open) = &mut stack else { break };
            match c {
                '{' => open.push(path.clone()),
                ',' | '}' | ';' => {
                    found.entry(number).or_default().push(path.clone());
                    if c == '}' {
                        open.pop();
                    }
                    path = open.last().cloned().unwrap_or_default();
                    if c == ';' {
                        stack = None;
                    }
                }
                c if c.is_whitespace() => {}
                c => path.push(c),
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_and_comments_are_no_code() {
        let found =
            lines("let a = \"x // y\"; // z\nlet b = r#\"q\"w\"#; /* u\n v */ let c = 'a';\nf::<'a>(b'\"', \"\\\"t\")");
        assert_eq!(found[0].code, "let a = \"\"; ");
        assert_eq!(found[0].comment, "// z");
        assert_eq!(found[1].literals, ["q\"w"]);
        assert_eq!(found[2].code, " let c = 'a';");
        assert_eq!(found[3].literals, ["\\\"t"]);
        assert_eq!(found.len(), 4);
    }

    #[test]
    fn lines_in_long_strings_are_counted() {
        let found = lines("a(\"1\n2\n3\");\nb");
        assert_eq!(found[3].code, "b");
    }

    #[test]
    fn use_trees_are_written_out() {
        let found = use_paths(&lines("use std::{fs, io::{Read, Write}};\nlet x = 1;\n"));
        assert!(found[&0].contains(&"std::fs".to_owned()));
        assert!(found[&0].contains(&"std::io::Write".to_owned()));
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn test_modules_end_at_their_brace() {
        let found = lines("#[cfg(test)]\nmod tests {\n fn f() {}\n}\nfn g() {}\n#[cfg(test)]\nuse a;\nfn h() {}");
        let tests: Vec<_> = found.iter().map(|line| line.test).collect();
        assert_eq!(tests, [true, true, true, true, false, true, true, false]);
    }
}
