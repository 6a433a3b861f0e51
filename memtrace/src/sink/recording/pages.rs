//! What a chunk of a column says of its pages, before any of it is believed: a page of a few bytes may claim gigabytes.
//! Thrift's compact protocol, of which only what has to be passed over is known here.

/// Structures within structures of a page header.
const DEPTH: u8 = 8;
/// Fields of a PageHeader, and those of a DataPageHeader or DictionaryPageHeader in it behind its own number.
const TYPE: [i64; 2] = [0, 1];
const UNCOMPRESSED: [i64; 2] = [0, 2];
const COMPRESSED: [i64; 2] = [0, 3];
const DATA_VALUES: [i64; 2] = [5, 1];
const DATA_ENCODING: [i64; 2] = [5, 2];
const DATA_LEVELS: [i64; 2] = [5, 3];
const DICTIONARY_ENCODING: [i64; 2] = [7, 2];
/// Of pages, and of values.
const DATA: i64 = 0;
const DICTIONARY: i64 = 2;
const PLAIN: i64 = 0;
const PLAIN_DICTIONARY: i64 = 2;
const RLE: i64 = 3;
const RLE_DICTIONARY: i64 = 8;

/// How many bytes all pages of a chunk are when they are unpacked; `None`: it is damaged, or its pages are others than a
/// recording has: at most one dictionary, before all values.
pub(super) fn unpacked_bytes(mut chunk: &[u8], rows: usize) -> Option<u64> {
    let (mut sum, mut values, mut has_dictionary) = (0u64, 0u64, false);
    let mut is_first = true;
    while !chunk.is_empty() {
        let mut header = Bytes(chunk);
        let page = header.page()?;
        match page.kind? {
            DICTIONARY if is_first => {
                has_dictionary = matches!(page.dictionary_encoding?, PLAIN | PLAIN_DICTIONARY);
                has_dictionary.then_some(())?;
            }
            DATA => {
                values = values.checked_add(u64::try_from(page.values?).ok()?)?;
                let is_indexed = matches!(page.encoding?, PLAIN_DICTIONARY | RLE_DICTIONARY);
                let is_known = page.encoding == Some(PLAIN) || (is_indexed && has_dictionary);
                (is_known && page.levels == Some(RLE)).then_some(())?;
            }
            _ => return None,
        }
        is_first = false;
        sum = sum.checked_add(u64::try_from(page.uncompressed?).ok()?)?;
        chunk = header.0.get(usize::try_from(page.compressed?).ok()?..)?;
    }
    (values == rows as u64).then_some(sum)
}

#[derive(Default)]
struct Page {
    kind: Option<i64>,
    uncompressed: Option<i64>,
    compressed: Option<i64>,
    values: Option<i64>,
    encoding: Option<i64>,
    levels: Option<i64>,
    dictionary_encoding: Option<i64>,
}

struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn page(&mut self) -> Option<Page> {
        let mut page = Page::default();
        self.structure(DEPTH, 0, &mut |field, value| {
            let into = match field {
                TYPE => &mut page.kind,
                UNCOMPRESSED => &mut page.uncompressed,
                COMPRESSED => &mut page.compressed,
                DATA_VALUES => &mut page.values,
                DATA_ENCODING => &mut page.encoding,
                DATA_LEVELS => &mut page.levels,
                DICTIONARY_ENCODING => &mut page.dictionary_encoding,
                _ => return,
            };
            // Twice is none.
            *into = if into.is_some() { Some(i64::MIN) } else { Some(value) };
        })?;
        Some(page)
    }

    /// `integer`: called for each field that is one, with the number of the field that this structure is.
    fn structure(&mut self, depth: u8, own: i64, integer: &mut dyn FnMut([i64; 2], i64)) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        let mut field = 0i64;
        loop {
            let byte = self.byte()?;
            let (delta, kind) = (i64::from(byte >> 4), byte & 0xf);
            if kind == 0 {
                return Some(());
            }
            field = if delta == 0 { self.zigzag()? } else { field.checked_add(delta)? };
            match kind {
                4..=6 => {
                    let value = self.zigzag()?;
                    integer([own, field], value);
                }
                // Structures of structures are of no interest.
                12 if own == 0 => self.structure(depth, field, integer)?,
                12 => self.structure(depth, own, &mut |_, _| {})?,
                _ => self.pass(kind, depth)?,
            }
        }
    }

    fn pass(&mut self, kind: u8, depth: u8) -> Option<()> {
        match kind {
            // As fields: the value is in the kind.
            1 | 2 => {}
            3 => self.skip(1)?,
            4..=6 => drop(self.varint()?),
            7 => self.skip(8)?,
            8 => {
                let length = self.varint()?;
                self.skip(length)?;
            }
            9 | 10 => {
                let byte = self.byte()?;
                let length = if byte >> 4 == 15 { self.varint()? } else { u64::from(byte >> 4) };
                (0..length).try_for_each(|_| self.element(byte & 0xf, depth))?;
            }
            11 => {
                let length = self.varint()?;
                if length > 0 {
                    let kinds = self.byte()?;
                    (0..length).try_for_each(|_| {
                        self.element(kinds >> 4, depth)?;
                        self.element(kinds & 0xf, depth)
                    })?;
                }
            }
            12 => self.structure(depth, 0, &mut |_, _| {})?,
            _ => return None,
        }
        Some(())
    }

    /// Each takes a byte at least.
    fn element(&mut self, kind: u8, depth: u8) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        if matches!(kind, 1 | 2) { self.skip(1) } else { self.pass(kind, depth) }
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn skip(&mut self, bytes: u64) -> Option<()> {
        self.0 = self.0.get(usize::try_from(bytes).ok()?..)?;
        Some(())
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn zigzag(&mut self) -> Option<i64> {
        let value = self.varint()?;
        Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_added_up_and_what_is_damaged_is_none() {
        // Type 0, uncompressed 100, compressed 2; 3 values, plain, levels by runs; two bytes of page.
        let page = [0x15, 0, 0x15, 200, 1, 0x15, 4, 0x2c, 0x15, 6, 0x15, 0, 0x15, 6, 0x15, 6, 0, 0, b'x', b'y'];
        assert_eq!(unpacked_bytes(&[page, page].concat(), 6), Some(200));
        assert_eq!(unpacked_bytes(&[page, page].concat(), 7), None, "another number of rows");
        for end in 1..page.len() {
            assert_eq!(unpacked_bytes(&page[..end], 3), None, "{end}");
        }
        let (mut indexed, mut second) = (page, page);
        indexed[11] = 16;
        assert_eq!(unpacked_bytes(&indexed, 3), None, "values of a dictionary that is not there");
        second[1] = 4;
        assert_eq!(unpacked_bytes(&[page, second].concat(), 3), None, "a dictionary behind values");
        assert_eq!(unpacked_bytes(&[0xff; 64], 3), None);
        assert_eq!(unpacked_bytes(&[0x1c; 64], 3), None, "no end of structures");
    }
}
