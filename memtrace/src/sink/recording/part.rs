//! A file being written: under a temporary name until it is whole, so that what has the name of a recording can be read.
use super::batch::Batch;
use super::schema::{SCHEMA, SCHEMA_KEY, parquet};
use crate::dossier::store::put_in_place;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnPath;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Behind the name of a file that is not whole yet.
pub(super) const UNFINISHED: &str = ".tmp";

#[derive(Debug)]
pub(super) struct Part {
    path: PathBuf,
    unfinished: PathBuf,
    writer: SerializedFileWriter<File>,
    /// In row groups so far.
    pub(super) rows: u64,
}

impl Part {
    pub(super) fn create(path: &Path, node: &str) -> Result<Part, String> {
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(UNFINISHED);
        let unfinished = PathBuf::from(unfinished);
        let file = File::create(&unfinished).map_err(|why| why.to_string())?;
        let begun = parquet().and_then(|schema| SerializedFileWriter::new(file, schema, Arc::new(properties(node))));
        match begun {
            Ok(writer) => Ok(Part { path: path.to_owned(), unfinished, writer, rows: 0 }),
            Err(why) => {
                let _ = fs::remove_file(&unfinished);
                Err(said(&why))
            }
        }
    }

    /// After a failure it can only be given up.
    pub(super) fn write(&mut self, batch: &mut Batch) -> Result<(), String> {
        let rows = batch.rows() as u64;
        batch.write(&mut self.writer).map_err(|why| said(&why))?;
        self.rows += rows;
        Ok(())
    }

    /// On disk, and then under its name. How large it is.
    pub(super) fn finish(self) -> Result<(PathBuf, u64), String> {
        let Part { path, unfinished, writer, .. } = self;
        let written = writer.into_inner().map_err(|why| io::Error::other(said(&why)));
        put_in_place(&unfinished, &path, written).map_err(|why| why.to_string())?;
        let bytes = fs::metadata(&path).map_err(|why| why.to_string())?.len();
        Ok((path, bytes))
    }

    pub(super) fn give_up(self) {
        let _ = fs::remove_file(&self.unfinished);
    }
}

/// Without the kind of error in front, and on one line.
fn said(why: &ParquetError) -> String {
    let text = match why {
        ParquetError::External(inner) => inner.to_string(),
        ParquetError::General(text) => text.clone(),
        other => other.to_string(),
    };
    text.replace('\n', " ")
}

fn properties(node: &str) -> WriterProperties {
    let pair = |key: &str, value: &str| KeyValue::new(key.to_owned(), value.to_owned());
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_created_by(concat!("memtrace ", env!("CARGO_PKG_VERSION")).to_owned())
        // Small files of many columns: the footer is most of one that has statistics of each.
        .set_statistics_enabled(EnabledStatistics::None)
        .set_offset_index_disabled(true)
        .set_key_value_metadata(Some(vec![pair(SCHEMA_KEY, SCHEMA), pair("memtrace.node", node)]));
    for column in ["kind", "time"] {
        properties = properties.set_column_statistics_enabled(ColumnPath::from(column), EnabledStatistics::Chunk);
    }
    properties.build()
}
