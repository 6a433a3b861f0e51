//! Prints what can be read of a Go process from outside: `cargo run --example gostat -- PID [ADDRESS…]`; hexadecimal
//! code addresses are named.
use anyhow::Context;
use memtrace::goruntime::{Runtime, Symbolizer, find};

fn main() -> anyhow::Result<()> {
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
    println!("{:#?}", sampler.sample(&runtime)?);
    Ok(())
}
