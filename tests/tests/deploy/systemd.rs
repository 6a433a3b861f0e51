//! The unit, by systemd's own reader, and the rights that it leaves.
use crate::{done, read, root, said};
use std::process::Command;

const UNIT: &str = "deploy/systemd/memtrace.service";

/// Every value of a key, in its order.
fn values(key: &str) -> Vec<String> {
    let unit = read(UNIT);
    let lines = unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    lines.map(str::to_owned).collect()
}

/// Of the capabilities, as `setpriv` takes them.
pub(crate) fn capabilities() -> Vec<String> {
    let [bounding] = values("CapabilityBoundingSet").try_into().expect("one line");
    bounding.split(' ').map(|name| name.strip_prefix("CAP_").expect("a capability").to_lowercase()).collect()
}

#[test]
fn systemd_takes_it_and_calls_it_guarded() {
    // The only thing that is wrong with it here: nobody has installed the program.
    let (_, text) = said(Command::new("systemd-analyze").args(["verify", "--man=no", UNIT]), "");
    let wrong: Vec<_> =
        text.lines().filter(|line| !line.contains("/usr/local/bin/memtrace is not executable")).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    let mut security = Command::new("systemd-analyze");
    security.args(["security", "--offline=true", "--no-pager", "--threshold=33"]).arg(root().join(UNIT));
    let text = done(&mut security, "");
    assert!(text.contains("Overall exposure level for memtrace.service: 3."), "{text}");
}

#[test]
fn it_has_these_rights_and_no_others() {
    assert_eq!(
        capabilities(),
        ["bpf", "perfmon", "sys_ptrace", "dac_read_search", "syslog", "sys_resource"],
        "docs/operations.md names them"
    );
    assert_eq!(values("AmbientCapabilities"), [""]);
    for (key, value) in [
        ("NoNewPrivileges", "yes"),
        ("ProtectSystem", "strict"),
        ("StateDirectory", "memtrace"),
        ("ProtectKernelModules", "yes"),
        ("MemoryDenyWriteExecute", "yes"),
        ("IPAddressDeny", "any"),
        ("DeviceAllow", "/dev/kmsg r"),
    ] {
        assert_eq!(values(key), [value], "{key}");
    }
    // Capabilities inside a user namespace do not count for BPF, and those of root would be taken at the start.
    for absent in ["PrivateUsers", "SecureBits", "User", "DynamicUser"] {
        assert_eq!(values(absent), [""; 0], "{absent}");
    }
}
