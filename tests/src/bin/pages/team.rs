//! Threads made at start: a thread made later would map its stack under the tracer's eyes.
use crate::script::{self, Done};
use crate::{Text, write_done};
use std::fmt::{self, Write};
use std::sync::{Arc, Barrier, Mutex, PoisonError};

/// Results kept for each thread; commands beyond are done and not reported.
const KEPT: usize = 64;

struct Job {
    commands: Text,
    done: [Done; KEPT],
    count: usize,
}

struct Member {
    job: Mutex<Job>,
}

pub(crate) struct Team {
    members: Vec<Arc<Member>>,
    /// All members and the caller: passed once to begin and once at the end.
    gate: Arc<Barrier>,
}

impl Team {
    pub(crate) fn new(threads: usize) -> Self {
        let gate = Arc::new(Barrier::new(threads + 1));
        let members: Vec<Arc<Member>> = (0..threads)
            .map(|_| {
                let job = Job { commands: Text::new(), done: [Done::default(); KEPT], count: 0 };
                Arc::new(Member { job: Mutex::new(job) })
            })
            .collect();
        for member in &members {
            let (member, gate) = (Arc::clone(member), Arc::clone(&gate));
            let work = move || {
                gate.wait();
                loop {
                    gate.wait();
                    member.work();
                    gate.wait();
                }
            };
            std::thread::Builder::new().stack_size(128 << 10).spawn(work).expect("a thread");
        }
        // All of them exist and have run.
        gate.wait();
        Self { members, gate }
    }

    /// One list of commands for each member, apart by `|`; begun together, over when all are done.
    pub(crate) fn run(&self, lists: &str) {
        let mut lists = lists.split('|');
        for member in &self.members {
            let mut job = member.job.lock().unwrap_or_else(PoisonError::into_inner);
            job.commands.length = 0;
            let _ = job.commands.write_str(lists.next().unwrap_or("").trim());
            job.count = 0;
        }
        self.gate.wait();
        self.gate.wait();
    }

    /// `[[result, ...], ...]`, by member.
    pub(crate) fn write(&self, answer: &mut Text) -> fmt::Result {
        answer.write_char('[')?;
        for (n, member) in self.members.iter().enumerate() {
            answer.write_str(if n == 0 { "[" } else { ",[" })?;
            let job = member.job.lock().unwrap_or_else(PoisonError::into_inner);
            for (k, done) in job.done[..job.count.min(KEPT)].iter().enumerate() {
                answer.write_str(if k == 0 { "" } else { "," })?;
                write_done(answer, done)?;
            }
            answer.write_char(']')?;
        }
        answer.write_char(']')
    }
}

impl Member {
    fn work(&self) {
        let mut job = self.job.lock().unwrap_or_else(PoisonError::into_inner);
        let Job { commands, done, count } = &mut *job;
        for command in commands.as_str().split(';').map(str::trim).filter(|command| !command.is_empty()) {
            let result = script::execute(command);
            if let Some(slot) = done.get_mut(*count) {
                *slot = result;
            }
            *count += 1;
        }
    }
}
