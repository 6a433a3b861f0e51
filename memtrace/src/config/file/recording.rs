//! What `memtrace agent` keeps on disk of what it knows, and for how long.
use super::{Upload, bytes, duration};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

const LEAST_BYTES: u64 = 64 << 10;
const NODE_MAX: usize = 253;

/// See [`ABOUT`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recording {
    pub enabled: bool,
    pub directory: PathBuf,
    #[serde(with = "bytes")]
    pub max_bytes: u64,
    #[serde(with = "duration")]
    pub max_age: Duration,
    #[serde(with = "duration")]
    pub flush_interval: Duration,
    /// Empty: the host's name.
    pub node: String,
    pub upload: Upload,
}

pub(super) const ABOUT: &[(&str, &str)] = &[
    ("enabled", "of memtrace agent: record what is known of every process, as Parquet"),
    ("directory", "where: date=YYYY-MM-DD/node=NAME/part-*.parquet"),
    ("max_bytes", "of all files of this node: the oldest go first"),
    ("max_age", "and those that were begun before that"),
    ("flush_interval", "a file so often: what is lost at most when memtrace is killed"),
    ("node", "what this machine is called in recordings; empty: its host name"),
];

impl Default for Recording {
    fn default() -> Self {
        Self {
            enabled: false,
            directory: "/var/lib/memtrace/recordings".into(),
            max_bytes: 1 << 30,
            max_age: Duration::from_secs(7 * 24 * 3600),
            flush_interval: Duration::from_secs(60),
            node: String::new(),
            upload: Upload::default(),
        }
    }
}

impl Recording {
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        if self.max_bytes < LEAST_BYTES {
            return Err(("recording.max_bytes", "must be at least 64KiB".to_owned()));
        }
        if self.directory.as_os_str().is_empty() {
            return Err(("recording.directory", "must not be empty".to_owned()));
        }
        check_node(&self.node).map_err(|why| ("recording.node", why))?;
        self.upload.check()
    }
}

/// It becomes the name of a directory.
pub fn check_node(name: &str) -> Result<(), String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    match name.chars().all(is_plain) && name.len() <= NODE_MAX {
        true => Ok(()),
        false => Err(format!("{name:?} must be letters, digits, '.', '-' and '_', at most {NODE_MAX}")),
    }
}
