//! Reader of BTF, the kernel's own type description: field offsets, sizes, enumerators, functions.
//!
//! Format: kernel `Documentation/bpf/btf.rst`. Total over hostile bytes: a bad length is an error at [`Btf::parse`], a bad
//! reference later on is simply `None`. Kept small: the raw bytes, one offset and one name hash per type.
use std::path::Path;

/// Where the running kernel describes its types.
pub const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

const MAGIC: u16 = 0xeb9f;
/// Members visited by one question: ends cycles and fans that only a hostile file can hold (the kernel's largest struct
/// has under 1,000 members).
const BUDGET: u32 = 100_000;
/// Anonymous members inside one another.
const DEPTH: u32 = 16;

mod kind {
    pub(super) const INT: u32 = 1;
    pub(super) const PTR: u32 = 2;
    pub(super) const ARRAY: u32 = 3;
    pub(super) const STRUCT: u32 = 4;
    pub(super) const UNION: u32 = 5;
    pub(super) const ENUM: u32 = 6;
    pub(super) const TYPEDEF: u32 = 8;
    pub(super) const VOLATILE: u32 = 9;
    pub(super) const CONST: u32 = 10;
    pub(super) const RESTRICT: u32 = 11;
    pub(super) const FUNC: u32 = 12;
    pub(super) const FUNC_PROTO: u32 = 13;
    pub(super) const VAR: u32 = 14;
    pub(super) const DATASEC: u32 = 15;
    pub(super) const DECL_TAG: u32 = 17;
    pub(super) const TYPE_TAG: u32 = 18;
    pub(super) const ENUM64: u32 = 19;
    pub(super) const LAST: u32 = ENUM64;
}

#[derive(Debug, thiserror::Error)]
pub enum BtfError {
    #[error("this kernel offers no BTF ({VMLINUX} is absent)")]
    Absent,
    #[error("reading {VMLINUX}: {0}")]
    Read(std::io::Error),
    #[error("not little-endian BTF (magic {0:#06x})")]
    Magic(u16),
    #[error("BTF ends early: {0}")]
    Truncated(&'static str),
    #[error("BTF type {id} is of kind {kind}, unknown to this build")]
    UnknownKind { id: usize, kind: u32 },
}

/// The types of one kernel.
pub struct Btf {
    bytes: Vec<u8>,
    /// Start of the string section in `bytes`, and its end.
    strings: (usize, usize),
    /// Offset in `bytes` of type `id`; entry 0 is `void`.
    types: Vec<u32>,
    /// Hash of the name of type `id`: a question scans this first.
    hashes: Vec<u32>,
}

impl std::fmt::Debug for Btf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Btf({} types, {} bytes)", self.types.len(), self.bytes.len())
    }
}

/// The fixed head of a type: `struct btf_type`.
#[derive(Clone, Copy)]
struct Head {
    name: u32,
    kind: u32,
    count: usize,
    flag: bool,
    /// `size` or `type`.
    value: u32,
    /// Offset of what follows the head.
    body: usize,
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// FNV-1a.
fn hash(name: &[u8]) -> u32 {
    name.iter().fold(0x811c_9dc5, |h, b| (h ^ u32::from(*b)).wrapping_mul(0x0100_0193))
}

impl Btf {
    /// The running kernel's types.
    pub fn read() -> Result<Btf, BtfError> {
        Self::read_from(Path::new(VMLINUX))
    }

    pub fn read_from(path: &Path) -> Result<Btf, BtfError> {
        let bytes = std::fs::read(path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => BtfError::Absent,
            _ => BtfError::Read(e),
        })?;
        Self::parse(bytes)
    }

    pub fn parse(bytes: Vec<u8>) -> Result<Btf, BtfError> {
        let word = |at| u32_at(&bytes, at).ok_or(BtfError::Truncated("header"));
        let magic = word(0)? as u16;
        if magic != MAGIC {
            return Err(BtfError::Magic(magic));
        }
        let header = word(4)? as usize;
        let (type_off, type_len) = (word(8)? as usize, word(12)? as usize);
        let (str_off, str_len) = (word(16)? as usize, word(20)? as usize);
        let section = |off: usize, len: usize| {
            let start = header.checked_add(off)?;
            let end = start.checked_add(len)?;
            (end <= bytes.len() && u32::try_from(end).is_ok()).then_some((start, end))
        };
        let (mut at, types_end) = section(type_off, type_len).ok_or(BtfError::Truncated("type section"))?;
        let strings = section(str_off, str_len).ok_or(BtfError::Truncated("string section"))?;
        let mut btf = Btf { bytes, strings, types: vec![0], hashes: vec![0] };
        while at < types_end {
            let head = btf.head_at(at).ok_or(BtfError::Truncated("type"))?;
            let body = match head.kind {
                kind::INT | kind::VAR | kind::DECL_TAG => 4,
                kind::ARRAY => 12,
                kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => 12 * head.count,
                kind::ENUM | kind::FUNC_PROTO => 8 * head.count,
                1..=kind::LAST => 0,
                kind => return Err(BtfError::UnknownKind { id: btf.types.len(), kind }),
            };
            let next = head.body + body;
            if next > types_end {
                return Err(BtfError::Truncated("type body"));
            }
            btf.types.push(at as u32);
            let name_hash = hash(btf.string(head.name).unwrap_or_default());
            btf.hashes.push(name_hash);
            at = next;
        }
        Ok(btf)
    }

    /// Number of types, `void` included.
    pub fn types(&self) -> usize {
        self.types.len()
    }

    fn head_at(&self, at: usize) -> Option<Head> {
        let info = u32_at(&self.bytes, at + 4)?;
        Some(Head {
            name: u32_at(&self.bytes, at)?,
            // Bits 16-23 and 29-30 are zero where kind and count are narrower.
            kind: info >> 24 & 0x7f,
            count: (info & 0x00ff_ffff) as usize,
            flag: info >> 31 == 1,
            value: u32_at(&self.bytes, at + 8)?,
            body: at + 12,
        })
    }

    fn head(&self, id: u32) -> Option<Head> {
        if id == 0 {
            return None;
        }
        self.head_at(*self.types.get(id as usize)? as usize)
    }

    fn string(&self, offset: u32) -> Option<&[u8]> {
        let start = self.strings.0.checked_add(offset as usize)?;
        let tail = self.bytes.get(start..self.strings.1)?;
        Some(&tail[..tail.iter().position(|b| *b == 0)?])
    }

    /// Is the string at `offset` exactly `name`? Compares no more bytes than `name` has.
    fn is_named(&self, offset: u32, name: &str) -> bool {
        let start = self.strings.0 + offset as usize;
        let tail = self.bytes.get(start..self.strings.1).unwrap_or_default();
        tail.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.first() == Some(&0))
    }

    /// Types of that name whose kind is one of `kinds`.
    fn named<'a>(&'a self, name: &'a str, kinds: &'a [u32]) -> impl Iterator<Item = Head> + 'a {
        let wanted = hash(name.as_bytes());
        let hits = self.hashes.iter().enumerate().skip(1).filter(move |(_, h)| **h == wanted);
        hits.filter_map(|(id, _)| self.head(u32::try_from(id).ok()?))
            .filter(move |h| kinds.contains(&h.kind) && self.is_named(h.name, name))
    }

    /// The type behind typedefs and qualifiers.
    fn plain(&self, mut id: u32) -> Option<Head> {
        for _ in 0..32 {
            let head = self.head(id)?;
            match head.kind {
                kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG => id = head.value,
                _ => return Some(head),
            }
        }
        None
    }

    /// Byte offset and type of one member, looked for through anonymous members.
    fn member(&self, holder: Head, name: &str, depth: u32, budget: &mut u32) -> Option<(u32, u32)> {
        let is_holder = holder.kind == kind::STRUCT || holder.kind == kind::UNION;
        if !is_holder || name.is_empty() || depth == DEPTH {
            return None;
        }
        for i in 0..holder.count {
            *budget = budget.checked_sub(1)?;
            let at = holder.body + 12 * i;
            let (member, of) = (u32_at(&self.bytes, at)?, u32_at(&self.bytes, at + 4)?);
            let raw = u32_at(&self.bytes, at + 8)?;
            let bits = if holder.flag { raw & 0x00ff_ffff } else { raw };
            if self.is_named(member, name) {
                return Some((bits / 8, of));
            }
            if self.is_named(member, "") {
                let inner = self.plain(of).and_then(|inner| self.member(inner, name, depth + 1, budget));
                if let Some((offset, of)) = inner {
                    return Some(((bits / 8).checked_add(offset)?, of));
                }
            }
        }
        None
    }

    fn locate(&self, holder: &str, path: &str) -> Option<(u32, u32)> {
        let mut budget = BUDGET;
        'holders: for head in self.named(holder, &[kind::STRUCT, kind::UNION]) {
            let (mut at, mut of, mut current) = (0u32, 0u32, Some(head));
            for part in path.split('.') {
                let found = current.and_then(|c| self.member(c, part, 0, &mut budget));
                let Some((offset, member_of)) = found else { continue 'holders };
                at = at.checked_add(offset)?;
                of = member_of;
                current = self.plain(of);
            }
            return Some((at, of));
        }
        None
    }

    /// Offset in bytes of a member of `struct holder` (or union). Anonymous members are looked through, `a.b` goes into
    /// named ones. Where several structs share the name, the first that has the member answers.
    pub fn field(&self, holder: &str, path: &str) -> Option<u32> {
        self.locate(holder, path).map(|(at, _)| at)
    }

    /// Name of the type of a member, of its elements if it is an array; without the word `struct`.
    pub fn field_type(&self, holder: &str, path: &str) -> Option<String> {
        let mut head = self.plain(self.locate(holder, path)?.1)?;
        if head.kind == kind::ARRAY {
            head = self.plain(u32_at(&self.bytes, head.body)?)?;
        }
        Some(String::from_utf8_lossy(self.string(head.name)?).into_owned())
    }

    /// Size in bytes of a struct or union.
    pub fn size(&self, name: &str) -> Option<u32> {
        self.named(name, &[kind::STRUCT, kind::UNION]).next().map(|h| h.value)
    }

    /// Is there a struct, union, enum or typedef of that name?
    pub fn has_type(&self, name: &str) -> bool {
        let kinds = [kind::STRUCT, kind::UNION, kind::ENUM, kind::ENUM64, kind::TYPEDEF];
        self.named(name, &kinds).next().is_some()
    }

    pub fn has_func(&self, name: &str) -> bool {
        self.named(name, &[kind::FUNC]).next().is_some()
    }

    /// Is the first argument of this function a pointer to a struct that is described? Programs attached to the function
    /// may read no other: `mm/madvise.c` of 5.10 only declares its `struct pt_regs`.
    pub fn takes_struct(&self, function: &str) -> bool {
        let first = |head: Head| {
            let proto = self.head(head.value).filter(|p| p.kind == kind::FUNC_PROTO && p.count > 0)?;
            let pointer = self.plain(u32_at(&self.bytes, proto.body + 4)?).filter(|p| p.kind == kind::PTR)?;
            self.plain(pointer.value)
        };
        self.named(function, &[kind::FUNC]).find_map(first).is_some_and(|target| target.kind == kind::STRUCT)
    }

    /// Can programs attach to the raw tracepoint `name`? Every compiled-in one leaves a typedef.
    pub fn has_raw_tracepoint(&self, name: &str) -> bool {
        self.named(&format!("btf_trace_{name}"), &[kind::TYPEDEF]).next().is_some()
    }

    fn value_in(&self, head: Head, name: &str) -> Option<i64> {
        let step = if head.kind == kind::ENUM { 8 } else { 12 };
        let at = (0..head.count)
            .map(|i| head.body + step * i)
            .find(|at| u32_at(&self.bytes, *at).is_some_and(|offset| self.is_named(offset, name)))?;
        let low = u32_at(&self.bytes, at + 4)?;
        match head.kind {
            kind::ENUM if head.flag => Some(i64::from(low as i32)),
            kind::ENUM => Some(i64::from(low)),
            _ => Some((u64::from(u32_at(&self.bytes, at + 8)?) << 32 | u64::from(low)) as i64),
        }
    }

    /// Value of an enumerator of the named enum.
    pub fn enum_value(&self, of: &str, name: &str) -> Option<i64> {
        self.named(of, &[kind::ENUM, kind::ENUM64]).find_map(|head| self.value_in(head, name))
    }

    /// Value of an enumerator of any enum, anonymous ones included.
    pub fn enumerator(&self, name: &str) -> Option<i64> {
        (1..self.types.len())
            .filter_map(|id| self.head(u32::try_from(id).ok()?))
            .filter(|head| head.kind == kind::ENUM || head.kind == kind::ENUM64)
            .find_map(|head| self.value_in(head, name))
    }
}

#[cfg(test)]
pub(crate) mod tests;
