//! What `cargo xtask layouts` asks of unstripped Go programs: `layouts write DIR FILE…` writes the tables that come with
//! memtrace, `layouts check FILE…` compares them with these files and fails on any difference.
use std::env;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use memtrace::goruntime::Version;
use memtrace::goruntime::image::Image;
use memtrace::goruntime::layout::signature::Signature;
use memtrace::goruntime::layout::table::{self, Measured, WaitReasons};
use memtrace::goruntime::layout::{Layout, dwarf};
use memtrace::goruntime::read_build;
use object::{Object as _, ObjectSection as _, ObjectSymbol as _};

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["write", directory, files @ ..] => write(Path::new(directory), files),
        ["check", files @ ..] => check(files),
        _ => bail!("usage: layouts write DIR FILE… | layouts check FILE…"),
    }
}

/// One release on one architecture.
struct Program {
    version: Version,
    machine: u16,
    layout: Layout,
    signature: Signature,
    wait_reasons: WaitReasons,
}

fn read(file: &str) -> Result<Program> {
    let image = Image::open(Path::new(file)).with_context(|| format!("cannot read {file}"))?;
    let build = read_build(&image).with_context(|| file.to_owned())?;
    let version = Version::parse(&build.version).with_context(|| format!("{file}: what is {}?", build.version))?;
    let wrong = |error: String| anyhow::anyhow!("{file}: {error}");
    let layout = dwarf::from_dwarf(&image).map_err(wrong)?;
    let signature = Signature::of(&image).map_err(wrong)?;
    let wait_reasons = wait_reasons(&fs::read(file)?).with_context(|| format!("{file}: runtime.waitReasonStrings"))?;
    Ok(Program { version, machine: image.machine, layout, signature, wait_reasons })
}

/// An array of strings: pairs of address and length, as the linker wrote them into a program that is not relocatable.
fn wait_reasons(file: &[u8]) -> Result<WaitReasons> {
    let file = object::File::parse(file)?;
    let array = file.symbol_by_name("runtime.waitReasonStrings").context("no such symbol")?;
    let at = |address: u64, bytes: u64| {
        let of =
            |section: object::Section<'_, '_>| section.data_range(address, bytes).ok().flatten().map(<[u8]>::to_vec);
        file.sections().find_map(of).context("outside all sections")
    };
    let words = at(array.address(), array.size())?;
    let words: Vec<u64> = words.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word)).collect();
    let text = |pair: &[u64; 2]| match *pair {
        [_, 0] => Ok(String::new()),
        [address, bytes] => Ok(String::from_utf8(at(address, bytes)?)?),
    };
    words.as_chunks().0.iter().map(text).collect()
}

fn write(directory: &Path, files: &[&str]) -> Result<()> {
    let mut programs = files.iter().map(|file| read(file)).collect::<Result<Vec<_>>>()?;
    programs.sort_by_key(|program| (program.machine != amd64(), program.version.minor, program.version.patch));
    let name = |program: &Program| format!("1.{}.{}", program.version.minor, program.version.patch.unwrap_or(0));
    let layouts: Vec<Measured<Layout>> = programs.iter().map(|p| (name(p), p.machine, p.layout)).collect();
    let signatures: Vec<Measured<Signature>> =
        programs.iter().map(|p| (name(p), p.machine, p.signature.clone())).collect();
    fs::write(directory.join("layouts.txt"), table::layouts_text(&layouts)).context("cannot write layouts.txt")?;
    let waits: Vec<Measured<WaitReasons>> =
        programs.iter().map(|p| (name(p), p.machine, p.wait_reasons.clone())).collect();
    fs::write(directory.join("waits.txt"), table::waits_text(&waits)).context("cannot write waits.txt")?;
    fs::write(directory.join("signatures.txt"), table::signatures_text(&signatures))
        .context("cannot write signatures.txt")?;
    println!("{} programs written", programs.len());
    Ok(())
}

fn check(files: &[&str]) -> Result<()> {
    for file in files {
        let program = read(file)?;
        let entry = table::look_up(&program.version, program.machine).map_err(anyhow::Error::msg)?;
        if !entry.is_exact {
            bail!("{file}: the tables have no such release; run `cargo xtask layouts`");
        }
        let is_same = *entry.layout == program.layout
            && *entry.signature == program.signature
            && entry.wait_reasons == program.wait_reasons;
        if !is_same {
            bail!("{file}: the tables of Go {} differ from it; run `cargo xtask layouts`", entry.release);
        }
    }
    println!("{} programs agree with the tables", files.len());
    Ok(())
}

/// `EM_X86_64`: its columns come first.
fn amd64() -> u16 {
    62
}
