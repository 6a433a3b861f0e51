//! A Go runtime ends its process: uprobes on the functions of it that never return. They cost nothing until then.
use crate::counters::{Outcome, count};
use crate::emit::{self, About};
use crate::probes::words;
use crate::{ids, kread, maps, param};
use aya_ebpf::EbpfContext as _;
use aya_ebpf::programs::ProbeContext;
use memtrace_common::UNKNOWN;
use memtrace_common::header::flags;
use memtrace_common::kind;
use memtrace_common::names::Hook;
use memtrace_common::params::ABSENT;
use memtrace_common::records::{FatalRecord, fatal_op};

/// `abi.Type.Kind_` (Go internal/abi/type.go), the same in every release.
const KIND_OFFSET: u64 = 23;
const KIND_MASK: u8 = 0x1f;
const KIND_STRING: u8 = 24;

/// A Go string in memory, or half an interface.
type Pair = [u64; 2];

const NOTHING: Pair = [UNKNOWN, UNKNOWN];

/// `runtime.throw(s string)`, `runtime.fatal(s string)`.
pub fn throw(ctx: &ProbeContext, op: u32) {
    let regs = ctx.as_ptr() as u64;
    let argument = |offset| kread::field(regs, offset).unwrap_or(UNKNOWN);
    tell(ctx, op, UNKNOWN, [argument(param!(registers.go_argument0)), argument(param!(registers.go_argument1))]);
}

/// `runtime.fatalpanic(msgs *_panic)`; the panic's value is so far behind its start. What is an error or can print itself
/// has been made a string by then.
pub fn panic(ctx: &ProbeContext, value_offset: u64) {
    let string_address = panic_string(ctx, value_offset).unwrap_or(UNKNOWN);
    let text = if string_address == UNKNOWN { NOTHING } else { kread::user(string_address).unwrap_or(NOTHING) };
    tell(ctx, fatal_op::PANIC, string_address, text);
}

#[inline(always)]
fn panic_string(ctx: &ProbeContext, value_offset: u64) -> Option<u64> {
    let panic: u64 = kread::field(ctx.as_ptr() as u64, param!(registers.go_argument0))?;
    let [of_type, data] = kread::user::<Pair>(panic.wrapping_add(value_offset))?;
    let kind: u8 = kread::user(of_type.wrapping_add(KIND_OFFSET))?;
    (kind & KIND_MASK == KIND_STRING).then_some(data)
}

#[inline(always)]
fn tell(ctx: &ProbeContext, op: u32, string_address: u64, [text_address, text_bytes]: Pair) {
    let (tgid, tid) = ids::current();
    let Some(target) = maps::target(tgid) else { return count(Hook::Fatal, Outcome::Filtered) };
    if !maps::fatal::take(tgid) {
        return count(Hook::Fatal, Outcome::Filtered);
    }
    let caller = caller(ctx.as_ptr() as u64).unwrap_or(UNKNOWN);
    let go_counters = target.go_counters;
    let about = About { kind: kind::FATAL, tgid, tid, target: target.id, t_ns: kread::now(), flags: 0 };
    emit::urgent(Hook::Fatal, |record: &mut FatalRecord| {
        record.header = about.header(size_of::<FatalRecord>());
        record.op = op;
        record.string_address = string_address;
        record.text_address = text_address;
        record.text_bytes = text_bytes;
        record.caller = caller;
        record.copied_bytes = kread::user_text(&mut record.text, text_bytes, text_address);
        record.stack_bytes = kread::user_frames(ctx.as_ptr(), &mut record.stack);
        if kread::go_counters(&mut record.go, go_counters) {
            record.header.flags |= flags::GO;
        }
    });
    if let Some(plan) = maps::words::plan(tgid)
        && maps::words::take(tgid)
    {
        words::copy(Hook::Fatal, target, plan);
    }
}

/// Where the function that has just been entered returns to.
#[inline(always)]
fn caller(regs: u64) -> Option<u64> {
    if param!(registers.link) != ABSENT {
        return kread::field(regs, param!(registers.link));
    }
    kread::user(kread::field(regs, param!(registers.stack_pointer))?)
}
