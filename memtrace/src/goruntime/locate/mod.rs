//! Where a file has the variables of Go's runtime: by its symbols, or, stripped, by the references in its code.
use std::collections::{BTreeSet, HashMap};
use std::io;

use super::globals::Globals;
use super::image::{Image, Symbol};
use super::layout::signature::Signature;
use super::moduledata::Tables;
use super::pclntab::Pclntab;
use references::references;
use vote::References;

pub(crate) mod references;
pub(crate) mod vote;

/// No function of a signature is as long as this.
const CODE_MAX_BYTES: u64 = 1 << 14;

/// Link-time addresses by the symbol table. `Err`: why not.
pub(crate) fn by_symbols(image: &Image) -> Result<Globals, String> {
    let names: Vec<&'static str> = Globals::NEEDED.iter().chain(Globals::OTHERS).copied().collect();
    let found = symbols(image, &names)?;
    // Two of a name: not to be told apart.
    let unique = |name: &str| found.get(name).copied().flatten();
    Globals::look_up(unique).map_err(|name| format!("no symbol {name}, or more than one"))
}

/// Link-time addresses of symbols in `.symtab`; `None` where there are several of that name.
pub(crate) fn symbols<'n>(image: &Image, names: &[&'n str]) -> Result<HashMap<&'n str, Option<u64>>, String> {
    let table = image.section(".symtab").ok_or("stripped: no symbol table")?;
    let strings = image.sections.get(table.link as usize).ok_or("damaged symbol table")?;
    let damaged = |error: io::Error| format!("damaged symbol table: {error}");
    let offsets: HashMap<u32, &'n str> = image.find_names(strings, names).map_err(damaged)?.into_iter().collect();
    let mut found: HashMap<&'n str, Option<u64>> = HashMap::new();
    let visit = |symbol: Symbol| {
        if let Some(name) = offsets.get(&symbol.name_offset).filter(|_| symbol.is_defined) {
            let known = found.entry(name).or_insert(Some(symbol.address));
            *known = known.filter(|address| *address == symbol.address);
        }
        true
    };
    image.for_each_symbol(&table, visit).map_err(damaged)?;
    Ok(found)
}

/// Link-time addresses by the code of the runtime, for stripped files. `Err`: why not.
pub(crate) fn by_vote(image: &Image, signature: &Signature) -> Result<Globals, String> {
    let tables = Tables::locate(image).ok_or("stripped, and no function table (.gopclntab) to go by")?;
    let data = tables.data.clone().ok_or("stripped, and no moduledata to go by")?;
    let pclntab = Pclntab::of(image, &tables).ok_or("damaged function table (.gopclntab)")?;
    let wanted: BTreeSet<&str> = signature.functions();
    let mut found = References::new();
    for (name, code) in pclntab.find_functions(image, &wanted) {
        let bytes = code.end.saturating_sub(code.start).min(CODE_MAX_BYTES);
        let Some(code_bytes) = image.offset_of(code.start).and_then(|at| image.read(at, bytes as usize).ok()) else {
            continue;
        };
        let mut targets = references(image.machine, &code_bytes, code.start);
        targets.retain(|target| data.contains(target));
        found.insert(name.to_owned(), targets);
    }
    vote::elect(signature, &found)
}
