//! Looks at Go processes for `cargo xtask bench goruntime`, and is the load of the one that is looked at: reads one order
//! a line, answers one line.
//!
//!     times N LOOK            looks N times; the milliseconds of each
//!     every MILLIS LOOK       looks again and again, until
//!     rest                    which answers the milliseconds of each
//!     requests ADDRESS RATE MILLIS
//!                             asks for /work at a fixed rate; microseconds at the 50th, 99th and 99.9th percentile
//!     functions PATH          how many a Go executable has
//!     retries PID N           of N samples: how many were read again, and how many refused
//!
//! A LOOK is `sample PID`, `spans PID`, `locate PATH`, `get ADDRESS PATH` or `run COMMAND…`.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use memtrace::goruntime::image::Image;
use memtrace::goruntime::{GoFile, Runtime};
use memtrace_tests::obey;

/// Connections of the load.
const CONNECTIONS: u64 = 4;
const PATIENCE: Duration = Duration::from_secs(10);

struct Looking {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<Result<Vec<f64>>>,
}

type Look = Box<dyn FnMut() -> Result<()> + Send>;

fn main() -> Result<()> {
    let mut state = State::default();
    obey(|words| state.order(words))
}

#[derive(Default)]
struct State {
    looking: Option<Looking>,
}

impl State {
    fn order(&mut self, words: &[&str]) -> Result<String> {
        match words {
            ["times", count, look @ ..] => {
                let mut look = new_look(look)?;
                let count: u32 = count.parse()?;
                Ok(list((0..count).map(|_| milliseconds(&mut look)).collect::<Result<Vec<_>>>()?))
            }
            ["every", millis, look @ ..] => {
                let (mut look, period) = (new_look(look)?, Duration::from_millis(millis.parse()?));
                let is_over = Arc::new(AtomicBool::new(false));
                let over = Arc::clone(&is_over);
                let thread = thread::spawn(move || again_and_again(&mut look, period, &over));
                self.looking = Some(Looking { is_over, thread });
                Ok(String::new())
            }
            ["rest"] => {
                let Looking { is_over, thread } = self.looking.take().context("nothing is looked at")?;
                is_over.store(true, Relaxed);
                thread.thread().unpark();
                Ok(list(thread.join().map_err(|_| anyhow::anyhow!("the look died"))??))
            }
            ["requests", address, rate, millis] => requests(address, rate.parse()?, millis.parse()?),
            ["functions", path] => functions(path),
            ["retries", pid, count] => retries(pid.parse()?, count.parse()?),
            other => bail!("unknown order {other:?}"),
        }
    }
}

fn new_look(words: &[&str]) -> Result<Look> {
    Ok(match words {
        ["sample", pid] => {
            let runtime = Runtime::attach(pid.parse()?)?;
            let mut sampler = runtime.sampler()?;
            Box::new(move || {
                // Refused ones take as long; `retries` counts them.
                let _ = sampler.sample(&runtime);
                Ok(())
            })
        }
        ["spans", pid] => {
            let runtime = Runtime::attach(pid.parse()?)?;
            Box::new(move || {
                runtime.walk_spans(|_| true)?;
                Ok(())
            })
        }
        ["locate", path] => {
            let path = (*path).to_owned();
            Box::new(move || {
                let file = GoFile::read(&Image::open(Path::new(&path))?)?;
                file.located.map(drop).map_err(anyhow::Error::msg)
            })
        }
        ["get", address, path] => {
            let (mut client, path) = (Client::connect(address)?, (*path).to_owned());
            Box::new(move || client.get(&path))
        }
        ["run", program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            Box::new(move || {
                let status = command.status()?;
                if status.success() { Ok(()) } else { bail!("{command:?}: {status}") }
            })
        }
        other => bail!("no such look: {other:?}"),
    })
}

fn milliseconds(look: &mut Look) -> Result<f64> {
    let start = Instant::now();
    look()?;
    Ok(start.elapsed().as_secs_f64() * 1000.0)
}

fn again_and_again(look: &mut Look, period: Duration, is_over: &AtomicBool) -> Result<Vec<f64>> {
    let start = Instant::now();
    let mut all = Vec::new();
    while !is_over.load(Relaxed) {
        all.push(milliseconds(look)?);
        thread::park_timeout((period * all.len() as u32).saturating_sub(start.elapsed()));
    }
    Ok(all)
}

fn list(values: Vec<f64>) -> String {
    values.iter().map(|value| format!("{value:.4}")).collect::<Vec<_>>().join(" ")
}

/// Each request is due at a time of its own, whatever became of those before it, and its latency counts from then.
fn requests(address: &str, rate: u64, millis: u64) -> Result<String> {
    let start = Instant::now() + Duration::from_millis(20);
    let due = move |number: u64| start + Duration::from_nanos(number * 1_000_000_000 / rate);
    let count = rate * millis / 1000;
    let ask = |first: u64| -> Result<JoinHandle<Result<Vec<f64>>>> {
        let mut client = Client::connect(address)?;
        Ok(thread::spawn(move || {
            // SAFETY: takes a plain number: nanoseconds by which this thread's sleep may be longer.
            unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1 as libc::c_ulong) };
            let mut latencies = Vec::new();
            for number in (first..count).step_by(CONNECTIONS as usize) {
                thread::sleep(due(number).saturating_duration_since(Instant::now()));
                client.get("/work")?;
                latencies.push(due(number).elapsed().as_secs_f64() * 1e6);
            }
            Ok(latencies)
        }))
    };
    let threads = (0..CONNECTIONS).map(ask).collect::<Result<Vec<_>>>()?;
    let mut all = Vec::new();
    for thread in threads {
        all.extend(thread.join().map_err(|_| anyhow::anyhow!("a client died"))??);
    }
    all.sort_by(f64::total_cmp);
    let at = |permille: usize| all.get(all.len() * permille / 1000).copied().context("no request");
    Ok(list(vec![at(500)?, at(990)?, at(999)?]))
}

/// HTTP/1.1, as far as Go's server and these pages need.
struct Client {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Client {
    fn connect(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream, answer: Vec::new() })
    }

    fn get(&mut self, path: &str) -> Result<()> {
        write!(self.stream, "GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n")?;
        self.answer.clear();
        let mut piece = [0; 1 << 14];
        while !self.is_whole()? {
            match self.stream.read(&mut piece)? {
                0 => bail!("{path}: cut off"),
                read => self.answer.extend_from_slice(&piece[..read]),
            }
        }
        if self.answer.starts_with(b"HTTP/1.1 200 ") { Ok(()) } else { bail!("{path}: no such page") }
    }

    /// By its length, or by the empty piece at its end.
    fn is_whole(&self) -> Result<bool> {
        let Some(head) = self.answer.windows(4).position(|end| end == b"\r\n\r\n") else { return Ok(false) };
        let text = std::str::from_utf8(&self.answer[..head])?;
        match text.lines().find_map(|line| line.strip_prefix("Content-Length: ")) {
            Some(length) => Ok(self.answer.len() >= head + 4 + length.parse::<usize>()?),
            None => Ok(self.answer.ends_with(b"\r\n0\r\n\r\n")),
        }
    }
}

/// `nfunc` of the table's header (Go runtime/symtab.go, pcHeader).
fn functions(path: &str) -> Result<String> {
    let image = Image::open(Path::new(path))?;
    let table = image.section(".gopclntab").context("no function table")?;
    Ok(image.read_u64(table.offset + 8)?.to_string())
}

fn retries(pid: u32, count: u32) -> Result<String> {
    let runtime = Runtime::attach(pid)?;
    let mut sampler = runtime.sampler()?;
    let (mut again, mut refused) = (0, 0);
    for _ in 0..count {
        match sampler.sample(&runtime) {
            Ok(sample) => again += u32::from(sample.retries > 0),
            Err(_) => refused += 1,
        }
    }
    Ok(format!("{again} {refused}"))
}
