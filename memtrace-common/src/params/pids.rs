use bytemuck::{Pod, Zeroable};

/// How a task is called in memtrace's own pid namespace: `struct pid`, from BTF.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct PidOffsets {
    /// Inode number of memtrace's pid namespace; 0: the initial one, whose numbers are `task_struct.{tgid, pid}`.
    pub namespace: u32,
    pub group_leader: u32,
    pub thread_pid: u32,
    /// `pid.level`, `pid.numbers`: one `struct upid` for each namespace that a task is in, the outermost first.
    pub level: u32,
    pub numbers: u32,
    pub upid_size: u32,
    pub upid_nr: u32,
    pub upid_ns: u32,
    /// `pid_namespace.ns.inum`.
    pub ns_inum: u32,
}
