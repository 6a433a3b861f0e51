//! `.gopclntab` (Go runtime/symtab.go, internal/abi/symtab.go; format of Go 1.18 and later): function, file and line
//! of a code address. It survives stripping. Read on demand: a lookup is a few dozen small reads, no memory is kept.
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use super::buildinfo::uvarint;
use super::image::Image;
use super::moduledata::Tables;

const MAGIC_1_20: u32 = 0xffff_fff1;
/// `runtime._func` and `runtime.inlinedCall` of Go 1.18 and 1.19 (Go runtime/runtime2.go, runtime/symtab.go: parent i16,
/// funcID u8, pad, file i32, line i32, func_ i32, parentPc i32).
const SHAPE_1_18: Shape = Shape { func_bytes: 40, call_bytes: 20, call_name: 12, call_parent: 16 };
/// Since Go 1.20 (Go runtime/symtabinl.go: funcID u8, 3 pad, nameOff i32, parentPc i32, startLine i32).
const SHAPE_1_20: Shape = Shape { func_bytes: 44, call_bytes: 16, call_name: 4, call_parent: 8 };
const NAME_MAX_BYTES: usize = 1 << 12;
/// One function's pc-value table is read no further than this.
const VALUES_MAX_BYTES: u64 = 1 << 17;
/// Larger tables of functions or of names are not walked; those of the largest programs known are half of this.
const WALK_MAX_BYTES: u64 = 1 << 25;
/// Places at which wanted names are remembered: one each, in a file of any linker.
const NAMES_MAX: usize = 1 << 10;
const INLINE_DEPTH_MAX: usize = 32;
/// No pclntab is this large; a smaller bound keeps sums of offsets from overflowing.
const TABLE_MAX_BYTES: u64 = 1 << 40;
/// internal/abi/symtab.go.
const PCDATA_INL_TREE_INDEX: u32 = 2;
const FUNCDATA_INL_TREE: u32 = 3;

/// Sizes and offsets in bytes.
struct Shape {
    /// Of `_func`, before its pcdata array; the last byte is nfuncdata.
    func_bytes: u64,
    call_bytes: u64,
    call_name: u64,
    call_parent: u64,
}

/// A resolved place in Go code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// With the type arguments of a generic one.
    pub(crate) function: String,
    pub(crate) file: Option<String>,
    pub(crate) line: Option<u32>,
}

/// Offsets are file offsets; `text` and `go_func` are link-time addresses, see [`Tables`].
pub(crate) struct Pclntab {
    text: u64,
    /// Unknown: inlined calls are not expanded.
    go_func: Option<u64>,
    shape: &'static Shape,
    functions: u64,
    quantum: u64,
    names: u64,
    units: u64,
    files: u64,
    values: u64,
    table: u64,
    end: u64,
}

/// The fields of `_func` that matter here.
struct Function {
    entry: u64,
    name: u32,
    pcfile: u32,
    pcln: u32,
    npcdata: u32,
    unit: u32,
    nfuncdata: u8,
    offset: u64,
}

impl Pclntab {
    /// `None`: not Go, older than 1.18, or damaged.
    pub(crate) fn read(image: &Image) -> Option<Pclntab> {
        Pclntab::of(image, &Tables::locate(image)?)
    }

    pub(crate) fn of(image: &Image, tables: &Tables) -> Option<Pclntab> {
        let Tables { pclntab, text, go_func, .. } = tables;
        let (text, go_func) = (*text, *go_func);
        let (start, bytes) = (pclntab.offset, pclntab.bytes.min(TABLE_MAX_BYTES));
        let quantum = image.read(start.checked_add(6)?, 1).ok()?.first().copied()?;
        let word = |index: u64| image.read_u64(start.checked_add(8 + 8 * index)?).ok();
        let inside = |index: u64| start.checked_add(word(index)?.min(bytes));
        Some(Pclntab {
            text,
            go_func,
            shape: if image.read_u32(start).ok()? == MAGIC_1_20 { &SHAPE_1_20 } else { &SHAPE_1_18 },
            functions: word(0)?.min(bytes / 8),
            quantum: quantum.into(),
            names: inside(3)?,
            units: inside(4)?,
            files: inside(5)?,
            values: inside(6)?,
            table: inside(7)?,
            end: start.checked_add(bytes)?,
        })
    }

    /// Link-time addresses of the code of those of the functions `wanted` that the program has. Reads the whole table,
    /// if it is no longer than [`WALK_MAX_BYTES`].
    pub(crate) fn find_functions<'n>(&self, image: &Image, wanted: &BTreeSet<&'n str>) -> HashMap<&'n str, Range<u64>> {
        self.try_find_functions(image, wanted).unwrap_or_default()
    }

    fn try_find_functions<'n>(
        &self,
        image: &Image,
        wanted: &BTreeSet<&'n str>,
    ) -> Option<HashMap<&'n str, Range<u64>>> {
        let names = self.find_names(image, wanted)?;
        let bytes = self.end.checked_sub(self.table).filter(|bytes| *bytes <= WALK_MAX_BYTES)?;
        let table = image.read(self.table, bytes as usize).ok()?;
        let word = |at: usize| table.get(at..)?.first_chunk::<4>().map(|word| u32::from_le_bytes(*word));
        let mut found = HashMap::new();
        for index in 0..self.functions as usize {
            let (start, function, end) = (word(8 * index)?, word(8 * index + 4)?, word(8 * index + 8)?);
            let Some(name) = word((function as usize).checked_add(4)?).and_then(|offset| names.get(&offset)) else {
                continue;
            };
            let address = |relative: u32| self.text.checked_add(relative.into());
            found.insert(*name, address(start)?..address(end)?);
        }
        Some(found)
    }

    /// Offsets of those names in the table of names.
    fn find_names<'n>(&self, image: &Image, wanted: &BTreeSet<&'n str>) -> Option<HashMap<u32, &'n str>> {
        // The parts of a pclntab follow each other: names, units, …
        let bytes = self.units.checked_sub(self.names).filter(|bytes| *bytes <= WALK_MAX_BYTES)?;
        let text = image.read(self.names, bytes as usize).ok()?;
        let mut at = 0;
        let mut found = HashMap::new();
        for name in text.split(|byte| *byte == 0) {
            if name.starts_with(b"runtime.") && found.len() < NAMES_MAX {
                let known = std::str::from_utf8(name).ok().and_then(|name| wanted.get(name));
                found.extend(known.map(|known| (at, *known)));
            }
            at = u32::try_from(name.len() + 1).ok()?.checked_add(at)?;
        }
        Some(found)
    }

    /// The calls at a link-time address, innermost first: the inlined ones, then the function itself. Without
    /// `go_func` there is one entry: the physical function with the file and line of the innermost inlined call.
    pub(crate) fn places(&self, image: &Image, address: u64) -> Vec<Place> {
        self.try_places(image, address).unwrap_or_default()
    }

    fn try_places(&self, image: &Image, address: u64) -> Option<Vec<Place>> {
        let function = self.find_function(image, address.checked_sub(self.text)?)?;
        let mut pc = address - self.text;
        let mut places = Vec::new();
        while places.len() < INLINE_DEPTH_MAX {
            let (file, line) = self.file_line(image, &function, pc);
            let Some((name, parent_pc)) = self.inlined_call(image, &function, pc) else {
                places.push(Place { function: self.name(image, function.name)?, file, line });
                break;
            };
            places.push(Place { function: self.name(image, name)?, file, line });
            pc = function.entry.checked_add(parent_pc.into())?;
        }
        Some(places)
    }

    /// Binary search in the function table: pairs of u32 (entry, offset of `_func`), both relative.
    fn find_function(&self, image: &Image, pc: u64) -> Option<Function> {
        let entry = |index: u64| image.read_u32(self.table + 8 * index).ok().map(u64::from);
        let (mut low, mut high) = (0, self.functions);
        // The entry after the last function is the end of the text.
        if pc < entry(0)? || pc >= entry(self.functions)? {
            return None;
        }
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if entry(middle)? <= pc { low = middle } else { high = middle }
        }
        let offset = self.table + u64::from(image.read_u32(self.table + 8 * low + 4).ok()?);
        if offset + self.shape.func_bytes > self.end {
            return None;
        }
        let bytes = image.read(offset, self.shape.func_bytes as usize).ok()?;
        let word = |index: usize| bytes.iter().skip(4 * index).take(4).rev().fold(0u32, |v, b| v << 8 | u32::from(*b));
        Some(Function {
            entry: word(0).into(),
            name: word(1),
            pcfile: word(5),
            pcln: word(6),
            npcdata: word(7),
            unit: word(8),
            nfuncdata: *bytes.last()?,
            offset,
        })
    }

    fn name(&self, image: &Image, offset: u32) -> Option<String> {
        let name = image.read_c_string(self.names + u64::from(offset), NAME_MAX_BYTES).ok()?;
        Some(name).filter(|name| !name.is_empty())
    }

    fn file_line(&self, image: &Image, function: &Function, pc: u64) -> (Option<String>, Option<u32>) {
        let line = self.value(image, function.pcln, function.entry, pc).and_then(|line| u32::try_from(line).ok());
        let file = self.value(image, function.pcfile, function.entry, pc).and_then(|index| {
            let index = u64::from(function.unit) + u64::try_from(index).ok()?;
            let offset = image.read_u32(self.units.checked_add(4 * index)?).ok()?;
            if offset == u32::MAX {
                return None;
            }
            image.read_c_string(self.files + u64::from(offset), NAME_MAX_BYTES).ok()
        });
        (file, line.filter(|line| *line != 0))
    }

    /// Name offset of the call inlined at `pc`, and where in the function it was inlined into.
    fn inlined_call(&self, image: &Image, function: &Function, pc: u64) -> Option<(u32, u32)> {
        if function.npcdata <= PCDATA_INL_TREE_INDEX || u32::from(function.nfuncdata) <= FUNCDATA_INL_TREE {
            return None;
        }
        let array = function.offset + self.shape.func_bytes;
        let values = image.read_u32(array + 4 * u64::from(PCDATA_INL_TREE_INDEX)).ok()?;
        let tree = image.read_u32(array + 4 * (u64::from(function.npcdata) + u64::from(FUNCDATA_INL_TREE))).ok()?;
        if tree == u32::MAX {
            return None;
        }
        let index = u64::try_from(self.value(image, values, function.entry, pc)?).ok()?;
        let call = image.offset_of(self.go_func?.checked_add(u64::from(tree) + self.shape.call_bytes * index)?)?;
        let name = image.read_u32(call.checked_add(self.shape.call_name)?).ok()?;
        let parent_pc = image.read_u32(call.checked_add(self.shape.call_parent)?).ok()?;
        Some((name, parent_pc))
    }

    /// The value for `pc` in a pc-value table (Go runtime/symtab.go, `pcvalue`): pairs of zigzag value difference
    /// and pc difference, from value -1 at the function's entry.
    fn value(&self, image: &Image, offset: u32, entry: u64, target: u64) -> Option<i32> {
        if offset == 0 {
            return None;
        }
        let mut at = self.values + u64::from(offset);
        let end = self.end.min(at + VALUES_MAX_BYTES);
        let (mut value, mut pc) = (-1i32, entry);
        let (mut bytes, mut used) = (Vec::new(), 0);
        // Most tables are short.
        let mut chunk = 128;
        let mut is_first = true;
        loop {
            // Two varints of 32 bits are at most 10 bytes.
            if bytes.len() - used < 10 && at < end {
                bytes.drain(..used);
                used = 0;
                let piece = (end - at).min(chunk);
                chunk = 4096;
                bytes.extend(image.read(at, piece as usize).ok()?);
                at += piece;
            }
            let (value_delta, size) = uvarint(&bytes[used..])?;
            used += size;
            if value_delta == 0 && !is_first {
                return None;
            }
            let (pc_delta, size) = uvarint(&bytes[used..])?;
            used += size;
            let value_delta = value_delta as u32;
            value = value.wrapping_add((value_delta >> 1) as i32 ^ -((value_delta & 1) as i32));
            pc = pc.checked_add(pc_delta.checked_mul(self.quantum)?)?;
            if target < pc {
                return Some(value);
            }
            is_first = false;
        }
    }
}

/// As the runtime prints it (Go runtime/traceback.go, funcNameForPrint): `f[...]`, without the type arguments.
pub(crate) fn name_for_print(name: &str) -> String {
    match name.find('[').zip(name.rfind(']')).filter(|(open, close)| open < close) {
        Some((open, close)) => format!("{}[...]{}", &name[..open], &name[close + 1..]),
        None => name.to_owned(),
    }
}
