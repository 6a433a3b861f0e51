use super::*;
use crate::host::catalog::function_of;
use crate::host::offsets::{Machine, absent};
use crate::host::rss::RssMethod;
use bytemuck::Zeroable;
use memtrace_common::params::{Switches, rss_mode};

/// A host on which everything works: this machine, as root.
pub(crate) fn good() -> Facts {
    let names = |f: fn(Hook) -> Option<String>| Some(PROGRAMS.iter().filter_map(|p| f(p.hook)).collect());
    Facts {
        release: "6.18.44-fc".into(),
        version: (6, 18),
        machine: "x86_64".into(),
        btf: Access::Readable,
        tracefs: Access::Readable,
        capabilities: ["CAP_BPF", "CAP_PERFMON", "CAP_SYS_ADMIN", "CAP_SYS_PTRACE"].map(str::to_owned).to_vec(),
        perf_event_paranoid: Some(2),
        uprobes: true,
        page_bytes: 4096,
        possible_cpus: 2,
        pids: Pids::Initial,
        initial_user_namespace: true,
        tracepoints: names(|h| match h {
            Hook::Tracepoint { category, name } => Some(format!("{category}:{name}")),
            _ => None,
        }),
        raw_tracepoints: names(|h| match h {
            Hook::RawTracepoint { name } => Some(name.to_owned()),
            _ => None,
        }),
        ..Facts::default()
    }
}

pub(crate) fn params_of(mode: u32) -> Params {
    let mut params =
        absent(Machine { cpus: 2, page_bytes: 4096, page_tables: 0, pid_namespace: 0 }, Switches::zeroed());
    (params.mm.rss_mode, params.mm.bpf_array_pptrs, params.task.rss_cache) = (mode, 24, 300);
    params
}

fn decide(facts: &Facts, want: Want) -> Plan {
    plan(facts, &params_of(rss_mode::PERCPU), &[], &want)
}

const WHOLE_HOST: Want =
    Want { faults: true, whole_host: true, exact: false, go_fatal: true, walks: true, calls: CallHook::Cheapest };

/// What the raw tracepoints of arm64 lack.
fn without(facts: Facts, raw: &str) -> Facts {
    let kept = facts.raw_tracepoints.iter().flatten().filter(|n| *n != raw).cloned().collect();
    Facts { raw_tracepoints: Some(kept), ..facts }
}

#[test]
fn this_machine_as_root_is_ready() {
    let plan = decide(&good(), Want::default());
    assert!(plan.is_ready() && plan.blockers.is_empty() && plan.fixes().is_empty());
    assert!(plan.probes.iter().all(|p| p.verdict() == Verdict::Ok));
    assert_eq!((plan.fault_hook, plan.rss.method), (FaultHook::PerTask, RssMethod::Percpu));
    let attached: Vec<_> = plan.attached().map(|p| p.program.name).collect();
    assert!(attached.contains(&"fault_task") && attached.contains(&"madvise_out"));
    for left_out in ["fault_host", "page_free", "calib_map"] {
        assert!(!attached.contains(&left_out), "{left_out}");
    }
    assert_eq!(plan.bystander_costs(), [(Bystander::Syscall, 57), (Bystander::Fault, 48)]);
}

/// A kernel whose functions can be hooked.
fn with_functions(facts: &Facts, calls: CallHook) -> Plan {
    let mut params = params_of(rss_mode::PERCPU);
    params.registers.argument0 = 112;
    plan(facts, &params, &[], &Want { calls, ..Want::default() })
}

fn hook_of(plan: &Plan, name: &str) -> String {
    plan.probe(name).unwrap().hook.to_string()
}

#[test]
fn functions_are_hooked_where_they_can_be_for_they_cost_bystanders_nothing() {
    let plan = with_functions(&good(), CallHook::Cheapest);
    assert_eq!(hook_of(&plan, "madvise_in"), format!("fentry {}", function_of("madvise")));
    assert_eq!(hook_of(&plan, "brk_out"), format!("fexit {}", function_of("brk")));
    assert_eq!(hook_of(&plan, "calib_map"), "tracepoint syscalls:sys_enter_madvise");
    assert_eq!(plan.bystander_costs(), [(Bystander::Fault, 48)]);
    let cannot = Facts { no_functions: Some("no".into()), ..good() };
    for plan in [with_functions(&cannot, CallHook::Cheapest), with_functions(&good(), CallHook::Tracepoints)] {
        assert_eq!(hook_of(&plan, "madvise_in"), "tracepoint syscalls:sys_enter_madvise");
        assert!(plan.is_ready());
    }
    let insisted = with_functions(&cannot, CallHook::Functions);
    assert_eq!(insisted.probe("madvise_in").unwrap().verdict(), Verdict::Unsupported);
    assert!(!insisted.is_ready());
}

#[test]
fn where_a_function_fails_all_calls_are_hooked_by_tracepoints() {
    let mut plan = with_functions(&good(), CallHook::Cheapest);
    assert_eq!(plan.failed_function(), None);
    let planned = plan.clone();
    plan.mark_broken("mmap_out", "never fires");
    assert_eq!(plan.failed_function(), Some("never fires"));
    assert!(!plan.is_ready());
    let plan = planned.by_tracepoints();
    assert!(plan.is_ready() && plan.probes.iter().all(|p| p.hook == p.program.hook));
    let mut insisted = with_functions(&good(), CallHook::Functions);
    insisted.mark_broken("mmap_out", "never fires");
    assert_eq!(insisted.failed_function(), None);
    assert!(!insisted.is_ready());
}

#[test]
fn wants_choose_the_hooks() {
    let arm64 = || without(Facts { machine: "aarch64".into(), version: (6, 12), ..good() }, "page_fault_user");
    let cases = [
        (good(), Want::default(), FaultHook::PerTask),
        (good(), WHOLE_HOST, FaultHook::WholeHost),
        (arm64(), Want::default(), FaultHook::PerTask),
        (arm64(), WHOLE_HOST, FaultHook::PerTask),
        (good(), Want { faults: false, ..WHOLE_HOST }, FaultHook::None),
        (Facts { perf_event_paranoid: None, ..good() }, Want::default(), FaultHook::None),
    ];
    for (facts, want, hook) in cases {
        let plan = decide(&facts, want);
        assert_eq!(plan.fault_hook, hook, "{} {want:?}", facts.machine);
        assert!(plan.is_ready(), "faults are optional");
    }
    let plan = decide(&arm64(), WHOLE_HOST);
    assert_eq!(plan.probe("fault_host").unwrap().verdict(), Verdict::Unsupported);
    let plan = decide(&good(), Want { exact: true, ..Want::default() });
    assert!(plan.probe("page_free").unwrap().attach());
    assert!(plan.bystander_costs().contains(&(Bystander::FreedPage, 75)));
}

#[test]
fn without_uprobes_the_rest_goes_on() {
    let plan = decide(&Facts { uprobes: false, ..good() }, Want::default());
    assert_eq!(plan.probe("go_fatal").unwrap().verdict(), Verdict::Unsupported);
    assert!(plan.is_ready());
    let plan = decide(&good(), Want { go_fatal: false, ..Want::default() });
    let probe = plan.probe("go_fatal").unwrap();
    assert!(!probe.attach() && probe.verdict() == Verdict::Ok);
}

#[test]
fn kernel_5_10_has_the_atomic_counters() {
    let facts = Facts { release: "5.10.0-32".into(), version: (5, 10), ..good() };
    let missing = [
        Missing { what: "mark_victim.total_vm", needed_by: &[], loses: "the victim's totals" },
        Missing { what: "mark_victim.anon_rss", needed_by: &[], loses: "the victim's totals" },
    ];
    let plan = plan(&facts, &params_of(rss_mode::ATOMIC), &missing, &Want::default());
    assert!(plan.is_ready());
    assert_eq!((plan.rss.method, plan.rss.error_bytes), (RssMethod::Atomic, Some(0)));
    assert_eq!(plan.notes.iter().filter(|n| n.contains("totals")).count(), 1, "each loss is said once");
    assert!(plan.notes.iter().any(|n| n.contains("RLIMIT_MEMLOCK")));
}

#[test]
fn the_calibration_is_for_those_who_need_it() {
    let lack = [Missing { what: "a helper", needed_by: &["calib_cpus"], loses: "" }];
    let plan_of = |mode| plan(&good(), &params_of(mode), &lack, &Want::default());
    let old = plan_of(rss_mode::ATOMIC);
    assert!(!old.probe("calib_cpus").unwrap().wanted && old.is_ready());
    let mut new = plan_of(rss_mode::PERCPU);
    assert!(new.probe("calib_cpus").unwrap().wanted && new.is_ready());
    new.calibrated(2);
    assert_eq!(new.rss.method, RssMethod::Percpu);
    new.calibrated(0);
    assert_eq!((new.rss.method, new.rss.error_bytes), (RssMethod::None, None));
}

#[test]
fn each_obstacle_has_its_verdict_and_a_fix() {
    let none = || Facts { capabilities: Vec::new(), euid: 65534, ..good() };
    let cases = [
        (none(), Verdict::NotPermitted, "CAP_BPF and CAP_PERFMON", "setcap"),
        (Facts { euid: 0, ..none() }, Verdict::NotPermitted, "root here lacks", "container"),
        (
            Facts { capabilities: vec!["CAP_BPF".into()], euid: 1, ..good() },
            Verdict::NotPermitted,
            "CAP_PERFMON",
            "setcap",
        ),
        (
            Facts { tracefs: Access::Absent, tracepoints: None, ..good() },
            Verdict::Unsupported,
            "not mounted",
            "mount -t",
        ),
        (Facts { tracefs: Access::Denied, tracepoints: None, ..good() }, Verdict::NotPermitted, "tracefs", "container"),
        (Facts { btf: Access::Absent, ..good() }, Verdict::Unsupported, "BTF", "CONFIG_DEBUG_INFO_BTF"),
        (Facts { btf: Access::Broken("ends early".into()), ..good() }, Verdict::Broken, "ends early", "report"),
        (Facts { version: (5, 4), release: "5.4.0".into(), ..good() }, Verdict::Unsupported, "5.4.0", "5.10"),
        (Facts { lockdown: Some("confidentiality".into()), ..good() }, Verdict::NotPermitted, "lockdown", "boot"),
        (Facts { pids: Pids::Own(7), ..good() }, Verdict::Unsupported, "own PID namespace, and", "hostPID"),
        (Facts { pids: Pids::Foreign, ..good() }, Verdict::Unsupported, "/proc is that of another", "mount -t proc"),
        (Facts { initial_user_namespace: false, ..good() }, Verdict::NotPermitted, "user namespace", "root"),
    ];
    for (facts, verdict, reason, fix) in cases {
        let plan = decide(&facts, Want::default());
        assert!(!plan.is_ready(), "{reason}");
        let probe = plan.probe("madvise_in").unwrap();
        let found = probe.obstacle.as_ref().unwrap();
        assert_eq!(found.verdict, verdict, "{reason}");
        assert!(found.reason.contains(reason), "{found:?}");
        assert!(plan.fixes()[0].contains(fix), "{:?}", plan.fixes());
        assert!(plan.attached().all(|p| p.program.name != "madvise_in"));
    }
}

#[test]
fn raw_tracepoints_need_no_tracefs() {
    let plan = decide(&Facts { tracefs: Access::Absent, tracepoints: None, ..good() }, Want::default());
    assert_eq!(plan.probe("task_exit").unwrap().verdict(), Verdict::Ok);
    assert_eq!(plan.probe("mark_victim").unwrap().verdict(), Verdict::Unsupported);
}

#[test]
fn bpf_and_perfmon_are_enough() {
    let capabilities = ["CAP_BPF", "CAP_PERFMON"].map(str::to_owned).to_vec();
    let plan = decide(&Facts { capabilities, euid: 1000, ..good() }, Want::default());
    assert!(plan.is_ready());
    assert!(plan.notes.iter().any(|n| n.contains("CAP_SYS_PTRACE")));
}

#[test]
fn a_missing_optional_tracepoint_degrades_a_required_one_stops() {
    let lacking = |name: &str| {
        let kept = good().tracepoints.unwrap_or_default().into_iter().filter(|n| n != name).collect();
        decide(&Facts { tracepoints: Some(kept), ..good() }, Want::default())
    };
    assert!(lacking("syscalls:sys_enter_process_madvise").is_ready());
    assert!(lacking("oom:mark_victim").is_ready());
    assert!(!lacking("syscalls:sys_exit_munmap").is_ready());
}

#[test]
fn what_a_program_needs_is_required_of_the_kernel() {
    let missing = [Missing { what: "task_struct.tgid", needed_by: &["sig_generate"], loses: "who" }];
    let mut plan = plan(&good(), &params_of(rss_mode::PERCPU), &missing, &Want::default());
    assert_eq!(plan.probe("sig_generate").unwrap().verdict(), Verdict::Unsupported);
    assert!(plan.is_ready());
    plan.mark_broken("fault_task", "self-test saw no fault");
    assert_eq!((plan.fault_hook, plan.probe("fault_task").unwrap().verdict()), (FaultHook::None, Verdict::Broken));
    plan.mark_broken("madvise_in", "self-test saw no call");
    assert!(!plan.is_ready());
}
