//! Recordings: what is known of processes over time, as Parquet. One schema for all rows, so that any set of files is one
//! relation for any engine; docs/recordings.md describes it.
mod batch;
mod figures;
mod pages;
mod part;
mod read;
mod recorder;
mod replay;
mod row;
mod schema;
mod store;
#[cfg(test)]
mod tests;
#[cfg_attr(not(feature = "upload"), path = "upload/absent.rs")]
mod upload;

pub use figures::When;
pub use recorder::{Place, Recorder, RecorderConfig};
pub use replay::{REPLAY_SCHEMA, Replay, View};
pub use row::{Labels, Row};
pub use schema::{Kind, SCHEMA, SCHEMA_KEY};
pub use upload::Uploader;
