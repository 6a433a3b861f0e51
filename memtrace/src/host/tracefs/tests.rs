use super::*;

// Saved from this machine (6.18); 5.10 and 7.3 follow the table of differences in facts/kernel.md, section 6.3.
pub(crate) const MARK_VICTIM_5_10: &str = include_str!("formats/mark_victim-5.10.txt");
pub(crate) const MARK_VICTIM_6_18: &str = include_str!("formats/mark_victim-6.18.txt");
pub(crate) const RECLAIM_BEGIN_6_18: &str = include_str!("formats/mm_vmscan_memcg_reclaim_begin-6.18.txt");
pub(crate) const RECLAIM_BEGIN_7_3: &str = include_str!("formats/mm_vmscan_memcg_reclaim_begin-7.3.txt");
pub(crate) const RECLAIM_END_6_18: &str = include_str!("formats/mm_vmscan_memcg_reclaim_end-6.18.txt");
pub(crate) const DIRECT_BEGIN_6_18: &str = include_str!("formats/mm_vmscan_direct_reclaim_begin-6.18.txt");
pub(crate) const DIRECT_END_6_18: &str = include_str!("formats/mm_vmscan_direct_reclaim_end-6.18.txt");
pub(crate) const ENTER_MADVISE: &str = include_str!("formats/sys_enter_madvise-6.18.txt");
pub(crate) const EXIT_MADVISE: &str = include_str!("formats/sys_exit_madvise-6.18.txt");

/// Saved formats by name.
pub(crate) struct Saved(pub(crate) Vec<&'static str>);

impl Formats for Saved {
    fn format(&self, _category: &str, name: &str) -> Option<Format> {
        self.0.iter().filter_map(|text| Format::parse(text).ok()).find(|f| f.name == name)
    }
}

#[test]
fn saved_formats_say_where_fields_lie() {
    let cases = [
        (MARK_VICTIM_5_10, "pid", Some((8, 4))),
        (MARK_VICTIM_5_10, "total_vm", None),
        (MARK_VICTIM_6_18, "total_vm", Some((16, 8))),
        (MARK_VICTIM_6_18, "comm", Some((12, 4))),
        (MARK_VICTIM_6_18, "pgtables", Some((56, 8))),
        (MARK_VICTIM_6_18, "oom_score_adj", Some((64, 2))),
        (RECLAIM_BEGIN_6_18, "order", Some((8, 4))),
        (RECLAIM_BEGIN_7_3, "order", Some((24, 4))),
        (RECLAIM_BEGIN_7_3, "memcg_id", Some((16, 8))),
        (RECLAIM_END_6_18, "nr_reclaimed", Some((8, 8))),
        (ENTER_MADVISE, "start", Some((16, 8))),
        (ENTER_MADVISE, "behavior", Some((32, 8))),
        (EXIT_MADVISE, "ret", Some((16, 8))),
    ];
    for (text, field, expected) in cases {
        let format = Format::parse(text).unwrap();
        let found = format.field(field).map(|f| (f.offset, f.size));
        assert_eq!(found, expected, "{}.{field}", format.name);
    }
    let victim = Format::parse(MARK_VICTIM_6_18).unwrap();
    assert_eq!((victim.name.as_str(), victim.id), ("mark_victim", 609));
    assert!(victim.field("oom_score_adj").unwrap().signed && !victim.field("uid").unwrap().signed);
    assert_eq!(victim.offset("oom_score_adj", 4), None, "another width is another field");
}

#[test]
fn pointers_and_arrays_keep_their_bare_name() {
    let names = [
        ("field:char *path;\toffset:8;\tsize:8;\tsigned:0;", "path"),
        ("field:char comm[16];\toffset:8;\tsize:16;\tsigned:0;", "comm"),
        ("field:__data_loc char[] comm;\toffset:12;\tsize:4;\tsigned:0;", "comm"),
    ];
    for (line, name) in names {
        assert_eq!(parse_field(line).unwrap().name, name);
    }
}

#[test]
fn damaged_text_is_refused() {
    for text in ["", "name: x\n", "name: x\nID: y\n", "name: x\nID: 3\nfield:int a;\toffset:;\tsize:4;\n"] {
        assert!(Format::parse(text).is_err(), "{text:?}");
    }
    for end in 0..MARK_VICTIM_6_18.len() {
        let _ = Format::parse(&MARK_VICTIM_6_18[..end]);
    }
}

#[test]
fn an_empty_mount_point_is_not_mounted() {
    let dir = tempfile::tempdir().unwrap();
    let absent = dir.path().join("absent");
    assert!(matches!(Tracefs::find_in(&[dir.path(), &absent]), Err(TracefsError::NotMounted)));
    std::fs::create_dir_all(dir.path().join("events/oom/mark_victim")).unwrap();
    let file = dir.path().join("events/oom/mark_victim/format");
    std::fs::write(file, MARK_VICTIM_5_10).unwrap();
    let tracefs = Tracefs::find_in(&[&absent, dir.path()]).unwrap();
    assert!(tracefs.has("oom", "mark_victim") && !tracefs.has("oom", "other"));
    assert_eq!(tracefs.format("oom", "mark_victim").unwrap().fields.len(), 5);
}
