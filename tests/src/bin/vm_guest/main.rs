//! The first process of a virtual machine of `cargo xtask vm`: runs its tests on the kernel it woke up on, says one
//! verdict a test on the console, and turns the machine off. `vm_guest list` on the host names the tests.
//!
//! What the host has to say comes in the environment, which the kernel makes of its command line.
mod boot;
mod doctor;
mod gone;
mod ledger;
mod oom;
mod runtime;

use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::sync::Mutex;

pub(crate) struct Test {
    name: String,
    run: Box<dyn Fn()>,
}

pub(crate) fn test(name: impl Into<String>, run: impl Fn() + 'static) -> Test {
    Test { name: name.into(), run: Box::new(run) }
}

/// In the order in which they run; what must have gone comes last.
fn tests() -> Vec<Test> {
    [doctor::tests(), ledger::tests(), runtime::tests(), oom::tests(), gone::tests()].into_iter().flatten().collect()
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
    for test in tests().iter().filter(|test| test.name.contains(&filter)) {
        verdict(test);
    }
    println!("\n### end");
    boot::power_off();
}

/// On a line of its own, whatever the kernel has just said.
fn verdict(test: &Test) {
    match catch_unwind(AssertUnwindSafe(&test.run)) {
        Ok(()) => println!("\n### ok {}", test.name),
        Err(_) => {
            let why = WHY.lock().map(|why| why.clone()).unwrap_or_default();
            let lines: Vec<&str> = why.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
            let short: String = lines.join(" | ").chars().take(WHY_CHARS).collect();
            println!("\n{why}\n### failed {}: {short}", test.name);
        }
    }
}
