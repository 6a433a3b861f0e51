//! A workload of counted page work: does exactly the calls it is told and says what each returned.
//!
//!     pages [--threads N] [--pin CPU] [--exec PATH]
//!                                               commands on stdin, one JSON line for each; `spawn` runs PATH
//!     pages [--pin CPU] run "CMD; CMD; ..."     these commands, nothing printed; 0 when all succeeded, else 1
//!     pages each "CMD, CMD, ..."                the same, as `spawn` hands them on
//!
//! A line is one command, or `par CMD; CMD | CMD; CMD | ...`: one list for each of the N threads, begun together.
//! See `script` for the commands. Every page lies at `BASE` plus the offset given, so both sides know each address.
//!
//! The ledger under test must hold nothing but what was asked for. So after start-up nothing here allocates, the heap
//! is set up never to grow or shrink, threads are made beforehand, and everything mapped at start is locked in memory.
mod calls;
mod script;
mod team;

use script::{Done, Numbers};
use std::fmt::{self, Write};
use std::process::ExitCode;
use team::Team;

/// Room for one answer or one line of commands.
pub(crate) const LINE: usize = 1 << 16;

/// Text in a fixed place.
pub(crate) struct Text {
    bytes: Box<[u8; LINE]>,
    length: usize,
}

impl Text {
    fn new() -> Self {
        Self { bytes: Box::new([0; LINE]), length: 0 }
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or("")
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

fn main() -> ExitCode {
    calls::fix_heap();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut threads = 0;
    let mut rest = arguments.iter().map(String::as_str);
    while let Some(argument) = rest.next() {
        let mut number = || rest.next().and_then(|text| text.parse::<usize>().ok()).expect("a number");
        match argument {
            "--threads" => threads = number(),
            "--pin" => calls::pin(number()),
            "--exec" => calls::spawn_from(rest.next().expect("a path")),
            "run" => return run_all(rest.next().expect("commands")),
            "each" => return ExitCode::from(u8::from(!script::run_list(rest.next().expect("commands")))),
            other => panic!("unknown argument {other}"),
        }
    }
    // Made before the lock, so that thread stacks are resident too.
    let team = Team::new(threads);
    let (mut line, mut answer) = (Text::new(), Text::new());
    calls::lock_everything();
    answer_ready(&mut answer);
    let mut unread = 0;
    while next_line(&mut line, &mut unread) {
        obey(line.as_str(), &team, &mut answer);
        calls::write_all(answer.as_str().as_bytes());
    }
    ExitCode::SUCCESS
}

fn answer_ready(answer: &mut Text) {
    let _ = writeln!(answer, "{{\"ready\":true,\"pid\":{}}}", std::process::id());
    calls::write_all(answer.as_str().as_bytes());
}

/// For the one-shot children of a test: as few calls of their own as possible.
fn run_all(commands: &str) -> ExitCode {
    let failed = commands.split(';').filter(|command| script::execute(command.trim()).result < 0).count();
    ExitCode::from(u8::from(failed > 0))
}

/// Reads up to and without the next newline; `unread` bytes of the one after it may already be there.
fn next_line(line: &mut Text, unread: &mut usize) -> bool {
    // What came with the last line moves to the front.
    let start = if *unread > 0 { line.length + 1 } else { 0 };
    line.bytes.copy_within(start..start + *unread, 0);
    let mut have = *unread;
    loop {
        if let Some(end) = line.bytes[..have].iter().position(|byte| *byte == b'\n') {
            line.length = end;
            *unread = have - end - 1;
            return true;
        }
        let got = calls::read(0, &mut line.bytes[have..]);
        if got <= 0 {
            return false;
        }
        have += got as usize;
    }
}

fn obey(line: &str, team: &Team, answer: &mut Text) {
    answer.length = 0;
    let written = match line.strip_prefix("par ") {
        Some(lists) => {
            team.run(lists);
            team.write(answer)
        }
        None => write_done(answer, &script::execute(line.trim())),
    };
    if written.and_then(|()| answer.write_char('\n')).is_err() {
        answer.length = 0;
        let _ = answer.write_str("{\"error\":\"the answer is too long\"}\n");
    }
}

pub(crate) fn write_done(answer: &mut impl Write, done: &Done) -> fmt::Result {
    let Numbers { address, length, extra } = done.numbers;
    let Done { op, result, calls, .. } = done;
    let errno = if *result < 0 { -result } else { 0 };
    write!(
        answer,
        "{{\"op\":\"{op}\",\"address\":{address},\"length\":{length},\"extra\":{extra},\
         \"result\":{result},\"errno\":{errno},\"calls\":{calls}}}"
    )
}
