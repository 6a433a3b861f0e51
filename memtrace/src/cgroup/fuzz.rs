//! What the fuzz target calls: any bytes as the files of a cgroup, and as its name.
use super::identity::Identity;
use super::reconcile::{Members, Reconciliation};
use super::{v1, v2};
use std::path::Path;

/// A file holds one number alone, or one line for each key: both are given, parted by NUL.
pub(crate) fn files(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (number, lines) = text.split_once('\0').unwrap_or((&text, &text));
    let files = |_: &Path, name: &str| {
        let has_keys = ["stat", "events", "control", "pressure"].iter().any(|end| name.ends_with(end));
        Some(if has_keys { lines } else { number }.to_owned())
    };
    for read in [v1::read, v2::read] {
        let account = read(Path::new("/m/a"), Path::new("/m"), &files);
        let of = Reconciliation::of(&account, &Members::default(), 4096, 2);
        assert!(of.is_none_or(|of| !of.rows.is_empty()), "{account:?}");
        assert!(account.nonreclaimable_bytes() <= account.charge_bytes, "{account:?}");
    }
    let identity = Identity::of(number);
    assert!(identity.container_id.is_none_or(|id| number.contains(&id) || number.contains(':')), "{number:?}");
}
