//! Rows by column, as many as one row group has: what is in memory of a recording.
use super::row::{Cell, Row, Value};
use super::schema::{COLUMNS, Column, Holds, holds, is_required};
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::writer::SerializedFileWriter;
use std::io::Write;

/// Of one row group. Some MiB of samples; half of what may wait.
pub(super) const MAX_ROWS: usize = 2048;
/// Of dossiers and names, unless one alone is larger.
const MAX_TEXT_BYTES: usize = 4 << 20;

#[derive(Debug)]
enum Values {
    Integers(Vec<i64>),
    Texts(Vec<ByteArray>),
}

/// Of one column: for each row whether there is a value, as far as there are any.
#[derive(Debug)]
struct Cells {
    levels: Vec<i16>,
    values: Values,
}

impl Cells {
    fn put(&mut self, row: usize, value: &Value) {
        if self.levels.len() > row {
            return;
        }
        let is_put = match (&mut self.values, value) {
            (Values::Integers(values), Value::Integer(value)) => {
                values.push(*value);
                true
            }
            (Values::Texts(values), Value::Text(value)) => {
                values.push(value.clone());
                true
            }
            _ => false,
        };
        if is_put {
            self.levels.resize(row, 0);
            self.levels.push(1);
        }
    }
}

#[derive(Debug)]
pub(super) struct Batch {
    node: ByteArray,
    columns: Vec<Cells>,
    rows: usize,
    text_bytes: usize,
}

impl Batch {
    pub(super) fn new(node: &str) -> Self {
        let empty = |column| Cells {
            levels: Vec::new(),
            values: match holds(column) {
                Holds::Text => Values::Texts(Vec::new()),
                Holds::Integer | Holds::Time => Values::Integers(Vec::new()),
            },
        };
        let columns = (0..COLUMNS).map(empty).collect();
        Self { node: ByteArray::from(node), columns, rows: 0, text_bytes: 0 }
    }

    pub(super) fn push(&mut self, row: &Row) {
        let t_ns = i64::try_from(row.t_ns).unwrap_or(i64::MAX);
        self.put(Column::Kind as usize, &Value::Text(ByteArray::from(row.kind.name())));
        self.put(Column::Time as usize, &Value::Integer(row.time_us));
        self.put(Column::TNs as usize, &Value::Integer(t_ns));
        self.put(Column::Node as usize, &Value::Text(self.node.clone()));
        let labels = row.labels.iter().flat_map(|labels| &labels.0.0);
        for Cell { column, value } in row.cells.0.iter().chain(labels) {
            self.put(*column, value);
        }
        self.text_bytes += row.cells.0.iter().map(|cell| cell.value.text_bytes()).sum::<usize>();
        self.rows += 1;
    }

    fn put(&mut self, column: usize, value: &Value) {
        if let Some(cells) = self.columns.get_mut(column) {
            cells.put(self.rows, value);
        }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn is_full(&self) -> bool {
        self.rows >= MAX_ROWS || self.text_bytes >= MAX_TEXT_BYTES
    }

    /// As one row group; it is empty afterwards, also when that failed.
    pub(super) fn write<W: Write + Send>(&mut self, to: &mut SerializedFileWriter<W>) -> Result<(), ParquetError> {
        let written = self.write_columns(to);
        for cells in &mut self.columns {
            cells.levels.clear();
            match &mut cells.values {
                Values::Integers(values) => values.clear(),
                Values::Texts(values) => values.clear(),
            }
        }
        (self.rows, self.text_bytes) = (0, 0);
        written
    }

    fn write_columns<W: Write + Send>(&mut self, to: &mut SerializedFileWriter<W>) -> Result<(), ParquetError> {
        let mut group = to.next_row_group()?;
        for (column, cells) in self.columns.iter_mut().enumerate() {
            cells.levels.resize(self.rows, 0);
            let levels = (!is_required(column)).then_some(cells.levels.as_slice());
            let Some(mut into) = group.next_column()? else { break };
            match &cells.values {
                Values::Integers(values) => into.typed::<Int64Type>().write_batch(values, levels, None)?,
                Values::Texts(values) => into.typed::<ByteArrayType>().write_batch(values, levels, None)?,
            };
            into.close()?;
        }
        group.close().map(drop)
    }
}

impl Value {
    fn text_bytes(&self) -> usize {
        match self {
            Value::Integer(_) => 0,
            Value::Text(text) => text.len(),
        }
    }
}
