//! tracefs: which tracepoints this kernel has, and where their fields lie.
use std::io;
use std::path::{Path, PathBuf};

/// Where tracefs is mounted, in the order of preference.
const ROOTS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

#[derive(Debug, thiserror::Error)]
pub enum TracefsError {
    #[error("tracefs is not mounted")]
    NotMounted,
    #[error("{path}: not readable by this user")]
    Denied { path: String },
    #[error("{path}: {source}")]
    Read { path: String, source: io::Error },
    #[error("{path}: not a tracepoint format: {line:?}")]
    Syntax { path: String, line: String },
}

/// One field of an event record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    pub name: String,
    /// From the start of the record, in bytes.
    pub offset: u32,
    pub size: u32,
    pub signed: bool,
}

/// A parsed `events/<category>/<name>/format`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Format {
    pub name: String,
    pub id: u32,
    pub fields: Vec<Field>,
}

impl Format {
    /// Format: kernel `Documentation/trace/events.rst`. The error is the offending line.
    pub fn parse(text: &str) -> Result<Format, String> {
        let mut format = Format::default();
        for line in text.lines() {
            let line = line.trim();
            let bad = || line.chars().take(100).collect::<String>();
            if let Some(name) = line.strip_prefix("name:") {
                name.trim().clone_into(&mut format.name);
            } else if let Some(id) = line.strip_prefix("ID:") {
                format.id = id.trim().parse().map_err(|_| bad())?;
            } else if line.starts_with("field:") {
                format.fields.push(parse_field(line).ok_or_else(bad)?);
            } else if line.starts_with("print fmt:") {
                break;
            }
        }
        if format.name.is_empty() || format.id == 0 {
            return Err("no name or no ID".into());
        }
        Ok(format)
    }

    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|f| f.name == name)
    }

    /// Offset of a field, if it has this size: one of another width is another field to the probe.
    pub fn offset(&self, name: &str, size: u32) -> Option<u32> {
        self.field(name).filter(|f| f.size == size).map(|f| f.offset)
    }
}

/// `field:unsigned long nr; offset:8; size:8; signed:0;`, tabs between.
fn parse_field(line: &str) -> Option<Field> {
    let mut declaration = None;
    let (mut offset, mut size, mut signed) = (None, None, false);
    for part in line.split(';') {
        match part.trim().split_once(':') {
            Some(("field", text)) => declaration = Some(text),
            Some(("offset", n)) => offset = Some(n.parse().ok()?),
            Some(("size", n)) => size = Some(n.parse().ok()?),
            Some(("signed", n)) => signed = n == "1",
            _ => {}
        }
    }
    let word = declaration?.split_whitespace().last()?;
    let name = word.split('[').next()?.trim_start_matches('*');
    (!name.is_empty()).then_some(())?;
    Some(Field { name: name.to_owned(), offset: offset?, size: size?, signed })
}

/// Source of formats: tracefs itself, or saved texts in tests.
pub trait Formats {
    /// `None` when the kernel has no such tracepoint or does not let us see.
    fn format(&self, category: &str, name: &str) -> Option<Format>;
}

/// A host whose tracefs cannot be read.
impl Formats for () {
    fn format(&self, _category: &str, _name: &str) -> Option<Format> {
        None
    }
}

impl<T: Formats> Formats for Option<&T> {
    fn format(&self, category: &str, name: &str) -> Option<Format> {
        self.and_then(|f| f.format(category, name))
    }
}

/// A readable tracefs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracefs {
    root: PathBuf,
}

impl Tracefs {
    pub fn find() -> Result<Tracefs, TracefsError> {
        Self::find_in(&ROOTS.map(Path::new))
    }

    fn find_in(roots: &[&Path]) -> Result<Tracefs, TracefsError> {
        let mut outcome = TracefsError::NotMounted;
        for root in roots {
            // The mount point exists, empty, when nothing is mounted; mode 0700 hides which.
            match std::fs::metadata(root.join("events")) {
                Ok(_) => match std::fs::read_dir(root.join("events")) {
                    Ok(_) => return Ok(Tracefs { root: root.to_path_buf() }),
                    Err(_) => outcome = TracefsError::Denied { path: root.display().to_string() },
                },
                Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                    if matches!(outcome, TracefsError::NotMounted) {
                        outcome = TracefsError::Denied { path: root.display().to_string() };
                    }
                }
                Err(_) => {}
            }
        }
        Err(outcome)
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn has(&self, category: &str, name: &str) -> bool {
        self.root.join("events").join(category).join(name).exists()
    }

    pub fn read_format(&self, category: &str, name: &str) -> Result<Format, TracefsError> {
        let file = self.root.join("events").join(category).join(name).join("format");
        let path = file.display().to_string();
        let text = std::fs::read_to_string(&file).map_err(|source| match source.kind() {
            io::ErrorKind::PermissionDenied => TracefsError::Denied { path: path.clone() },
            _ => TracefsError::Read { path: path.clone(), source },
        })?;
        Format::parse(&text).map_err(|line| TracefsError::Syntax { path, line })
    }
}

impl Formats for Tracefs {
    fn format(&self, category: &str, name: &str) -> Option<Format> {
        self.read_format(category, name).ok()
    }
}

#[cfg(test)]
pub(crate) mod tests;
