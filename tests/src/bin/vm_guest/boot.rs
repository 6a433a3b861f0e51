//! What a system's first process does before and after everything else.
use std::ffi::{CStr, CString};
use std::path::Path;

/// Type, place: the order matters, one lies in another.
const MOUNTS: &[(&CStr, &str)] = &[
    (c"proc", "/proc"),
    (c"sysfs", "/sys"),
    (c"devtmpfs", "/dev"),
    (c"tmpfs", "/tmp"),
    (c"tracefs", "/sys/kernel/tracing"),
    (c"cgroup2", "/sys/fs/cgroup"),
    (c"bpf", "/sys/fs/bpf"),
];

pub(crate) fn mount() {
    for (kind, place) in MOUNTS {
        if !Path::new(place).exists() {
            std::fs::create_dir(place).unwrap_or_else(|error| panic!("{place}: {error}"));
        }
        let place = CString::new(*place).expect("no NUL");
        let nothing = std::ptr::null();
        // SAFETY: all three are strings that end in NUL; no data is given.
        let result = unsafe { libc::mount(kind.as_ptr(), place.as_ptr(), kind.as_ptr(), 0, nothing) };
        let error = std::io::Error::last_os_error();
        // The kernel itself may have mounted /dev.
        assert!(result == 0 || error.raw_os_error() == Some(libc::EBUSY), "cannot mount {place:?}: {error}");
    }
    std::fs::write("/sys/fs/cgroup/cgroup.subtree_control", "+memory").expect("memory is accounted by cgroup v2");
}

pub(crate) fn power_off() -> ! {
    // SAFETY: ends this machine; nothing is to be kept.
    unsafe { libc::reboot(libc::RB_POWER_OFF) };
    panic!("cannot power off: {}", std::io::Error::last_os_error());
}
