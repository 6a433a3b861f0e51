use super::*;

/// Builds small BTF files: what a kernel would say.
#[derive(Default)]
pub(crate) struct Builder {
    types: Vec<u8>,
    strings: Vec<u8>,
    count: u32,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Builder { strings: vec![0], ..Self::default() }
    }

    fn name(&mut self, name: &str) -> u32 {
        if name.is_empty() {
            return 0;
        }
        let at = self.strings.len() as u32;
        self.strings.extend_from_slice(name.as_bytes());
        self.strings.push(0);
        at
    }

    fn push(&mut self, name: &str, kind: u32, count: u32, value: u32, body: &[u32]) -> u32 {
        let name = self.name(name);
        for word in [name, kind << 24 | count, value].iter().chain(body) {
            self.types.extend_from_slice(&word.to_le_bytes());
        }
        self.count += 1;
        self.count
    }

    pub(crate) fn int(&mut self, name: &str, size: u32) -> u32 {
        self.push(name, kind::INT, 0, size, &[size * 8])
    }

    pub(crate) fn typedef(&mut self, name: &str, of: u32) -> u32 {
        self.push(name, kind::TYPEDEF, 0, of, &[])
    }

    pub(crate) fn array(&mut self, of: u32, len: u32) -> u32 {
        self.push("", kind::ARRAY, 0, 0, &[of, 0, len])
    }

    /// Members: name, type, offset in bytes.
    pub(crate) fn structure(&mut self, name: &str, size: u32, members: &[(&str, u32, u32)]) -> u32 {
        let body: Vec<u32> = members.iter().flat_map(|(n, of, at)| [self.name(n), *of, at * 8]).collect();
        self.push(name, kind::STRUCT, members.len() as u32, size, &body)
    }

    pub(crate) fn enumeration(&mut self, name: &str, values: &[(&str, u32)]) -> u32 {
        let body: Vec<u32> = values.iter().flat_map(|(n, v)| [self.name(n), *v]).collect();
        self.push(name, kind::ENUM, values.len() as u32, 4, &body)
    }

    fn enumeration64(&mut self, name: &str, values: &[(&str, i64)]) -> u32 {
        let body: Vec<u32> =
            values.iter().flat_map(|(n, v)| [self.name(n), *v as u32, (*v as u64 >> 32) as u32]).collect();
        self.push(name, kind::ENUM64, values.len() as u32, 8, &body)
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let lens = (self.types.len() as u32, self.strings.len() as u32);
        for word in [u32::from(MAGIC) | 1 << 16, 24, 0, lens.0, lens.0, lens.1] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(&self.types);
        out.extend_from_slice(&self.strings);
        out
    }

    pub(crate) fn build(&self) -> Btf {
        Btf::parse(self.bytes()).unwrap()
    }
}

fn sample() -> Builder {
    let mut b = Builder::new();
    let int = b.int("int", 4);
    let inner = b.structure("inner", 8, &[("x", int, 0), ("y", int, 4)]);
    let alias = b.typedef("inner_t", inner);
    let anonymous = b.structure("", 8, &[("deep", int, 4)]);
    let list = b.array(alias, 4);
    b.structure("outer", 64, &[("a", int, 0), ("", anonymous, 8), ("named", alias, 16), ("list", list, 24)]);
    b.structure("outer", 8, &[("only_second", int, 4)]);
    b.enumeration("", &[("MM_FILEPAGES", 0), ("MM_ANONPAGES", 1)]);
    b.enumeration("named_enum", &[("A", 7)]);
    b.enumeration64("big", &[("HUGE", -2)]);
    b.push("do_madvise", kind::FUNC, 1, 0, &[]);
    b.typedef("btf_trace_signal_generate", int);
    b
}

#[test]
fn fields_are_found_through_anonymous_members_and_paths() {
    let btf = sample().build();
    let cases = [
        ("outer", "a", Some(0)),
        ("outer", "deep", Some(12)),
        ("outer", "named", Some(16)),
        ("outer", "named.y", Some(20)),
        ("outer", "only_second", Some(4)),
        ("outer", "y", None),
        ("outer", "named.z", None),
        ("outer", "a.b", None),
        ("outer", "", None),
        ("absent", "a", None),
        ("int", "a", None),
    ];
    for (holder, path, expected) in cases {
        assert_eq!(btf.field(holder, path), expected, "{holder}.{path}");
    }
    assert_eq!(btf.field_type("outer", "list").as_deref(), Some("inner"));
    assert_eq!(btf.field_type("outer", "a").as_deref(), Some("int"));
    assert_eq!(btf.size("outer"), Some(64));
}

#[test]
fn enumerators_functions_and_types_are_found() {
    let btf = sample().build();
    assert_eq!(btf.enumerator("MM_ANONPAGES"), Some(1));
    assert_eq!(btf.enumerator("HUGE"), Some(-2));
    assert_eq!(btf.enumerator("MM_"), None);
    assert_eq!(btf.enum_value("named_enum", "A"), Some(7));
    assert_eq!(btf.enum_value("big", "A"), None);
    assert!(btf.has_func("do_madvise") && !btf.has_func("inner") && !btf.has_func("do_madvis"));
    assert!(btf.has_type("inner_t") && !btf.has_type("do_madvise"));
    assert!(btf.has_raw_tracepoint("signal_generate") && !btf.has_raw_tracepoint("other"));
}

#[test]
fn a_function_whose_argument_is_only_declared_takes_no_struct() {
    const FORWARD: u32 = 7;
    let mut b = Builder::new();
    let int = b.int("int", 4);
    for (name, target) in
        [("known", b.structure("pt_regs", 8, &[("di", int, 0)])), ("declared", b.push("pt_regs", FORWARD, 0, 0, &[]))]
    {
        let constant = b.push("", kind::CONST, 0, target, &[]);
        let pointer = b.push("", kind::PTR, 0, constant, &[]);
        let proto = b.push("", kind::FUNC_PROTO, 1, int, &[0, pointer]);
        b.push(name, kind::FUNC, 1, proto, &[]);
    }
    let proto = b.push("", kind::FUNC_PROTO, 0, int, &[]);
    b.push("without", kind::FUNC, 1, proto, &[]);
    let btf = b.build();
    assert_eq!(
        ["known", "declared", "without", "absent"].map(|name| btf.takes_struct(name)),
        [true, false, false, false]
    );
}

fn ask_everything(btf: &Btf) {
    for name in ["outer", "inner", "named_enum", "big", "do_madvise", "", "int"] {
        for path in ["a", "deep", "named.y", "list", ""] {
            let _ = (btf.field(name, path), btf.field_type(name, path));
        }
        let _ = (btf.size(name), btf.has_type(name), btf.has_func(name), btf.enumerator(name));
        let _ = btf.takes_struct(name);
    }
}

#[test]
fn every_truncation_is_an_error() {
    let bytes = sample().bytes();
    for len in 0..bytes.len() {
        assert!(Btf::parse(bytes[..len].to_vec()).is_err(), "{len} of {}", bytes.len());
    }
}

#[test]
fn no_flipped_byte_panics() {
    let bytes = sample().bytes();
    for at in 0..bytes.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut hostile = bytes.clone();
            hostile[at] = value;
            if let Ok(btf) = Btf::parse(hostile) {
                ask_everything(&btf);
            }
        }
    }
}

#[test]
fn a_cycle_of_anonymous_members_ends() {
    let mut b = Builder::new();
    // Type 1 holds itself three times, unnamed.
    b.structure("loop", 8, &[("", 1, 0), ("", 1, 0), ("", 1, 0)]);
    b.typedef("self", 2);
    assert_eq!(b.build().field("loop", "x"), None);
}

#[test]
fn wrong_magic_and_unknown_kind_are_named() {
    assert!(matches!(Btf::parse(vec![1; 64]), Err(BtfError::Magic(0x0101))));
    let mut b = Builder::new();
    b.push("new", 40, 0, 0, &[]);
    assert!(matches!(Btf::parse(b.bytes()), Err(BtfError::UnknownKind { id: 1, kind: 40 })));
}

#[test]
fn this_kernel_is_read() {
    // Only where it offers BTF; the kernel suite asserts that it does.
    if let Ok(btf) = Btf::read() {
        assert!(btf.field("task_struct", "tgid").is_some());
        assert_eq!(btf.enumerator("MM_ANONPAGES"), Some(1));
    }
}

#[test]
fn this_kernel_damaged_never_panics() {
    let Ok(bytes) = std::fs::read(VMLINUX) else { return };
    let mut state = 1u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for _ in 0..10 {
        let mut hostile = bytes.clone();
        // Few enough that most copies still parse.
        for _ in 0..3 {
            let at = random(hostile.len());
            hostile[at] = random(256) as u8;
        }
        if let Ok(btf) = Btf::parse(hostile) {
            let _ = (btf.field("task_struct", "signal"), btf.field("mm_struct", "rss_stat.count"));
            let _ = (btf.field_type("mm_struct", "rss_stat"), btf.enumerator("MM_ANONPAGES"));
        }
    }
}
