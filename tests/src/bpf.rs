//! The eBPF programs and maps of a process, seen from outside by their ids.
use std::fs;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

const BPF_MAP_GET_NEXT_KEY: i32 = 4;
const BPF_PROG_GET_NEXT_ID: i32 = 11;
const BPF_MAP_GET_NEXT_ID: i32 = 12;
const BPF_MAP_GET_FD_BY_ID: i32 = 14;
const BPF_OBJ_GET_INFO_BY_FD: i32 = 15;
const BPF_LINK_GET_NEXT_ID: i32 = 31;
/// The largest key that is looked at.
const KEY_BYTES: usize = 64;

/// What a process holds.
#[derive(Debug)]
pub struct BpfObjects {
    pub programs: Vec<u32>,
    maps: Vec<Map>,
    links: Vec<u32>,
}

#[derive(Debug)]
struct Map {
    id: u32,
    name: String,
    fd: OwnedFd,
}

/// bpf(2) with the fields of `union bpf_attr` as 32-bit words.
fn bpf<const WORDS: usize>(command: i32, attr: &mut [u32; WORDS]) -> Result<i64, i32> {
    // SAFETY: the kernel reads and writes only the bytes given, and what they point to lives through the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attr.as_mut_ptr(), size_of_val(attr)) };
    if result >= 0 { Ok(result) } else { Err(std::io::Error::last_os_error().raw_os_error().unwrap_or(0)) }
}

fn low(pointer: usize) -> u32 {
    (pointer & 0xffff_ffff) as u32
}

fn high(pointer: usize) -> u32 {
    (pointer >> 32) as u32
}

/// Ids of all eBPF programs in this kernel.
pub fn bpf_programs() -> Vec<u32> {
    ids(BPF_PROG_GET_NEXT_ID)
}

/// Ids of all eBPF programs, maps and links in this kernel.
pub fn bpf_objects() -> [Vec<u32>; 3] {
    [BPF_PROG_GET_NEXT_ID, BPF_MAP_GET_NEXT_ID, BPF_LINK_GET_NEXT_ID].map(ids)
}

/// Ids of all objects of a kind in this kernel.
fn ids(next_id: i32) -> Vec<u32> {
    let mut ids = Vec::new();
    let mut attr = [0_u32; 3];
    loop {
        match bpf(next_id, &mut attr) {
            Ok(_) => ids.push(attr[1]),
            Err(libc::ENOENT) => return ids,
            Err(errno) => panic!("cannot list eBPF objects ({next_id}): errno {errno}"),
        }
        attr[0] = attr[1];
    }
}

impl BpfObjects {
    /// By the file descriptors the process has open. Our own hold the maps, not the programs.
    #[track_caller]
    pub fn of(pid: u32) -> Self {
        let mut found = Self { programs: Vec::new(), maps: Vec::new(), links: Vec::new() };
        let dir = format!("/proc/{pid}/fdinfo");
        for entry in fs::read_dir(&dir).unwrap_or_else(|error| panic!("{dir}: {error}")).flatten() {
            // A file closed meanwhile is no file of interest.
            let text = fs::read_to_string(entry.path()).unwrap_or_default();
            let id = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u32>().ok());
            // A link names its program too.
            match (id("link_id:"), id("prog_id:")) {
                (Some(id), _) => found.links.push(id),
                (None, Some(id)) => found.programs.push(id),
                (None, None) => {}
            }
            if let Some(id) = id("map_id:") {
                found.maps.push(Map::open(id));
            }
        }
        found
    }

    /// How many keys the map of this name has.
    #[track_caller]
    pub fn entries(&self, name: &str) -> usize {
        let map = self.maps.iter().find(|map| map.name == name);
        map.unwrap_or_else(|| panic!("no map {name} among {:?}", self.maps)).entries()
    }

    /// Waits until the kernel holds none of them any more: it frees them a grace period after their last user has gone.
    /// A perf event is such a user.
    #[track_caller]
    pub fn wait_gone(self) {
        let Self { programs, maps, links } = self;
        let maps: Vec<u32> = maps.into_iter().map(|map| map.id).collect();
        assert!(!programs.is_empty() && !maps.is_empty(), "{programs:?} {maps:?}");
        let all = [(BPF_PROG_GET_NEXT_ID, programs), (BPF_MAP_GET_NEXT_ID, maps), (BPF_LINK_GET_NEXT_ID, links)];
        crate::wait_until("the end of all programs, maps and links", || {
            let gone = |(next_id, ours): &(i32, Vec<u32>)| ids(*next_id).iter().all(|id| !ours.contains(id));
            all.iter().all(gone).then_some(())
        });
    }
}

impl Map {
    fn open(id: u32) -> Self {
        let fd = bpf(BPF_MAP_GET_FD_BY_ID, &mut [id, 0, 0]).expect("a map");
        // SAFETY: a new descriptor of ours.
        let fd = unsafe { OwnedFd::from_raw_fd(fd as i32) };
        // `struct bpf_map_info`: type, id, key_size, value_size, max_entries, flags, name[16].
        let mut info = [0_u32; 10];
        let at = info.as_mut_ptr() as usize;
        let attr = &mut [fd.as_raw_fd() as u32, size_of_val(&info) as u32, low(at), high(at)];
        bpf(BPF_OBJ_GET_INFO_BY_FD, attr).expect("info of a map");
        let name: Vec<u8> =
            info[6..].iter().flat_map(|word| word.to_ne_bytes()).take_while(|byte| *byte != 0).collect();
        Self { name: String::from_utf8_lossy(&name).into_owned(), id, fd }
    }

    fn entries(&self) -> usize {
        let mut key = [0_u8; KEY_BYTES];
        let mut next = [0_u8; KEY_BYTES];
        let mut count = 0;
        let mut first = true;
        loop {
            let key_at = if first { 0 } else { key.as_ptr() as usize };
            let next_at = next.as_mut_ptr() as usize;
            let fd = self.fd.as_raw_fd() as u32;
            let attr = &mut [fd, 0, low(key_at), high(key_at), low(next_at), high(next_at)];
            match bpf(BPF_MAP_GET_NEXT_KEY, attr) {
                Ok(_) => count += 1,
                Err(libc::ENOENT) => return count,
                Err(errno) => panic!("cannot walk {}: errno {errno}", self.name),
            }
            key = next;
            first = false;
        }
    }
}
