//! Rows: what one of them knows, by column.
use super::schema::{Column, Kind, of_signal};
use crate::timeline::{Point, Signal};
use parquet::data_type::ByteArray;
use std::sync::Arc;

/// Of a name that was read.
const NAME_BYTES: usize = 256;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Integer(i64),
    /// UTF-8; shared by all rows that say the same of one process.
    Text(ByteArray),
}

/// Of one column.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cell {
    pub(super) column: usize,
    pub(super) value: Value,
}

/// What rows are made of: cells of what is known.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Cells(pub(super) Vec<Cell>);

impl Cells {
    pub(super) fn integer(&mut self, column: Column, value: impl Into<Option<u64>>) {
        if let Some(value) = value.into().and_then(|value| i64::try_from(value).ok()) {
            self.0.push(Cell { column: column as usize, value: Value::Integer(value) });
        }
    }

    pub(super) fn signed(&mut self, column: Column, value: i64) {
        self.0.push(Cell { column: column as usize, value: Value::Integer(value) });
    }

    pub(super) fn signal(&mut self, signal: Signal, value: impl Into<Option<u64>>) {
        if let Some(value) = value.into().and_then(|value| i64::try_from(value).ok()) {
            self.0.push(Cell { column: of_signal(signal), value: Value::Integer(value) });
        }
    }

    pub(super) fn text(&mut self, column: Column, value: Option<impl AsRef<str>>) {
        if let Some(value) = value {
            let value = Value::Text(ByteArray::from(value.as_ref()));
            self.0.push(Cell { column: column as usize, value });
        }
    }

    pub(super) fn point(&mut self, point: &Point) {
        point.values().for_each(|(signal, value)| self.signal(signal, value));
    }
}

/// Of which process rows are; the same for many.
#[derive(Clone, Debug, PartialEq)]
pub struct Labels(pub(super) Arc<Cells>);

/// One row.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub(super) kind: Kind,
    /// By the wall clock, since 1970.
    pub(super) time_us: i64,
    pub(super) t_ns: u64,
    pub(super) labels: Option<Labels>,
    pub(super) cells: Cells,
}

/// One that was read back.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ReadRow {
    pub(super) cells: Vec<(usize, Value)>,
}

impl ReadRow {
    pub(super) fn integer_at(&self, column: usize) -> Option<i64> {
        self.cells.iter().find_map(|(at, value)| match value {
            Value::Integer(value) if *at == column => Some(*value),
            _ => None,
        })
    }

    pub(super) fn integer(&self, column: Column) -> Option<i64> {
        self.integer_at(column as usize)
    }

    pub(super) fn signal(&self, signal: Signal) -> Option<i64> {
        self.integer_at(of_signal(signal))
    }

    /// The same of a name: what is kept of many rows must not be longer than names are.
    pub(super) fn name(&self, column: Column) -> Option<&str> {
        self.text(column).map(|text| &text[..text.floor_char_boundary(NAME_BYTES)])
    }

    /// What is no UTF-8 is absent.
    pub(super) fn text(&self, column: Column) -> Option<&str> {
        self.cells.iter().find_map(|(at, value)| match value {
            Value::Text(value) if *at == column as usize => value.as_utf8().ok(),
            _ => None,
        })
    }
}
