//! A cgroup that is charged for known things of every kind.
use crate::{MemoryCgroup, Memtrace, Truth, truth_binary, wait_until};
use serde_json::Value;
use std::fs;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

const MIB: u64 = 1 << 20;
/// More than one allocation of an allocator's own.
const LEFT_BYTES: u64 = 36 * MIB;
const GO_BYTES: u64 = 64 * MIB;
const FILE_BYTES: u64 = 32 * MIB;
const SHMEM_BYTES: u64 = 24 * MIB;
const SOCKETS: usize = 16;
const CHARGED_LIMIT: u64 = 400 * MIB;
/// What the issue allows of the charge.
const RESIDUAL_RATIO: f64 = 0.03;

/// A Go program; page cache and tmpfs that nobody maps; sockets full of data; and memory of a process that has left.
#[derive(Debug)]
pub struct Charged {
    pub truth: Truth,
    _files: [Removed; 2],
    _sockets: Vec<TcpStream>,
    _pairs: Vec<(UnixStream, UnixStream)>,
    /// Bytes in the buffers of the Unix sockets, which every version charges as the kernel's.
    sent_bytes: u64,
    left: Vec<u8>,
    pub group: MemoryCgroup,
    /// The one with the limit.
    pub above: MemoryCgroup,
}

/// A file that goes with its test.
#[derive(Debug)]
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl Charged {
    /// `cache`, `tmpfs`: directories, of a file system with a page cache and of a tmpfs.
    #[track_caller]
    pub fn new(name: &str, cache: &Path, tmpfs: &Path) -> Self {
        let above = MemoryCgroup::new(name, CHARGED_LIMIT);
        let group = above.below("inner");
        let mut truth = Truth::start(&truth_binary(), &[("GOGC", "off")]);
        group.add(truth.pid());
        truth.run(&format!("alloc {}", GO_BYTES / MIB));
        let file = format!("memtrace-charged-{}-{name}", std::process::id());
        let (files, sockets, (pairs, sent_bytes), left) = group.inside(|| {
            let files = [written(cache.join(&file), FILE_BYTES), written(tmpfs.join(&file), SHMEM_BYTES)];
            (files, connections(), pairs(), vec![1; LEFT_BYTES as usize])
        });
        Self { truth, _files: files, _sockets: sockets, _pairs: pairs, sent_bytes, left, group, above }
    }

    pub fn look(&self) -> Value {
        Memtrace::json(&["cgroup", "-c", self.group.path().to_str().expect("UTF-8")])
    }

    /// Every kind is told, by its size, and what is left over is small; returns what was told.
    #[track_caller]
    pub fn assert_reconciled(&self) -> Value {
        assert_eq!(self.left.len() as u64, LEFT_BYTES);
        // The kernel brings its sums up to date within seconds; before 5.15 each CPU keeps a rest to itself.
        let told = wait_until("tmpfs to be told", || {
            let told = self.look();
            let shmem = told["cgroup"]["shmem_bytes"].as_u64().expect("shmem");
            let lag = told["reconciliation"]["lag_bytes"].as_u64().expect("a bound");
            (shmem.abs_diff(SHMEM_BYTES) <= lag).then_some(told)
        });
        let of = &told["reconciliation"];
        let rows = of["rows"].as_array().expect("rows");
        let sum: i64 = rows.iter().map(|row| row["bytes"].as_i64().expect("bytes")).sum();
        assert_eq!(
            told["cgroup"]["charge_bytes"],
            sum + of["residual_bytes"].as_i64().expect("a residual"),
            "{told:#}"
        );
        let ratio = of["residual_ratio"].as_f64().expect("a ratio");
        assert!(of["by"] == "frames" && ratio <= RESIDUAL_RATIO, "{ratio} of the charge is left over: {of:#}");
        let slack = of["lag_bytes"].as_u64().expect("a bound") + MIB;
        let said = |name: &str| rows.iter().find(|row| row["name"] == name)?["bytes"].as_i64();
        let bytes = |name: &str| said(name).unwrap_or_else(|| panic!("no {name} in {of:#}"));
        for (name, known) in [("anon_of_no_member", LEFT_BYTES), ("page_cache", FILE_BYTES), ("shmem", SHMEM_BYTES)] {
            assert!(bytes(name).abs_diff(known as i64) <= slack, "{name} should be {known}: {of:#}");
        }
        let sent = self.sent_bytes as i64;
        if self.group.is_version_1() {
            assert!(bytes("kernel_rest") >= sent, "{sent} bytes are in Unix sockets: {of:#}");
            assert!(told["cgroup"]["sock_bytes"].is_null(), "nothing limits TCP, so nothing counts it: {told:#}");
        } else {
            assert!(bytes("sock") >= MIB as i64, "{of:#}");
            // Before 5.18 the kernel's sum is not said, and of what is no slab nothing.
            let rest = said("kernel_rest").map(|rest| rest + bytes("slab_unreclaimable"));
            assert!(rest.is_none_or(|rest| rest >= sent), "{sent} bytes are in Unix sockets: {of:#}");
        }
        told
    }
}

fn written(path: PathBuf, bytes: u64) -> Removed {
    let mut file = fs::File::create(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let removed = Removed(path);
    (0..bytes / MIB).for_each(|_| file.write_all(&[1; MIB as usize]).expect("room"));
    // Clean: else the kernel writes it back while it is counted.
    file.sync_all().expect("written");
    removed
}

/// Of TCP, each end with as much as it takes to send.
fn connections() -> Vec<TcpStream> {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let address = listener.local_addr().expect("an address");
    let connect = |_| {
        let sender = TcpStream::connect(address).expect("a connection");
        sender.set_nonblocking(true).expect("a socket");
        filled(&sender);
        [sender, listener.accept().expect("the other end").0]
    };
    (0..SOCKETS).flat_map(connect).collect()
}

/// Unix sockets, and how much is in them.
fn pairs() -> (Vec<(UnixStream, UnixStream)>, u64) {
    let pair = |_| {
        let (sender, receiver) = UnixStream::pair().expect("a pair");
        sender.set_nonblocking(true).expect("a socket");
        let sent = filled(&sender);
        ((sender, receiver), sent)
    };
    let (pairs, sent): (Vec<_>, Vec<u64>) = (0..SOCKETS).map(pair).unzip();
    (pairs, sent.iter().sum())
}

/// Until it would block.
fn filled(mut socket: impl std::io::Write) -> u64 {
    let mut sent = 0;
    while let Ok(more) = socket.write(&[1; 16 << 10]) {
        sent += more as u64;
    }
    assert!(sent > 0, "nothing could be sent");
    sent
}
