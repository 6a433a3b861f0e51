//! From a dossier to the document of it.
use super::document::{
    AnchorJson, BucketJson, CgroupJson, Document, EvidenceJson, FrameJson, GapJson, GrowthJson, KernelJson, LedgerJson,
    LogJson, MarkJson, OOM_SCHEMA, ReconstructedJson, RunnerUpJson, SaidJson, SourceJson, TimelineJson, TopJson,
    VerdictJson, VictimJson, WaterfallJson, Waterfalls, WordsJson, WorkloadJson,
};
use crate::aggregate::waterfall::Waterfall;
use crate::cgroup::workload::{Workload, WorkloadBy};
use crate::diagnose::{Growth, Verdict};
use crate::dossier::{Dossier, GoSaid};
use crate::enrich::Closeup;
use crate::event::OomWhat;
use crate::goruntime::Sample;
use crate::procfs::clock::ClockOffset;
use crate::sink::Frame;
use crate::sink::json::{controller_json, pressure_detail};
use crate::sink::text;
use crate::snapshot::{ExitSnapshot, KilledBy, ProcessSnapshot};
use crate::timeline::{Mark, MarkWhat, Signal};
use serde_json::json;
use std::time::{Duration, UNIX_EPOCH};

/// Columns of a name in an id.
const NAME: usize = 32;

impl Document {
    /// `wall`: as it is now.
    pub fn of(dossier: &Dossier, wall: ClockOffset) -> Document {
        let is_of_this_boot = dossier.lost.is_none_or(|lost| lost.found_ns.is_some());
        let wall = dossier.lost.map(|lost| lost.wall).filter(|_| !is_of_this_boot).unwrap_or(wall);
        let wall_time = UNIX_EPOCH + Duration::from_nanos(wall.from_monotonic(dossier.t_ns));
        let killed_at_wall = humantime::format_rfc3339_micros(wall_time).to_string();
        let process = &dossier.process;
        let account = dossier.account.as_ref().map(|(after_kill_ns, account)| CgroupJson {
            after_kill_ns: *after_kill_ns,
            account: controller_json(account),
        });
        let last = dossier.last.as_ref().or(dossier.first.as_ref());
        Document {
            schema: OOM_SCHEMA.to_owned(),
            kind: "dossier".to_owned(),
            id: id(&killed_at_wall, process),
            trigger: dossier.trigger.name().to_owned(),
            cause: dossier.cause.name().to_owned(),
            killed_at_ns: dossier.t_ns,
            killed_at_wall,
            wall_uncertainty_ns: wall.uncertainty_ns,
            reconstructed: dossier.lost.map(|lost| ReconstructedJson {
                saved_at_ns: lost.saved_ns,
                found_at_ns: lost.found_ns,
                before_reboot: lost.found_ns.is_none(),
            }),
            victim: victim(process, dossier.exit.as_ref()),
            workload: Some(workload(dossier)),
            cgroup: account,
            kernel: kernel(dossier),
            last_words: dossier.words.as_ref().map(|(t_ns, sample)| words(*t_ns, sample)),
            go_said: dossier.said.as_ref().map(said),
            anchors: dossier
                .anchors
                .iter()
                .map(|a| AnchorJson { what: a.what.to_owned(), t_ns: a.t_ns, uncertainty_ns: a.uncertainty_ns })
                .collect(),
            sources: dossier
                .sources
                .iter()
                .map(|source| SourceJson {
                    name: source.name.to_owned(),
                    age_ns: source.age_ns,
                    walked: source.extent.map(|extent| extent.walked),
                    of: source.extent.and_then(|extent| extent.of),
                    stopped_by: source.extent.map(|extent| extent.stopped.as_str().to_owned()),
                })
                .collect(),
            verdict: verdict(&dossier.verdict),
            waterfall: Waterfalls {
                before: dossier.first.as_ref().and_then(waterfall),
                last: last.and_then(waterfall),
            },
            ledger: LedgerJson {
                returned_bytes: process.returned_bytes,
                refaulted_bytes: process.refaulted_bytes,
                kept_bytes: process.kept_bytes,
                untracked_bytes: process.untracked_bytes,
                lazy_bytes: process.lazy_bytes,
                faults: process.faults,
                reclaim_stalls: process.reclaim_stalls,
                reclaim_stall_ns: process.reclaim_stall_ns,
                time_to_refault_p50_ns: process.time_to_refault.and_then(|time| time.p50_ns),
            },
            top: TopJson {
                heap: growth(&dossier.heap),
                goroutines: growth(&dossier.goroutines),
                mappings: growth(&dossier.mappings),
            },
            timeline: timeline(dossier),
        }
    }
}

/// `20261125T224501.123456Z-4242-api`.
fn id(killed_at_wall: &str, process: &ProcessSnapshot) -> String {
    let time: String = killed_at_wall.chars().filter(|c| !matches!(c, '-' | ':')).collect();
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' };
    let comm: String = process.comm.as_deref().unwrap_or("unknown").chars().map(plain).take(NAME).collect();
    format!("{time}-{}-{comm}", process.pid.unwrap_or(0))
}

fn workload(of: &Dossier) -> WorkloadJson {
    let by_exe = || {
        let name = of.process.exe.as_ref().or(of.process.comm.as_ref()).cloned().unwrap_or_default();
        Workload { by: WorkloadBy::Exe, name, names: None }
    };
    let Workload { by, name, .. } = of.workload.clone().unwrap_or_else(by_exe);
    WorkloadJson { name, by: by.name().to_owned() }
}

fn victim(process: &ProcessSnapshot, exit: Option<&ExitSnapshot>) -> VictimJson {
    let (killed_by, killer_pid) = match exit.and_then(|exit| exit.killed_by.as_ref()) {
        Some(KilledBy::Oom) => (Some("oom".to_owned()), None),
        Some(KilledBy::Process { pid, comm }) => (Some(comm.clone()), Some(*pid)),
        None => (None, None),
    };
    VictimJson {
        pid: process.pid,
        comm: process.comm.clone(),
        exe: process.exe.clone(),
        go_version: process.go.as_ref().map(|go| go.version.clone()),
        start_time_ns: process.start_time_ns,
        exit_code: exit.and_then(|exit| exit.code),
        exit_signal: exit.and_then(|exit| exit.signal),
        killed_by,
        killer_pid,
    }
}

fn kernel(dossier: &Dossier) -> KernelJson {
    let log = dossier.log.iter().map(|line| LogJson { stamp_ns: line.stamp_ns, text: line.text.clone() }).collect();
    let mut json = KernelJson { allocator_pid: dossier.allocator_pid, log, ..KernelJson::default() };
    for said in &dossier.kernel {
        match *said {
            OomWhat::Kill { cgroup_v1_id, cgroup_v2_id } => {
                (json.cgroup_v1_id, json.cgroup_v2_id) = (cgroup_v1_id, cgroup_v2_id);
            }
            OomWhat::Victim {
                total_vm_bytes,
                anon_rss_bytes,
                file_rss_bytes,
                shmem_rss_bytes,
                page_tables_bytes,
                oom_score_adj,
            } => {
                json = KernelJson {
                    total_vm_bytes,
                    anon_rss_bytes,
                    file_rss_bytes,
                    shmem_rss_bytes,
                    page_tables_bytes,
                    oom_score_adj,
                    ..json
                };
            }
        }
    }
    if let Some(go) = &dossier.last_counters {
        json.heap_inuse_bytes = Some(go.heap_inuse_bytes);
        json.heap_released_bytes = Some(go.heap_released_bytes);
        json.go_mapped_ready_bytes = Some(go.mapped_ready_bytes);
    }
    json
}

fn words(t_ns: u64, of: &Sample) -> WordsJson {
    WordsJson {
        t_ns,
        heap_alloc_bytes: of.memstats.heap_alloc,
        heap_inuse_bytes: of.memstats.heap_inuse,
        heap_idle_bytes: of.memstats.heap_idle,
        heap_released_bytes: of.memstats.heap_released,
        heap_live_bytes: of.heap_marked,
        stack_inuse_bytes: of.memstats.stack_inuse,
        go_mapped_ready_bytes: of.mapped_ready,
        gomemlimit_bytes: of.gomemlimit_bytes,
        gogc_percent: of.gogc_percent,
        goroutines: of.num_goroutine,
        gc_cycles: of.memstats.num_gc,
        gc_phase: of.gc_phase.map(|phase| phase.as_str().to_owned()),
    }
}

fn said(of: &GoSaid) -> SaidJson {
    let frame = |of: &Frame| FrameJson { function: of.function.clone(), file: of.file.clone(), line: of.line };
    SaidJson {
        t_ns: of.t_ns,
        error: of.what.name().to_owned(),
        message: of.message.clone(),
        stack: of.stack.iter().map(frame).collect(),
    }
}

fn verdict(of: &Verdict) -> VerdictJson {
    VerdictJson {
        pattern: of.pattern.name().to_owned(),
        confidence_ratio: of.confidence_ratio,
        evidence: of
            .evidence
            .iter()
            .map(|evidence| EvidenceJson {
                text: evidence.text.clone(),
                signal: evidence.signal.map(|signal| signal.name().to_owned()),
                t_ns: evidence.t_ns,
                value: evidence.value,
            })
            .collect(),
        runner_up: of
            .runner_up
            .map(|(pattern, confidence_ratio)| RunnerUpJson { pattern: pattern.name().to_owned(), confidence_ratio }),
        advice: of.advice.clone(),
    }
}

fn waterfall(closeup: &Closeup) -> Option<WaterfallJson> {
    let Waterfall { rss_bytes, buckets, unknown_bytes, .. } = closeup.waterfall.as_ref()?;
    let buckets = buckets.iter().map(|bucket| BucketJson { name: bucket.name.to_owned(), bytes: bucket.bytes });
    Some(WaterfallJson {
        t_ns: closeup.t_ns,
        rss_bytes: *rss_bytes,
        buckets: buckets.collect(),
        unknown_bytes: *unknown_bytes,
    })
}

fn growth(rows: &[Growth]) -> Vec<GrowthJson> {
    let row = |of: &Growth| GrowthJson {
        name: of.name.clone(),
        before_bytes: of.before_bytes,
        after_bytes: of.after_bytes,
        before_count: of.before_count,
        after_count: of.after_count,
    };
    rows.iter().map(row).collect()
}

/// Signals of which nothing is known are left out.
fn timeline(of: &Dossier) -> TimelineJson {
    let points = &of.points;
    let column = |signal: Signal| points.iter().map(|point| point.get(signal)).collect::<Vec<_>>();
    let columns = Signal::ALL.iter().map(|signal| (signal.name().to_owned(), column(*signal)));
    TimelineJson {
        t_ns: points.iter().map(|point| point.t_ns).collect(),
        signals: columns.filter(|(_, values)| values.iter().any(Option::is_some)).collect(),
        dropped_chunks: of.dropped_chunks,
        gaps: of.gaps.iter().map(|(from_ns, to_ns)| GapJson { from_ns: *from_ns, to_ns: *to_ns }).collect(),
        events: of.marks.iter().map(mark).collect(),
        dropped_events: of.dropped_marks,
    }
}

fn mark(of: &Mark) -> MarkJson {
    let (family, op, text, detail) = match &of.what {
        MarkWhat::Told(told) => ("pressure", told.what.name(), text::told(told), pressure_detail(told)),
        MarkWhat::Reclaim(stalls) => {
            let detail = json!({
                "times": stalls.times, "stall_ns": stalls.stall_ns, "reclaimed_bytes": stalls.reclaimed_bytes,
            });
            ("reclaim", if stalls.memcg { "memcg" } else { "direct" }, text::stalls(stalls), detail)
        }
    };
    MarkJson {
        t_ns: of.t_ns,
        family: family.to_owned(),
        op: op.to_owned(),
        text,
        detail,
        heap_inuse_bytes: of.go.map(|go| go.heap_inuse_bytes),
        heap_released_bytes: of.go.map(|go| go.heap_released_bytes),
    }
}
