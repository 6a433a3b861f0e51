//! Hostile executables: whatever the bytes, the readers end, stay small and do not panic.
use super::elfsym::ElfSymbols;
use super::fake::elf::{BASE, executable, put};
use super::fuzz::executable as read_all;
use super::image::Image;
use super::pclntab::{Pclntab, Place};
use super::{NotRead, locate, read_build};

#[test]
fn a_whole_file_is_read() {
    let image = Image::parse(Box::new(executable())).unwrap();
    let build = read_build(&image).unwrap();
    assert_eq!((build.version.as_str(), build.cgo, build.stripped, build.pie), ("go1.26.6", Some(true), false, false));
    let symbols = locate::symbols(&image, &["runtime.gcController", "runtime.memstats"]).unwrap();
    assert_eq!(symbols.into_iter().collect::<Vec<_>>(), [("runtime.gcController", Some(0x1234))]);
    assert_eq!(ElfSymbols::read(&image).name(&image, 0x1240).as_deref(), Some("runtime.gcController"));
    let table = Pclntab::read(&image).unwrap();
    let place = |function: &str, line| Place { function: function.into(), file: Some("f.go".into()), line: Some(line) };
    for offset in [0, 15] {
        assert_eq!(table.places(&image, BASE + offset), [place("inl", 7), place("main.f", 9)]);
    }
    for offset in [16, 63] {
        assert_eq!(table.places(&image, BASE + offset), [place("main.f", 9)]);
    }
    assert!(table.places(&image, BASE + 64).is_empty());
    assert!(table.places(&image, BASE - 1).is_empty());
}

#[test]
fn every_prefix_ends_without_panic() {
    let whole = executable();
    for end in 0..whole.len() {
        read_all(&whole[..end]);
    }
}

#[test]
fn every_damaged_byte_ends_without_panic() {
    let whole = executable();
    for at in 0..whole.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] = value;
            read_all(&bytes);
        }
    }
}

#[test]
fn every_damaged_word_ends_without_panic() {
    let whole = executable();
    for at in 0..whole.len() - 8 {
        for value in [u64::MAX, 1 << 63, (1 << 63) - 1, u64::from(u32::MAX), 1 << 40, whole.len() as u64] {
            let mut bytes = whole.clone();
            put(&mut bytes, at, &value.to_le_bytes());
            read_all(&bytes);
        }
    }
}

#[test]
fn old_and_foreign_files_are_told_apart() {
    let mut old = executable();
    let at = old.windows(14).position(|w| w == b"\xff Go buildinf:").unwrap();
    old[at + 15] = 0;
    let image = Image::parse(Box::new(old)).unwrap();
    assert!(matches!(read_build(&image), Err(NotRead::Refused(_))));
    let mut foreign = executable();
    foreign[at] = 0;
    let image = Image::parse(Box::new(foreign)).unwrap();
    assert!(matches!(read_build(&image), Err(NotRead::NotGo)));
    assert!(Image::parse(Box::new(b"#!/bin/sh\n".to_vec())).is_err());
}

#[test]
fn wiped_section_headers_leave_the_version() {
    let mut bytes = executable();
    put(&mut bytes, 40, &[0; 8]);
    put(&mut bytes, 60, &[0; 4]);
    let build = read_build(&Image::parse(Box::new(bytes)).unwrap()).unwrap();
    assert_eq!((build.version.as_str(), build.stripped), ("go1.26.6", true));
}
