//! The two ends of a system call, whichever hook a program came by: the tracepoints, or entry and return of the function
//! behind the call (`__x64_sys_madvise(const struct pt_regs *)`), which costs no other call anything.
use crate::{kread, param};
use aya_ebpf::EbpfContext;
use aya_ebpf::programs::{FEntryContext, FExitContext, TracePointContext};

/// Arguments of a call that are ever read.
const ARGUMENTS: usize = 4;

pub trait Enter: EbpfContext {
    /// The `i`th argument; 0 where it cannot be read.
    fn argument(&self, i: usize) -> u64;

    #[inline(always)]
    fn arguments<const N: usize>(&self) -> [u64; N] {
        const { assert!(N <= ARGUMENTS) };
        let mut arguments = [0; N];
        for (i, argument) in arguments.iter_mut().enumerate() {
            *argument = self.argument(i);
        }
        arguments
    }
}

pub trait Exit: EbpfContext {
    fn result(&self) -> i64;
}

impl Enter for TracePointContext {
    #[inline(always)]
    fn argument(&self, i: usize) -> u64 {
        kread::trace_word(self, param!(trace.sys_enter_args), i)
    }
}

impl Exit for TracePointContext {
    #[inline(always)]
    fn result(&self) -> i64 {
        kread::trace_word(self, param!(trace.sys_exit_ret), 0) as i64
    }
}

impl Enter for FEntryContext {
    #[inline(always)]
    fn argument(&self, i: usize) -> u64 {
        let offset = match i {
            0 => param!(registers.argument0),
            1 => param!(registers.argument1),
            2 => param!(registers.argument2),
            _ => param!(registers.argument3),
        };
        kread::field(self.arg::<u64>(0), offset).unwrap_or(0)
    }
}

impl Exit for FExitContext {
    /// Behind the arguments, of which these functions have one. Not by the helper, which came with 5.17.
    #[inline(always)]
    fn result(&self) -> i64 {
        self.arg::<i64>(1)
    }
}
