//! What the fuzz target calls: any bytes as arguments, parted by NUL, as far as the configuration they mean.
use super::{Cli, Verb};
use crate::config::{Session, Targets};
use crate::error::Error;
use clap::Parser as _;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

pub(crate) fn arguments(bytes: &[u8]) {
    let typed = bytes.split(|byte| *byte == 0).map(OsStr::from_bytes);
    let verb = match Cli::try_parse_from([OsStr::new("memtrace")].into_iter().chain(typed)) {
        Ok(cli) => cli.verb,
        Err(refused) => {
            assert!(!refused.to_string().trim().is_empty(), "a reason");
            return assert!(matches!(refused.exit_code(), 0 | 2), "usage, or what --help asks for");
        }
    };
    let session = match verb {
        Verb::Stat(stat) => stat.config().map(|stat| {
            assert!(stat.interval.is_none_or(|interval| !interval.is_zero()));
            stat.session
        }),
        Verb::Trace(trace) => trace.config().map(|trace| {
            assert_ne!(trace.families, 0);
            trace.session
        }),
        _ => return,
    };
    match session {
        Ok(session) => check(&session),
        Err(Error::Usage(reason)) => assert!(!reason.trim().is_empty(), "a reason"),
        Err(other) => panic!("no question of usage: {other}"),
    }
}

/// What everybody behind relies on.
fn check(session: &Session) {
    let sizes = &session.sizes;
    assert!(sizes.ring_bytes.is_power_of_two() && sizes.targets > 0 && sizes.chunks > 0, "{sizes:?}");
    assert!(session.duration.is_none_or(|duration| !duration.is_zero()));
    match &session.targets {
        Targets::Pids(pids) => assert!(!pids.is_empty()),
        Targets::Command(command) => assert!(!command.is_empty()),
        Targets::Comm(glob) | Targets::Exe(glob) => drop(glob.is_match("/usr/bin/app")),
        Targets::Cgroup(_) | Targets::AllGo => {}
    }
}
