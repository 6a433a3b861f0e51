//! What a system's first process does before and after everything else.
use std::ffi::{CStr, CString};
use std::os::fd::AsRawFd as _;
use std::path::Path;

/// Type, place: the order matters, one lies in another.
const MOUNTS: &[(&CStr, &str)] = &[
    (c"proc", "/proc"),
    (c"sysfs", "/sys"),
    (c"devtmpfs", "/dev"),
    (c"tmpfs", "/tmp"),
    (c"ramfs", "/cache"),
    (c"tracefs", "/sys/kernel/tracing"),
    (c"cgroup2", "/sys/fs/cgroup"),
    (c"bpf", "/sys/fs/bpf"),
];

/// Whether this boot is for the tests of cgroups of version 1: memory goes from one version to the other only when the last
/// of its cgroups has gone, which takes the kernel its time.
pub(crate) fn by_version_1() -> bool {
    std::env::var("VM_CGROUPS").is_ok_and(|version| version == "1")
}

const CONTROL: &str = "/sys/fs/cgroup/cgroup.subtree_control";

pub(crate) fn mount() {
    for (kind, place) in MOUNTS {
        let result = mount_one(kind, place, c"");
        // The kernel itself may have mounted /dev.
        assert!(matches!(result, Ok(()) | Err(libc::EBUSY)), "cannot mount {place}: {result:?}");
    }
    loopback();
    if by_version_1() {
        assert_eq!(account_by_version_1(), Ok(()), "memory is accounted by cgroup v1");
    } else {
        std::fs::write(CONTROL, "+memory").expect("memory is accounted by cgroup v2");
    }
}

/// Brings up the interface that TCP reaches this machine itself by; the kernel gives it its address.
fn loopback() {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").expect("a socket");
    // SAFETY: a structure of integers and a pointer; zero is a value of all of them.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name.iter_mut().zip(c"lo".to_bytes()).for_each(|(to, from)| *to = *from as _);
    request.ifr_ifru.ifru_flags = libc::IFF_UP as _;
    // SAFETY: the request outlives the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw mut request) };
    assert_eq!(result, 0, "lo: {}", std::io::Error::last_os_error());
}

/// Or the errno.
fn mount_one(kind: &CStr, place: &str, options: &CStr) -> Result<(), i32> {
    if !Path::new(place).exists() {
        std::fs::create_dir(place).unwrap_or_else(|error| panic!("{place}: {error}"));
    }
    let place = CString::new(place).expect("no NUL");
    // SAFETY: all four are strings that end in NUL.
    let result = unsafe { libc::mount(kind.as_ptr(), place.as_ptr(), kind.as_ptr(), 0, options.as_ptr().cast()) };
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error().raw_os_error().unwrap_or(0)) }
}

/// Makes version 1 account memory, as long as version 2 does not; or the errno, EBUSY when it does.
pub(crate) fn account_by_version_1() -> Result<(), i32> {
    // Where `memtrace_tests::MemoryCgroup` looks for it.
    mount_one(c"cgroup", "/sys/fs/cgroup/memory", c"memory")
}

pub(crate) fn power_off() -> ! {
    // SAFETY: ends this machine; nothing is to be kept.
    unsafe { libc::reboot(libc::RB_POWER_OFF) };
    panic!("cannot power off: {}", std::io::Error::last_os_error());
}
