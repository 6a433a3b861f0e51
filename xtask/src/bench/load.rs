//! A process that takes orders and answers figures: `bench_load`, `bench_look`.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::paths;

pub(super) struct Load {
    name: &'static str,
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Load {
    pub(super) fn start(name: &'static str) -> Result<Self> {
        let mut command = Command::new(paths::cargo_target().join("release").join(name));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        let orders = child.stdin.take().context("no stdin")?;
        let answers = BufReader::new(child.stdout.take().context("no stdout")?);
        Ok(Self { name, child, orders, answers })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Without waiting for the answer.
    pub(super) fn order(&mut self, order: &str) -> Result<()> {
        writeln!(self.orders, "{order}").with_context(|| format!("{} is gone", self.name))
    }

    pub(super) fn answer(&mut self) -> Result<String> {
        let mut line = String::new();
        self.answers.read_line(&mut line).with_context(|| format!("{} is gone", self.name))?;
        match line.trim().split_once(' ').unwrap_or((line.trim(), "")) {
            ("ok", answer) => Ok(answer.to_owned()),
            (_, what) => bail!("{}: {what}", self.name),
        }
    }

    pub(super) fn ask(&mut self, order: &str) -> Result<String> {
        self.order(order)?;
        self.answer()
    }

    pub(super) fn figures(&mut self, order: &str) -> Result<Vec<f64>> {
        let answer = self.ask(order)?;
        let figures = answer.split_whitespace().map(str::parse).collect::<Result<_, _>>();
        figures.with_context(|| format!("no figures for {order:?}"))
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
