//! Prints what `memtrace doctor` says of this host: text, then JSON. `--offsets`: the kernel side's parameters instead.
//! `--btf FILE`: the parameters for a kernel whose BTF was saved (`bpftool btf dump`, or section .BTF of vmlinux).
use memtrace::host::Host;
use memtrace::host::btf::Btf;
use memtrace::host::catalog::{self, Hook};
use memtrace::host::offsets;
use memtrace::host::plan::Want;
use memtrace::sink::doctor::{write_json, write_text};
use std::io::{self, Write};
use std::path::Path;
use std::time::Instant;

fn main() -> io::Result<()> {
    let start = Instant::now();
    let mut host = Host::read();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (mut params, mut missing) = host.params(bytemuck::Zeroable::zeroed());
    if let [flag, file] = args.as_slice()
        && flag == "--btf"
    {
        host.btf = Btf::read_from(Path::new(file));
        let btf = host.btf.as_ref().map_err(|e| io::Error::other(e.to_string()))?;
        let raw = catalog::PROGRAMS.iter().filter_map(|p| match p.hook {
            Hook::RawTracepoint { name } => Some((name, btf.has_raw_tracepoint(name))),
            _ => None,
        });
        println!("raw tracepoints: {:?}", raw.collect::<Vec<_>>());
        (params, missing) = offsets::params(btf, &(), host.facts.machine_params(), params.switches);
    }
    let plan = host.plan(&params, &missing, &Want::default());
    eprintln!("read and planned in {:?}", start.elapsed());
    let mut out = io::stdout().lock();
    if !args.is_empty() {
        return writeln!(out, "{params:#?}\n{missing:#?}\n{:#?}\n{:?}", plan.rss, host.btf);
    }
    write_text(&mut out, &host.facts, &plan)?;
    writeln!(out)?;
    write_json(&mut out, &host.facts, &plan)
}
