//! What the fuzz targets of `tests/fuzz` call; built only for them.
use super::elfsym::ElfSymbols;
use super::image::Image;
use super::pclntab::Pclntab;
use super::{find, read_build};

/// Everything that reads a file, on these bytes.
pub fn executable(bytes: &[u8]) {
    let Ok(image) = Image::parse(Box::new(bytes.to_vec())) else { return };
    let _ = read_build(&image);
    let _ = find::find_symbol(&image, "runtime.gcController");
    let _ = ElfSymbols::read(&image);
    let Some(table) = Pclntab::read(&image) else { return };
    for segment in &image.segments {
        for inside in [0, 1, 16, 63, segment.file_bytes / 2] {
            table.places(&image, segment.address.saturating_add(inside));
        }
    }
}
