//! Which functions of Go's runtime refer to which parts of its variables: by this a stripped program's variables are
//! found again. Made from an unstripped program of the same release, by `cargo xtask layouts`.
use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::ops::Range;

use crate::goruntime::globals::Globals;
use crate::goruntime::image::Image;
use crate::goruntime::locate::references::references;
use crate::goruntime::moduledata::Tables;

/// References that decide a vote beyond doubt; more only cost time.
const FUNCTIONS_MAX: usize = 6;
/// Larger functions are inlined into differently from program to program.
const SMALL_BYTES: u64 = 800;
/// Only a variable with fewer small functions than this is looked for in larger ones.
const FUNCTIONS_MIN: usize = 3;
const FUNCTION_MAX_BYTES: u64 = 4000;
const POSITIONS_MAX: usize = 3;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signature {
    pub globals: Vec<GlobalSignature>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GlobalSignature {
    /// `runtime.mheap_`.
    pub name: String,
    /// Function, and the offsets in the variable that it refers to.
    pub references: Vec<(String, Vec<u32>)>,
    /// For a variable of one word that few functions share: a function, which of its references it is, and how many
    /// there are. The same release compiles a function into the same code everywhere, apart from addresses.
    pub positions: Vec<(String, usize, usize)>,
}

impl Signature {
    /// Every function whose code is wanted.
    pub(crate) fn functions(&self) -> BTreeSet<&str> {
        let all = self.globals.iter().flat_map(|global| &global.references);
        let positions = self.globals.iter().flat_map(|global| &global.positions);
        all.map(|(function, _)| function.as_str()).chain(positions.map(|(function, ..)| function.as_str())).collect()
    }

    /// Lines as in the tables: a variable, then its functions, indented.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for global in &self.globals {
            let _ = writeln!(text, "{}", global.name);
            for (function, offsets) in &global.references {
                let offsets: Vec<String> = offsets.iter().map(u32::to_string).collect();
                let _ = writeln!(text, " {function} {}", offsets.join(" "));
            }
            for (function, index, count) in &global.positions {
                let _ = writeln!(text, " {function} #{index}/{count}");
            }
        }
        text
    }

    /// `None`: not such lines.
    pub(crate) fn parse<'a>(lines: impl Iterator<Item = &'a str>) -> Option<Signature> {
        let mut globals: Vec<GlobalSignature> = Vec::new();
        for line in lines {
            match line.strip_prefix(' ') {
                None => globals.push(GlobalSignature { name: line.to_owned(), ..GlobalSignature::default() }),
                Some(line) => {
                    let (function, rest) = line.split_once(' ')?;
                    let global = globals.last_mut()?;
                    if let Some((index, count)) = rest.strip_prefix('#').and_then(|rest| rest.split_once('/')) {
                        global.positions.push((function.to_owned(), index.parse().ok()?, count.parse().ok()?));
                    } else {
                        let offsets = rest.split(' ').map(str::parse).collect::<Result<_, _>>().ok()?;
                        global.references.push((function.to_owned(), offsets));
                    }
                }
            }
        }
        Some(Signature { globals })
    }

    /// The signature of an unstripped program.
    pub fn of(image: &Image) -> Result<Signature, String> {
        let symbols = Symbols::read(image)?;
        let mut globals = Vec::new();
        for name in Globals::NEEDED.iter().chain(Globals::OTHERS) {
            let Some((start, bytes)) = symbols.variables.get(*name).copied() else { continue };
            let variable = start..start.saturating_add(bytes);
            let uses = |function: &&Function| function.references.iter().any(|target| variable.contains(target));
            let mut users: Vec<&Function> = symbols.functions.iter().filter(uses).collect();
            if users.iter().filter(|user| user.code_bytes <= SMALL_BYTES).count() >= FUNCTIONS_MIN {
                users.retain(|user| user.code_bytes <= SMALL_BYTES);
            }
            let positions = if bytes > 8 { Vec::new() } else { positions(&users, start) };
            let references =
                choose(users, &variable).into_iter().map(|user| (user.name.clone(), user.offsets(&variable))).collect();
            globals.push(GlobalSignature { name: (*name).to_owned(), references, positions });
        }
        Ok(Signature { globals })
    }
}

/// Where functions first refer to the variable.
fn positions(users: &[&Function], start: u64) -> Vec<(String, usize, usize)> {
    let first = |user: &&Function| {
        let index = user.references.iter().position(|target| *target == start)?;
        Some((user.name.clone(), index, user.references.len()))
    };
    users.iter().filter_map(first).take(POSITIONS_MAX).collect()
}

/// One after the other the function after which the strongest competitor for the vote is furthest behind.
fn choose<'a>(mut users: Vec<&'a Function>, variable: &Range<u64>) -> Vec<&'a Function> {
    let mut chosen = Vec::new();
    let mut counts: HashMap<u64, u32> = HashMap::new();
    while chosen.len() < FUNCTIONS_MAX && !users.is_empty() {
        let margin = |user: &&Function| {
            let mut after = counts.clone();
            user.vote(variable, &mut after);
            let won = after.get(&variable.start).copied().unwrap_or(0);
            let second = after.iter().filter(|(a, _)| **a != variable.start).map(|(_, n)| *n).max().unwrap_or(0);
            i64::from(won) - i64::from(second)
        };
        // The first of equals, by name: the tables are the same every time.
        let margins: Vec<i64> = users.iter().map(margin).collect();
        let best = (0..users.len()).max_by_key(|index| (margins[*index], usize::MAX - index)).unwrap_or(0);
        let user = users.remove(best);
        user.vote(variable, &mut counts);
        chosen.push(user);
    }
    chosen
}

/// A function of the runtime and the data it refers to, in order.
struct Function {
    name: String,
    code_bytes: u64,
    references: Vec<u64>,
}

impl Function {
    /// Ascending, each once.
    fn offsets(&self, variable: &Range<u64>) -> Vec<u32> {
        let inside = self.references.iter().filter(|target| variable.contains(target));
        let distinct: BTreeSet<u32> = inside.map(|target| (target - variable.start) as u32).collect();
        distinct.into_iter().collect()
    }

    fn vote(&self, variable: &Range<u64>, counts: &mut HashMap<u64, u32>) {
        let targets: BTreeSet<u64> = self.references.iter().copied().collect();
        for offset in self.offsets(variable) {
            for target in &targets {
                *counts.entry(target.wrapping_sub(offset.into())).or_default() += 1;
            }
        }
    }
}

/// Of the symbol table: addresses and sizes of the variables, and the runtime's functions, by name.
struct Symbols {
    variables: HashMap<&'static str, (u64, u64)>,
    functions: Vec<Function>,
}

impl Symbols {
    fn read(image: &Image) -> Result<Symbols, String> {
        let data = Tables::locate(image).and_then(|tables| tables.data).ok_or("no moduledata")?;
        let table = image.section(".symtab").ok_or("stripped")?;
        let strings = image.sections.get(table.link as usize).copied().ok_or("no symbol names")?;
        let mut all = Vec::new();
        let every = |symbol| {
            all.push(symbol);
            true
        };
        image.for_each_symbol(&table, every).map_err(|e| e.to_string())?;
        let mut symbols = Symbols { variables: HashMap::new(), functions: Vec::new() };
        for symbol in all.into_iter().filter(|symbol| symbol.is_defined) {
            let at = strings.offset.saturating_add(symbol.name_offset.into());
            let Ok(name) = image.read_c_string(at, 1 << 12) else { continue };
            if !symbol.is_function {
                if let Some(known) = Globals::NEEDED.iter().chain(Globals::OTHERS).find(|known| **known == name) {
                    symbols.variables.insert(known, (symbol.address, symbol.bytes));
                }
            } else if name.starts_with("runtime.") && symbol.bytes <= FUNCTION_MAX_BYTES {
                let Some(code) = image.offset_of(symbol.address) else { continue };
                let code = image.read(code, symbol.bytes as usize).map_err(|e| e.to_string())?;
                let mut references = references(image.machine, &code, symbol.address);
                references.retain(|target| data.contains(target));
                symbols.functions.push(Function { name, code_bytes: symbol.bytes, references });
            }
        }
        symbols.functions.sort_by(|a, b| a.name.cmp(&b.name));
        symbols.functions.dedup_by(|a, b| a.name == b.name);
        Ok(symbols)
    }
}
