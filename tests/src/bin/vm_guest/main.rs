//! The first process of a virtual machine of `cargo xtask vm`: runs its tests on the kernel it woke up on, says one
//! verdict a test on the console, and turns the machine off. `vm_guest list` on the host names the tests.
//!
//! What the host has to say comes in the environment, which the kernel makes of its command line.
mod boot;
mod cgroup;
mod clock;
mod doctor;
mod gone;
mod hooks;
mod ledger;
mod loss;
mod oom;
mod reclaim;
mod runtime;

use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::sync::Mutex;
use std::time::Instant;

pub(crate) struct Test {
    name: String,
    run: Box<dyn Fn()>,
}

pub(crate) fn test(name: impl Into<String>, run: impl Fn() + 'static) -> Test {
    Test { name: name.into(), run: Box::new(run) }
}

/// In the order in which they run; what must have gone comes last.
fn tests() -> Vec<Test> {
    let all = [
        doctor::tests(),
        hooks::tests(),
        ledger::tests(),
        loss::tests(),
        clock::tests(),
        runtime::tests(),
        reclaim::tests(),
        cgroup::tests(),
        oom::tests(),
        gone::tests(),
    ];
    all.into_iter().flatten().collect()
}

/// Of the reason that the verdict has room for; all of it goes before.
const WHY_CHARS: usize = 500;

/// What the last failed assertion said.
static WHY: Mutex<String> = Mutex::new(String::new());

fn main() {
    if std::env::args().nth(1).as_deref() == Some("list") {
        tests().iter().for_each(|test| println!("{}", test.name));
        return;
    }
    boot::mount();
    gone::remember();
    set_hook(Box::new(|panic| {
        if let Ok(mut why) = WHY.lock() {
            *why = panic.to_string();
        }
    }));
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("the kernel's release");
    println!("\n### kernel {}", kernel.trim());
    let filter = std::env::var("VM_FILTER").unwrap_or_default();
    let has_other_boot = std::env::var("VM_MEMORY_V1").is_ok_and(|is| is == "true");
    let is_of_this_boot = |test: &&Test| !has_other_boot || (test.name == oom::VERSION_1) == boot::by_version_1();
    tests().iter().filter(|test| test.name.contains(&filter)).filter(is_of_this_boot).for_each(verdict);
    println!("\n### end");
    boot::power_off();
}

/// Something that docs/kernels.md shall say of this kernel.
pub(crate) fn note(text: &str) {
    println!("\n### note {text}");
}

/// On a line of its own, whatever the kernel has just said.
fn verdict(test: &Test) {
    let began = Instant::now();
    let ended = catch_unwind(AssertUnwindSafe(&test.run));
    println!("\n### took {:.1} s: {}", began.elapsed().as_secs_f64(), test.name);
    match ended {
        Ok(()) => println!("\n### ok {}", test.name),
        Err(_) => {
            let why = WHY.lock().map(|why| why.clone()).unwrap_or_default();
            let lines: Vec<&str> = why.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
            let short: String = lines.join(" | ").chars().take(WHY_CHARS).collect();
            println!("\n{why}\n### failed {}: {short}", test.name);
        }
    }
}
