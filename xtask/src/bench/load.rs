//! A `bench_load` process: takes orders, answers figures.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::paths;

pub(super) struct Load {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Load {
    pub(super) fn start() -> Result<Self> {
        let mut command = Command::new(paths::cargo_target().join("release/bench_load"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot start bench_load")?;
        let orders = child.stdin.take().context("no stdin")?;
        let answers = BufReader::new(child.stdout.take().context("no stdout")?);
        Ok(Self { child, orders, answers })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Without waiting for the answer.
    pub(super) fn order(&mut self, order: &str) -> Result<()> {
        writeln!(self.orders, "{order}").context("bench_load is gone")
    }

    pub(super) fn answer(&mut self) -> Result<String> {
        let mut line = String::new();
        self.answers.read_line(&mut line).context("bench_load is gone")?;
        match line.trim().split_once(' ').unwrap_or((line.trim(), "")) {
            ("ok", answer) => Ok(answer.to_owned()),
            (_, what) => bail!("bench_load: {what}"),
        }
    }

    pub(super) fn ask(&mut self, order: &str) -> Result<String> {
        self.order(order)?;
        self.answer()
    }

    pub(super) fn figure(&mut self, order: &str) -> Result<f64> {
        self.ask(order)?.parse().with_context(|| format!("no figure for {order:?}"))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // Both fail only when it is gone already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
