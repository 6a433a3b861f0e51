//! From what the members have resident to what the cgroup is charged: rows that sum up, and what is left over. Pure.
use super::Account;
use crate::procfs::frames::HeldPages;

/// Pages that each CPU may have charged ahead, and again as many not yet in memory.stat (MEMCG_CHARGE_BATCH of
/// include/linux/memcontrol.h: 64, before 5.16 32).
const BATCH_PAGES: u64 = 64;
/// THREAD_SIZE of x86-64 and arm64.
const KERNEL_STACK_BYTES: u64 = 16 << 10;

/// The sums over all processes of a cgroup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    pub rss_anon_bytes: u64,
    pub rss_file_bytes: u64,
    pub rss_shmem_bytes: u64,
    pub page_tables_bytes: u64,
    pub threads: u64,
    /// Whom their frames are charged to; `None`: this user may not see it.
    pub held: Option<HeldPages>,
    /// RSS of those that this user may not look into: their frames are not in `held`.
    pub unseen_rss_bytes: u64,
}

impl Members {
    pub fn rss_bytes(&self) -> u64 {
        self.rss_anon_bytes.saturating_add(self.rss_file_bytes).saturating_add(self.rss_shmem_bytes)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// In JSON.
    pub name: &'static str,
    /// In text.
    pub title: &'static str,
    pub bytes: i64,
    pub evidence: &'static str,
}

/// The rows and the residual sum to the charge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reconciliation {
    pub charge_bytes: u64,
    pub rows: Vec<Row>,
    pub residual_bytes: i64,
    /// The residual may be so large because the kernel counts per CPU.
    pub lag_bytes: u64,
}

impl Reconciliation {
    /// `None`: this kernel does not say what the charge consists of.
    pub fn of(account: &Account, members: &Members, page_bytes: u64, cpus: u64) -> Option<Reconciliation> {
        let charge_bytes = account.charge_bytes?;
        let (anon, cache) = (account.anon_bytes?, account.file_bytes?);
        let shmem = account.shmem_bytes.unwrap_or(0);
        let mut rows = vec![row(
            "rss",
            "RSS of the members",
            signed(members.rss_bytes()),
            "the sum of RssAnon, RssFile and RssShmem of /proc/PID/status",
        )];
        match &members.held {
            Some(held) => {
                let unseen = -signed(members.unseen_rss_bytes);
                rows.push(row(
                    "unseen",
                    "in members not looked into",
                    unseen,
                    "their frames are not shown to this user",
                ));
                by_frames(&mut rows, held, [anon, cache.saturating_sub(shmem), shmem], page_bytes);
            }
            None => by_sums(&mut rows, members, [anon, cache.saturating_sub(shmem), shmem]),
        }
        let lists = [
            account.inactive_anon_bytes,
            account.active_anon_bytes,
            account.inactive_file_bytes,
            account.active_file_bytes,
            account.unevictable_bytes,
        ];
        if let Some(lists) = lists.into_iter().sum::<Option<u64>>() {
            let parts = lists.saturating_sub(anon.saturating_add(cache));
            rows.push(row("huge_page_parts", "given-back parts of huge pages, swap cache", signed(parts), LISTS));
        }
        // Of the root version 1 gives the sum of the lists, without what is the kernel's.
        if !account.is_root {
            kernel(&mut rows, account, members);
        }
        if let Some(bytes) = account.sock_bytes.filter(|_| account.version == 2) {
            rows.push(row("sock", "sockets", signed(bytes), "memory.stat sock"));
        }
        if let Some(bytes) = account.hugetlb_bytes {
            rows.push(row("hugetlb", "hugetlbfs", signed(bytes), "memory.stat hugetlb"));
        }
        let sum = rows.iter().fold(0i64, |sum, row| sum.saturating_add(row.bytes));
        Some(Reconciliation {
            charge_bytes,
            rows,
            residual_bytes: signed(charge_bytes).saturating_sub(sum),
            lag_bytes: 2 * BATCH_PAGES * page_bytes * cpus,
        })
    }

    /// Of the charge.
    pub fn residual_ratio(&self) -> Option<f64> {
        (self.charge_bytes > 0).then(|| self.residual_bytes.unsigned_abs() as f64 / self.charge_bytes as f64)
    }
}

const LISTS: &str = "pages on the lists of reclaim beyond those mapped as anonymous or in the page cache: a huge page stays \
    whole until the kernel splits it; not below 0";
const NO_MEMBER: &str =
    "charged here by memory.stat, less the frames of members charged here: of processes that moved away or are ending";
const NET: &str = "memory.stat less what /proc/PID/status says of the members: net of what is shared, charged elsewhere, \
    or held by nobody (frames are not shown to this user)";

/// Frame by frame.
fn by_frames(rows: &mut Vec<Row>, held: &HeldPages, [anon, file, shmem]: [u64; 3], page_bytes: u64) {
    let bytes = |pages: u64| signed(pages.saturating_mul(page_bytes));
    let less = |charged: u64, here: u64| signed(charged).saturating_sub(bytes(here));
    rows.extend([
        row(
            "shared",
            "counted in several members",
            -bytes(held.repeated()),
            "frames that more than one member (or mapping) has, from /proc/PID/pagemap",
        ),
        row(
            "charged_elsewhere",
            "in members, charged to other cgroups",
            -bytes(held.sum(|of| of.elsewhere)),
            "/proc/kpagecgroup: files that others read first, memory from before a process moved here",
        ),
        row(
            "uncharged",
            "in members, charged to nobody",
            -bytes(held.sum(|of| of.uncharged)),
            "/proc/kpagecgroup: the kernel's own, files read before there were cgroups",
        ),
        row("anon_of_no_member", "anonymous, in no member", less(anon, held.anon.here), NO_MEMBER),
        row(
            "page_cache",
            "page cache, in no member",
            less(file, held.file.here),
            "memory.stat, less the file frames of members charged here",
        ),
        row(
            "shmem",
            "tmpfs and shared memory, in no member",
            less(shmem, held.shmem.here),
            "memory.stat, less the shmem frames of members charged here",
        ),
    ]);
}

/// Without the right to see frames.
fn by_sums(rows: &mut Vec<Row>, members: &Members, [anon, file, shmem]: [u64; 3]) {
    let less = |charged: u64, held: u64| signed(charged).saturating_sub(signed(held));
    rows.extend([
        row("anon_net", "anonymous, net", less(anon, members.rss_anon_bytes), NET),
        row("page_cache_net", "page cache, net", less(file, members.rss_file_bytes), NET),
        row("shmem_net", "tmpfs and shared memory, net", less(shmem, members.rss_shmem_bytes), NET),
    ]);
}

/// By its parts; what version 1 does not say is estimated from the members, within the sum that it does say.
fn kernel(rows: &mut Vec<Row>, account: &Account, members: &Members) {
    const PTE: &str = "estimate: VmPTE of the members";
    const STACKS: &str = "estimate: 16 KiB for each thread of the members";
    let stacks = members.threads.saturating_mul(KERNEL_STACK_BYTES);
    let estimates = members.page_tables_bytes.saturating_add(stacks);
    let fits = account.kernel_bytes.is_none_or(|kernel| estimates <= kernel);
    let or_estimate = |said: Option<u64>, estimate: u64, how| match said {
        Some(bytes) => Some((bytes, "memory.stat")),
        None => fits.then_some((estimate, how)),
    };
    let said = |bytes: Option<u64>| bytes.map(|bytes| (bytes, "memory.stat"));
    let parts = [
        ("page_tables", "page tables", or_estimate(account.page_tables_bytes, members.page_tables_bytes, PTE)),
        ("kernel_stacks", "kernel stacks", or_estimate(account.kernel_stack_bytes, stacks, STACKS)),
        ("slab_reclaimable", "slab, reclaimable", said(account.slab_reclaimable_bytes)),
        ("slab_unreclaimable", "slab, not reclaimable", said(account.slab_unreclaimable_bytes)),
        ("percpu", "per-CPU data", said(account.percpu_bytes)),
    ];
    let mut sum = 0i64;
    for (name, title, part) in parts {
        let Some((bytes, evidence)) = part else { continue };
        sum = sum.saturating_add(signed(bytes));
        rows.push(row(name, title, signed(bytes), evidence));
    }
    if let Some(kernel) = account.kernel_bytes {
        let rest = signed(kernel).saturating_sub(sum);
        rows.push(row("kernel_rest", "kernel, the rest", rest, "the kernel's sum, less the rows above"));
    }
}

fn row(name: &'static str, title: &'static str, bytes: i64, evidence: &'static str) -> Row {
    Row { name, title, bytes, evidence }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::procfs::frames::Charged;

    const PAGE: u64 = 4096;

    fn account() -> Account {
        Account {
            version: 1,
            charge_bytes: Some(1000 * PAGE),
            anon_bytes: Some(500 * PAGE),
            file_bytes: Some(400 * PAGE),
            shmem_bytes: Some(100 * PAGE),
            kernel_bytes: Some(60 * PAGE),
            ..Account::default()
        }
    }

    fn bytes(of: &Reconciliation, name: &str) -> Option<i64> {
        of.rows.iter().find(|row| row.name == name).map(|row| row.bytes)
    }

    fn assert_sum(of: &Reconciliation) {
        let sum: i64 = of.rows.iter().map(|row| row.bytes).sum();
        assert_eq!(u64::try_from(sum + of.residual_bytes), Ok(of.charge_bytes));
    }

    #[test]
    fn frames_tell_what_is_shared_elsewhere_and_nobodys() {
        let held = HeldPages {
            mapped: 620,
            anon: Charged { here: 480, elsewhere: 5, uncharged: 0 },
            file: Charged { here: 50, elsewhere: 30, uncharged: 2 },
            shmem: Charged { here: 40, elsewhere: 0, uncharged: 0 },
        };
        let members = Members {
            rss_anon_bytes: 490 * PAGE,
            rss_file_bytes: 90 * PAGE,
            rss_shmem_bytes: 40 * PAGE,
            page_tables_bytes: 10 * PAGE,
            threads: 5,
            held: Some(held),
            unseen_rss_bytes: 0,
        };
        let of = Reconciliation::of(&account(), &members, PAGE, 2).unwrap();
        assert_sum(&of);
        let pages = |name| bytes(&of, name).map(|bytes| bytes / PAGE as i64);
        assert_eq!((pages("rss"), pages("shared"), pages("charged_elsewhere")), (Some(620), Some(-13), Some(-35)));
        assert_eq!((pages("uncharged"), pages("anon_of_no_member")), (Some(-2), Some(20)));
        assert_eq!((pages("page_cache"), pages("shmem")), (Some(250), Some(60)));
        assert_eq!(
            (pages("page_tables"), pages("kernel_stacks"), pages("kernel_rest")),
            (Some(10), Some(20), Some(30))
        );
        assert_eq!((of.residual_bytes / PAGE as i64, of.residual_ratio()), (40, Some(0.04)));
        assert_eq!((of.lag_bytes, pages("sock"), pages("huge_page_parts")), (256 * PAGE, None, None));
    }

    #[test]
    fn members_that_may_not_be_looked_into_and_the_root_are_no_residual() {
        let members = Members {
            rss_anon_bytes: 500 * PAGE,
            held: Some(HeldPages::default()),
            unseen_rss_bytes: 500 * PAGE,
            ..Members::default()
        };
        let account = Account { is_root: true, charge_bytes: Some(900 * PAGE), ..account() };
        let of = Reconciliation::of(&account, &members, PAGE, 2).unwrap();
        assert_eq!(
            (bytes(&of, "unseen"), bytes(&of, "anon_of_no_member")),
            (Some(-500 * PAGE as i64), Some(500 * PAGE as i64))
        );
        assert_eq!((bytes(&of, "kernel_rest"), of.residual_bytes), (None, 0));
    }

    #[test]
    fn without_frames_the_differences_are_net_and_still_sum() {
        let members = Members { rss_anon_bytes: 600 * PAGE, threads: 1000, ..Members::default() };
        let lists = Some(200 * PAGE);
        let account = Account {
            inactive_anon_bytes: lists,
            active_anon_bytes: lists,
            inactive_file_bytes: lists,
            active_file_bytes: lists,
            unevictable_bytes: Some(110 * PAGE),
            ..account()
        };
        let of = Reconciliation::of(&account, &members, PAGE, 2).unwrap();
        assert_sum(&of);
        assert_eq!(bytes(&of, "anon_net"), Some(-100 * PAGE as i64));
        assert_eq!(bytes(&of, "huge_page_parts"), Some(10 * PAGE as i64));
        assert_eq!(bytes(&of, "kernel_stacks"), None, "an estimate beyond the sum is none");
        assert_eq!(bytes(&of, "kernel_rest"), Some(60 * PAGE as i64));
    }

    #[test]
    fn version_2_says_more_and_an_old_one_less() {
        let account = Account {
            version: 2,
            kernel_bytes: None,
            slab_reclaimable_bytes: Some(7),
            kernel_stack_bytes: Some(8),
            sock_bytes: Some(9),
            ..account()
        };
        let of = Reconciliation::of(&account, &Members::default(), PAGE, 2).unwrap();
        assert_sum(&of);
        assert_eq!((bytes(&of, "slab_reclaimable"), bytes(&of, "kernel_stacks")), (Some(7), Some(8)));
        assert_eq!((bytes(&of, "sock"), bytes(&of, "kernel_rest")), (Some(9), None));
        assert_eq!(Reconciliation::of(&Account::default(), &Members::default(), PAGE, 2), None);
    }
}
