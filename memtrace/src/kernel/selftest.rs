//! Every hook is proven before it is trusted: a child of memtrace makes calls that are known, and the records must say
//! just that. Offsets from BTF and tracefs are evidence; this is proof.
use super::known_calls::{self, CHILD_ARGUMENT, DROPPED, FATAL_TEXT, PAGES, page_bytes};
use super::{Kernel, KernelError, Rings};
use crate::decode::Decoder;
use crate::event::{Call, Event, FatalEvent, LastWords, MapOp, TaskWhat, WalkPart};
use crate::host::plan::{Plan, ProbePlan, by_tracepoints};
use memtrace_common::advice;
use memtrace_common::host::CALIBRATE_WORD;
use memtrace_common::records::{WalkPlan, WordPlan};
use memtrace_common::target::flags;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const GO_FATAL: &str = "go_fatal";
const DEADLINE: Duration = Duration::from_secs(5);

/// What the self-test took out of the rings: the account must know of these records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Proof {
    pub received: u64,
    pub decoded: u64,
    pub decode_errors: u64,
}

impl Proof {
    fn add(&mut self, more: Proof) {
        self.received += more.received;
        self.decoded += more.decoded;
        self.decode_errors += more.decode_errors;
    }
}

struct TestChild {
    child: Child,
    answers: BufReader<std::process::ChildStdout>,
}

impl TestChild {
    fn start() -> Result<Self, KernelError> {
        let failed = |e: std::io::Error| KernelError::SelfTest(format!("cannot start its child: {e}"));
        let mut child = Command::new(crate::procfs::OWN_EXE)
            .arg(CHILD_ARGUMENT)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(failed)?;
        let stdout = child.stdout.take().ok_or_else(|| KernelError::SelfTest("its child has no stdout".into()))?;
        Ok(Self { child, answers: BufReader::new(stdout) })
    }

    fn ask(&mut self, command: u8) -> Result<u64, KernelError> {
        let failed = |e: std::io::Error| KernelError::SelfTest(format!("its child does not answer: {e}"));
        self.child.stdin.as_mut().map_or(Ok(()), |stdin| stdin.write_all(&[command])).map_err(failed)?;
        let mut line = String::new();
        self.answers.read_line(&mut line).map_err(failed)?;
        line.trim().parse().map_err(|_| KernelError::SelfTest(format!("its child answered {line:?}")))
    }
}

impl Drop for TestChild {
    fn drop(&mut self) {
        // Also when a check failed half-way: no child is left behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Calibrates, attaches the plan's programs, and has each prove itself; what fails is marked broken in the plan. Where a
/// function's hook fails, tracepoints get their turn.
pub fn self_test(kernel: &mut Kernel, rings: &mut Rings, plan: &mut Plan) -> Result<Proof, KernelError> {
    let mut child = TestChild::start()?;
    let tgid = child.child.id();
    kernel.calibrate(plan, tgid, || child.ask(b'c').map(drop))?;
    // Without what the failure of a function may break in others.
    let planned = plan.clone();
    let mut proof = prove(kernel, rings, plan, child)?;
    if let Some(why) = plan.failed_function() {
        log::warn!("{}", by_tracepoints(why));
        *plan = planned.by_tracepoints();
        plan.attached().filter(|p| p.program.function.is_some()).for_each(|p| kernel.detach_program(p.program.name));
        proof.add(prove(kernel, rings, plan, TestChild::start()?)?);
    }
    kernel.btf = None;
    Ok(proof)
}

fn attach(kernel: &mut Kernel, plan: &mut Plan) {
    let probes: Vec<_> = plan.attached().filter(|p| !kernel.is_attached(p.program)).cloned().collect();
    for probe in probes {
        if let Err(why) = kernel.attach(&probe) {
            log::debug!("{}: {why}", probe.program.name);
            plan.mark_broken(probe.program.name, why);
        }
    }
    kernel.fault_hook = plan.fault_hook;
}

fn prove(kernel: &mut Kernel, rings: &mut Rings, plan: &mut Plan, mut child: TestChild) -> Result<Proof, KernelError> {
    let tgid = child.child.id();
    attach(kernel, plan);
    let id = kernel.add_target(tgid, 0, flags::TOLD)?;
    if let Err(why) = kernel.track_faults(tgid, false) {
        plan.mark_broken("fault_task", why);
    }
    let address = child.ask(b't')?;
    // First: it would copy the words, too.
    prove_fatal(kernel, plan, &mut child, tgid)?;
    let word = (child.ask(b'w')?, size_of_val(&CALIBRATE_WORD) as u32, false);
    if let Some(words) = WordPlan::of([word]) {
        kernel.set_words(tgid, &words)?;
        // Of nothing: that it ended is said all the same.
        kernel.set_walk(tgid, &WalkPlan::default())?;
    }
    let refaulted = kernel.fault_figures(tgid)?.map(|f| f.refaulted_pages[0]);
    drop(child);
    kernel.forget_faults(tgid);
    let page = page_bytes() as u64;
    let mut seen = Seen { events: Vec::new(), proof: Proof::default(), decoder: Decoder { page_bytes: page } };
    let until = Instant::now() + DEADLINE;
    while !seen.exited(id) && Instant::now() < until {
        seen.drain(rings);
        std::thread::yield_now();
    }
    seen.drain(rings);
    judge(plan, &seen, id, address, page, refaulted);
    kernel.fault_hook = plan.fault_hook;
    kernel.hears_fatal = plan.probe(GO_FATAL).is_some_and(ProbePlan::attach);
    kernel.remove_target(tgid)?;
    kernel.sweep_chunks()?;
    Ok(seen.proof)
}

/// The kernel stops at one of the child's own functions as it would at Go's.
fn prove_fatal(kernel: &mut Kernel, plan: &mut Plan, child: &mut TestChild, tgid: u32) -> Result<(), KernelError> {
    let is_wanted = plan.probe(GO_FATAL).is_some_and(ProbePlan::attach);
    let Some(points) = known_calls::fatal_points().filter(|_| is_wanted) else { return Ok(()) };
    match kernel.watch_fatal(tgid, &points) {
        Ok(()) => child.ask(b'f').map(drop),
        Err(why) => {
            plan.mark_broken(GO_FATAL, why.to_string());
            Ok(())
        }
    }
}

struct Seen {
    events: Vec<Event>,
    proof: Proof,
    decoder: Decoder,
}

impl Seen {
    fn drain(&mut self, rings: &mut Rings) {
        while let Some(record) = rings.events.next() {
            self.take(&record);
        }
        while let Some(record) = rings.urgent.next() {
            self.take(&record);
        }
    }

    fn take(&mut self, record: &[u8]) {
        self.proof.received += 1;
        match self.decoder.decode(record) {
            Ok(event) => {
                self.proof.decoded += 1;
                self.events.push(event);
            }
            Err(_) => self.proof.decode_errors += 1,
        }
    }

    fn exited(&self, id: u32) -> bool {
        self.events
            .iter()
            .any(|e| matches!(e, Event::Task(t) if t.meta.target == id && matches!(t.what, TaskWhat::Exit { .. })))
    }
}

/// Compares what the records say with what the child did.
fn judge(plan: &mut Plan, seen: &Seen, id: u32, address: u64, page: u64, refaulted: Option<u64>) {
    let mine: Vec<&Event> = seen.events.iter().filter(|e| e.meta().is_some_and(|m| m.target == id)).collect();
    let dropped = DROPPED as u64 * page;
    let advised = mine.iter().find_map(|e| match e {
        Event::Advise(a) if a.advice == advice::DONTNEED && a.call.address == address + page => Some(a.call),
        _ => None,
    });
    let call_is_right = |c: Call| c.length_bytes == dropped && c.result == 0;
    let verdict = match advised {
        None => Some("self-test: its madvise was not recorded".to_owned()),
        Some(c) if !call_is_right(c) => Some(format!("self-test: madvise recorded with length {}", c.length_bytes)),
        // Where RSS cannot be read the plan says so; where it can, it must be right.
        Some(c) if c.unmapped_bytes.is_some_and(|b| b != dropped) => {
            Some(format!("self-test: RSS fell by {:?} bytes, {dropped} expected", c.unmapped_bytes))
        }
        Some(_) => None,
    };
    settle(plan, &["madvise_in", "madvise_out"], verdict);
    // Its result does not matter: without CAP_SYS_NICE 5.10 refuses it.
    let by_pidfd = mine.iter().any(|e| {
        matches!(e, Event::Advise(a) if a.process_madvise && a.advice == libc::MADV_COLD && a.call.address == address)
    });
    let verdict = (!by_pidfd).then(|| "self-test: its process_madvise was not recorded".to_owned());
    settle(plan, &["pmadvise_in", "pmadvise_out"], verdict);
    let has = |op: MapOp, length: u64| {
        mine.iter()
            .any(|e| matches!(e, Event::Map(m) if m.op == op && (op == MapOp::Brk || m.call.length_bytes == length)))
    };
    let whole = PAGES as u64 * page;
    let expected = [
        (MapOp::Mmap, whole, ["mmap_in", "mmap_out"]),
        (MapOp::Munmap, whole - page, ["munmap_in", "munmap_out"]),
        (MapOp::Mremap, whole, ["mremap_in", "mremap_out"]),
        (MapOp::Brk, 0, ["brk_in", "brk_out"]),
    ];
    for (op, length, names) in expected {
        let verdict = (!has(op, length)).then(|| format!("self-test: its {op:?} was not recorded"));
        settle(plan, &names, verdict);
    }
    let exited =
        seen.exited(id).then_some(()).is_none().then(|| "self-test: its child's end was not recorded".to_owned());
    settle(plan, &["task_exit"], exited);
    let killed = mine.iter().any(|e| matches!(e, Event::Task(t) if matches!(t.what, TaskWhat::Kill { .. })));
    settle(plan, &["sig_generate"], (!killed).then(|| "self-test: its SIGKILL was not recorded".to_owned()));
    let word = CALIBRATE_WORD.to_ne_bytes();
    let has_word = |words: &LastWords| words.ranges.iter().any(|range| range.bytes.as_deref() == Some(&word));
    let copied = mine.iter().any(|e| matches!(e, Event::Words(words) if has_word(words)));
    settle(plan, &["sig_deliver"], (!copied).then(|| "self-test: its last words were not copied".to_owned()));
    let is_told = |of: &FatalEvent| of.text.bytes.as_deref() == Some(FATAL_TEXT.as_bytes());
    let told = mine.iter().any(|e| matches!(e, Event::Fatal(of) if is_told(of)));
    settle(plan, &[GO_FATAL], (!told).then(|| "self-test: its call was not recorded".to_owned()));
    let walked = mine.iter().any(|e| matches!(e, Event::Walk(walk) if matches!(walk.part, WalkPart::End(_))));
    settle(plan, &["sig_walk"], (!walked).then(|| "self-test: its memory was not walked".to_owned()));
    let verdict = match refaulted {
        Some(1) | None => None,
        Some(n) => Some(format!("self-test: {n} pages re-faulted, 1 expected")),
    };
    settle(plan, &["fault_task", "fault_host"], verdict);
}

fn settle(plan: &mut Plan, programs: &[&str], failure: Option<String>) {
    let Some(why) = failure else { return };
    for name in programs {
        if plan.probe(name).is_some_and(|p| p.attach()) {
            plan.mark_broken(name, why.clone());
        }
    }
}
