//! Prints what can be read of a Go process from outside: `cargo run --example gostat -- PID [ADDRESS…]`; hexadecimal
//! code addresses are named.
use anyhow::Context;
use memtrace::goruntime::spans::SpanState;
use memtrace::goruntime::{Runtime, Symbolizer, find};
use std::process::ExitCode;

fn main() -> ExitCode {
    match print() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("gostat: {why:#}");
            ExitCode::FAILURE
        }
    }
}

fn print() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let tgid: u32 = arguments.next().context("usage: gostat PID [ADDRESS…]")?.parse().context("PID")?;
    let process = find(tgid)?;
    let build = &process.build;
    println!("version        {}", build.version);
    println!("build          stripped {} pie {} cgo {:?}", build.stripped, build.pie, build.cgo);
    println!("load bias      {:#x}", process.load_bias);

    let addresses: Result<Vec<u64>, _> =
        arguments.map(|a| u64::from_str_radix(a.trim_start_matches("0x"), 16)).collect();
    for frame in Symbolizer::new().resolve(tgid, &addresses?) {
        let function = frame.function.as_deref().unwrap_or("?");
        println!("{:#x} {function} {}:{}", frame.address, frame.file.unwrap_or_default(), frame.line.unwrap_or(0));
    }

    let located = process.located.with_context(|| format!("not read: {}", process.refused.unwrap_or_default()))?;
    println!("read by        {}", located.read_by.as_str());
    let runtime = Runtime::attach(tgid)?;
    let mut sampler = runtime.sampler()?;
    let sample = sampler.sample(&runtime)?;
    println!("{sample:#?}");

    let (spans, free) = (runtime.spans()?, runtime.free_pages()?);
    println!(
        "{:>10} {:>8} {:>12} {:>10} {:>10} {:>12}",
        "elem bytes", "spans", "span bytes", "objects", "occupancy", "free bytes"
    );
    for class in spans.classes().0.iter().filter(|class| class.spans > 0) {
        let occupancy = class.occupancy().map_or("-".to_owned(), |ratio| format!("{:.1} %", 100.0 * ratio));
        let (elem, bytes) = (class.elem_bytes, class.span_bytes);
        println!(
            "{elem:>10} {:>8} {bytes:>12} {:>10} {occupancy:>10} {:>12}",
            class.spans, class.objects, class.free_bytes
        );
    }
    println!("spans in use   {} (heap_inuse {})", spans.bytes(SpanState::InUse), sample.memstats.heap_inuse);
    println!("stacks, work   {} {}", spans.bytes(SpanState::Stacks), spans.bytes(SpanState::Work));
    let idle = sample.memstats.heap_idle - sample.memstats.heap_released;
    println!("idle           {} (heap_idle - heap_released {idle})", free.idle_bytes());
    println!(
        "released       {} + padding {} (heap_released {})",
        free.released_bytes(),
        free.padding_bytes(),
        sample.memstats.heap_released
    );
    for found in runtime.metadata()? {
        println!("{:x}-{:x} {:?}", found.range.start, found.range.end, found.kind);
    }
    Ok(())
}
