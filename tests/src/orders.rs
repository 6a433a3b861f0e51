//! The other end of `cargo xtask bench`: a process that does as it is told.
use std::io::{BufRead as _, Write as _};

/// One order a line on stdin, one answer a line on stdout; ends with its stdin.
pub fn obey(mut carry_out: impl FnMut(&[&str]) -> anyhow::Result<String>) -> anyhow::Result<()> {
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let answer = match carry_out(&words) {
            Ok(answer) => format!("ok {answer}"),
            Err(error) => format!("error {error:#}"),
        };
        println!("{answer}");
        std::io::stdout().flush()?;
    }
    Ok(())
}
