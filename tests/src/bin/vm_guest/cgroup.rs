//! The account of a cgroup of version 2.
use crate::{Test, test};
use memtrace_tests::Charged;
use std::path::Path;

pub(crate) fn tests() -> Vec<Test> {
    vec![test("what_a_cgroup_of_version_2_is_charged_for_is_told_and_little_is_left_over", || {
        // Nothing here has a disk: ramfs has a page cache and nothing behind it.
        let charged = Charged::new("reconciled", Path::new("/cache"), Path::new("/tmp"));
        let told = charged.assert_reconciled();
        assert_eq!(told["cgroup"]["version"], 2, "{told:#}");
        assert_eq!(told["cgroup"]["limit_path"].as_str(), charged.above.path().to_str(), "{told:#}");
        let of = &told["reconciliation"];
        crate::note(&format!(
            "of a cgroup's charge of {} bytes, {} are left over",
            told["cgroup"]["charge_bytes"], of["residual_bytes"]
        ));
    })]
}
