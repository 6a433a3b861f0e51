//! Prints what `memtrace doctor` says of this host: text, then JSON; with `--offsets` the kernel side's parameters too.
use memtrace::host::Host;
use memtrace::host::plan::Want;
use memtrace::sink::doctor::{write_json, write_text};
use std::io::{self, Write};
use std::time::Instant;

fn main() -> io::Result<()> {
    let start = Instant::now();
    let host = Host::read();
    let read = start.elapsed();
    let (params, missing) = host.params(bytemuck::Zeroable::zeroed());
    let plan = host.plan(&params, &missing, &Want::default());
    let planned = start.elapsed() - read;
    let mut out = io::stdout().lock();
    write_text(&mut out, &host.facts, &plan)?;
    writeln!(out)?;
    write_json(&mut out, &host.facts, &plan)?;
    if std::env::args().any(|a| a == "--offsets") {
        writeln!(out, "{params:#?}\n{missing:#?}\n{:?}", host.btf)?;
    }
    eprintln!("read in {read:?}, planned in {planned:?}");
    Ok(())
}
