//! Recordings, read back. A file is untrusted: what it claims is checked before there is memory for it.
use super::pages::unpacked_bytes;
use super::row::{ReadRow, Value};
use super::schema::{COLUMNS, Column, Holds, Kind, SCHEMA, SCHEMA_KEY, holds, is_required, name};
use parquet::basic::Type as Physical;
use parquet::column::reader::{ColumnReader, get_column_reader};
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};
use parquet::file::reader::ChunkReader;
use parquet::file::serialized_reader::SerializedPageReader;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// A row group of ours has 2048 rows and some MiB.
const MAX_ROWS: i64 = 1 << 16;
const MAX_GROUP_BYTES: u64 = 64 << 20;
/// All of the metadata.
const MAX_FOOTER_BYTES: u64 = 16 << 20;
const END_BYTES: u64 = 8;

/// A file whose schema is ours.
pub(super) struct Recording<R> {
    file: Arc<R>,
    metadata: ParquetMetaData,
    /// For each column of the file which of ours it is; `None`: of a later memtrace.
    columns: Vec<Option<usize>>,
}

impl<R: ChunkReader + 'static> Recording<R> {
    pub(super) fn open(file: R) -> Result<Recording<R>, String> {
        check_footer(&file)?;
        let damaged = |why: &ParquetError| format!("it is no Parquet file, or damaged: {}", one_line(why));
        let metadata = ParquetMetaDataReader::new().parse_and_finish(&file).map_err(|why| damaged(&why))?;
        let pairs = metadata.file_metadata().key_value_metadata();
        let schema = pairs.and_then(|pairs| pairs.iter().find(|pair| pair.key == SCHEMA_KEY)?.value.as_deref());
        match schema {
            Some(SCHEMA) => {}
            Some(other) => return Err(format!("it is a {other:?}, and {SCHEMA} is what this memtrace reads")),
            None => return Err(format!("it is no recording of memtrace: it has no {SCHEMA_KEY}")),
        }
        let columns = metadata.file_metadata().schema_descr().columns().iter().map(|of| {
            let known = (0..COLUMNS).find(|column| of.path().string() == name(*column));
            let is_right = known.is_none_or(|column| {
                let physical = if holds(column) == Holds::Text { Physical::BYTE_ARRAY } else { Physical::INT64 };
                let levels = i16::from(!is_required(column));
                of.physical_type() == physical && of.max_rep_level() == 0 && of.max_def_level() == levels
            });
            if is_right { Ok(known) } else { Err(format!("its column {:?} is not as in {SCHEMA}", of.name())) }
        });
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        for required in 0..COLUMNS {
            if is_required(required) && !columns.contains(&Some(required)) {
                return Err(format!("it has no column {:?}", name(required)));
            }
        }
        Ok(Recording { file: Arc::new(file), metadata, columns })
    }

    /// All rows of these kinds, a row group at a time in memory; of columns that are not wanted they know nothing.
    pub(super) fn rows(
        &self,
        kinds: &[Kind],
        is_wanted: impl Fn(usize) -> bool,
        mut each: impl FnMut(&ReadRow),
    ) -> Result<(), String> {
        for group in self.metadata.row_groups() {
            let rows = usize::try_from(group.num_rows()).ok().filter(|_| group.num_rows() <= MAX_ROWS);
            let rows = rows.ok_or_else(|| format!("it claims {} rows in one group", group.num_rows()))?;
            let mut found = vec![ReadRow::default(); rows];
            let mut left = MAX_GROUP_BYTES;
            self.column(group, Column::Kind as usize, &mut found, &mut left)?;
            let is_meant =
                |row: &ReadRow| row.text(Column::Kind).is_some_and(|name| kinds.iter().any(|kind| kind.name() == name));
            if !found.iter().any(is_meant) {
                continue;
            }
            for column in (0..COLUMNS).filter(|column| *column != Column::Kind as usize) {
                if is_required(column) || is_wanted(column) {
                    self.column(group, column, &mut found, &mut left)?;
                }
            }
            found.iter().filter(|row| is_meant(row)).for_each(&mut each);
        }
        Ok(())
    }

    /// A column that the file does not have leaves the rows as they are.
    fn column(
        &self,
        group: &RowGroupMetaData,
        column: usize,
        rows: &mut [ReadRow],
        left: &mut u64,
    ) -> Result<(), String> {
        let Some(at) = self.columns.iter().position(|known| *known == Some(column)) else { return Ok(()) };
        let damaged = |why: String| format!("its column {:?} is damaged: {why}", name(column));
        let chunk = group.columns().get(at).ok_or_else(|| damaged("it is missing".to_owned()))?;
        *left = self.unpacked(chunk, rows.len()).and_then(|bytes| left.checked_sub(bytes)).ok_or_else(|| {
            damaged(format!("its pages are not where it says, or more than {} MiB", MAX_GROUP_BYTES >> 20))
        })?;
        // parquet asserts of what is inside a page that it is right: a run that is cut ends it. Nothing of it is kept.
        let read = catch_unwind(AssertUnwindSafe(|| read(Arc::clone(&self.file), chunk, column, rows)));
        match read {
            Ok(outcome) => outcome.map_err(|why| damaged(one_line(&why))),
            Err(_) => Err(damaged("a page cannot be decoded".to_owned())),
        }
    }

    /// `None`: not inside the file, or damaged.
    fn unpacked(&self, chunk: &ColumnChunkMetaData, rows: usize) -> Option<u64> {
        let start = chunk.dictionary_page_offset().unwrap_or(chunk.data_page_offset());
        let start = u64::try_from(start).ok()?;
        let bytes = u64::try_from(chunk.compressed_size()).ok().filter(|bytes| *bytes <= MAX_GROUP_BYTES)?;
        let is_inside = start.checked_add(bytes)? <= self.file.len();
        let bytes = is_inside.then(|| self.file.get_bytes(start, usize::try_from(bytes).ok()?).ok())??;
        unpacked_bytes(&bytes, rows)
    }
}

fn read<R: ChunkReader + 'static>(
    file: Arc<R>,
    chunk: &ColumnChunkMetaData,
    column: usize,
    rows: &mut [ReadRow],
) -> Result<(), ParquetError> {
    let pages = SerializedPageReader::new(file, chunk, rows.len(), None)?;
    let mut levels = Vec::new();
    let is_read = |records: usize, wanted: usize| match records == wanted {
        true => Ok(()),
        false => Err(ParquetError::General(format!("{records} values of {wanted}"))),
    };
    let wanted = if is_required(column) { None } else { Some(&mut levels) };
    let values: Vec<Value> = match get_column_reader(chunk.column_descr_ptr(), Box::new(pages)) {
        ColumnReader::Int64ColumnReader(mut reader) => {
            let mut values = Vec::new();
            let (records, ..) = reader.read_records(rows.len(), wanted, None, &mut values)?;
            is_read(records, rows.len())?;
            values.into_iter().map(Value::Integer).collect()
        }
        ColumnReader::ByteArrayColumnReader(mut reader) => {
            let mut values: Vec<ByteArray> = Vec::new();
            let (records, ..) = reader.read_records(rows.len(), wanted, None, &mut values)?;
            is_read(records, rows.len())?;
            values.into_iter().map(Value::Text).collect()
        }
        _ => return Err(ParquetError::General("another type".to_owned())),
    };
    let mut values = values.into_iter();
    for (at, row) in rows.iter_mut().enumerate() {
        if is_required(column) || levels.get(at) == Some(&1) {
            row.cells.extend(values.next().map(|value| (column, value)));
        }
    }
    Ok(())
}

/// The last bytes of the file say how long the metadata before them is.
fn check_footer<R: ChunkReader>(file: &R) -> Result<(), String> {
    let no_file = || "it is no Parquet file, or its end is missing".to_owned();
    let end = file.len().checked_sub(END_BYTES).ok_or_else(no_file)?;
    let bytes = file.get_bytes(end, END_BYTES as usize).map_err(|why| one_line(&why))?;
    let (length, magic) = bytes.split_first_chunk().ok_or_else(no_file)?;
    let length = u64::from(u32::from_le_bytes(*length));
    if magic != b"PAR1" || length > end {
        return Err(no_file());
    }
    if length > MAX_FOOTER_BYTES {
        return Err(format!("it claims {length} bytes of metadata"));
    }
    Ok(())
}

fn one_line(why: &ParquetError) -> String {
    why.to_string().chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect()
}
