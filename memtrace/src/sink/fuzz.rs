//! What the fuzz target calls: any bytes as an earlier profile.
use super::pprof::{read_pprof, write_pprof};

/// What is read is written so that it reads the same.
pub(crate) fn pprof(bytes: &[u8]) {
    let Ok(profile) = read_pprof(bytes) else { return };
    let unchanged = profile.since(&profile).is_ok_and(|changed| changed.samples.is_empty());
    assert!(unchanged, "{profile:?}");
    let mut written = Vec::new();
    let outcome = write_pprof(&mut written, &profile, "/bin/x", 0).and_then(|()| read_pprof(written.as_slice()));
    assert!(outcome.is_ok(), "{outcome:?}");
}
