//! What the fuzz targets call: any bytes as what the kernel says of itself.
use super::btf::Btf;
use super::mounts::{cgroup_facts, parse_mountinfo};
use super::offsets::{Machine, params};
use super::tracefs::{Format, Formats};
use crate::procfs::cgroup::parse_memberships;
use bytemuck::Zeroable as _;
use memtrace_common::params::Switches;
use std::path::Path;

const MACHINE: Machine = Machine { cpus: 4, page_bytes: 4096, page_tables: 0, pid_namespace: 0 };
/// Magic and version, length of the header, no types, no strings.
const NO_TYPES: [u32; 6] = [0x1_eb9f, 24, 0, 0, 0, 0];

/// The kernel's types, asked everything that is ever asked.
pub(crate) fn btf(bytes: &[u8]) {
    let Ok(btf) = Btf::parse(bytes.to_vec()) else { return };
    let _ = params(&btf, &(), MACHINE, Switches::zeroed());
    let _ = (btf.has_func("do_madvise"), btf.has_raw_tracepoint("mark_victim"), btf.types());
    let _ = (btf.field_type("mm_struct", "rss_stat"), btf.field("task_struct", "signal.live.counter"));
}

/// One tracepoint's fields, as those of all of them.
pub(crate) fn format(bytes: &[u8]) {
    struct Every(Format);
    impl Formats for Every {
        fn format(&self, _category: &str, _name: &str) -> Option<Format> {
            Some(self.0.clone())
        }
    }
    let Ok(format) = Format::parse(&String::from_utf8_lossy(bytes)) else { return };
    assert!(format.fields.iter().all(|field| format.field(&field.name).is_some()), "{format:?}");
    let header = NO_TYPES.iter().flat_map(|word| word.to_le_bytes()).collect();
    let Ok(btf) = Btf::parse(header) else { return };
    let _ = params(&btf, &Every(format), MACHINE, Switches::zeroed());
}

/// Where memory is accounted: mounts, memberships and controllers, parted by NUL.
pub(crate) fn mounts(bytes: &[u8]) {
    let mut parts = bytes.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    let mounts = parse_mountinfo(&parts.next().unwrap_or_default());
    let memberships = parse_memberships(&parts.next().unwrap_or_default());
    let controllers = parts.next();
    let own = parts.next().unwrap_or_default();
    let find = |point: &Path| Some(point.join(own.trim_start_matches('/')));
    let facts = cgroup_facts(&mounts, &memberships, controllers.as_deref(), &find);
    let point = |path: &Path| mounts.iter().any(|mount| path.starts_with(&mount.point));
    assert!(facts.memory_directory(&memberships).is_none_or(|path| point(&path)), "{facts:?}");
    for mount in &mounts {
        let _ = facts.inside(&mount.point.join("a/b"));
    }
}
