//! Entry shims: one per program, nothing else. What a program does lives in `probes/<family>`.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg(target_arch = "bpf")]
#[expect(unreachable_pub, reason = "the program macros want pub functions")]
mod shims;

#[cfg(not(target_arch = "bpf"))]
fn main() {}

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    // A reachable panic is an infinite loop, which the verifier refuses.
    loop {}
}
