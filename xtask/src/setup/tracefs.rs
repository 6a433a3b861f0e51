//! Tracefs: mounted when we may, else said in one line. Building does not need it, tracing does.

use std::path::Path;
use std::process::Command;

use crate::{paths, proc};

const MOUNT_POINT: &str = "/sys/kernel/tracing";

pub(super) fn ensure() {
    if Path::new(MOUNT_POINT).join("events").is_dir() {
        return;
    }
    if !paths::is_root() {
        eprintln!("tracefs: not mounted or not readable here; as root: mount -t tracefs nodev {MOUNT_POINT}");
        return;
    }
    match proc::capture(Command::new("mount").args(["-t", "tracefs", "nodev", MOUNT_POINT])) {
        Ok(_) => eprintln!("tracefs: mounted on {MOUNT_POINT}"),
        Err(error) => eprintln!("tracefs: cannot be mounted on {MOUNT_POINT}: {error:#}"),
    }
}
