//! `--exact`: anonymous pages that go back to the page allocator while this thread is inside a traced call.
use crate::{ids, kread, maps, param};
use aya_ebpf::programs::RawTracePointContext;

const PAGE_MAPPING_ANON: u64 = 1;

/// Raw `mm_page_free(struct page *page, unsigned int order)`: fires for every page of every path (free_pages_prepare),
/// before `page->mapping` is cleared; page-table pages and file pages are told apart by it.
pub fn page_free(ctx: &RawTracePointContext) {
    let thread = ids::thread();
    let Some(slot) = maps::slot(thread) else { return };
    if slot.thread != thread || thread == 0 {
        return;
    }
    let (page, order): (u64, u64) = (ctx.arg(0), ctx.arg(1));
    let Some(mapping) = kread::field::<u64>(page, param!(mm.page_mapping)) else { return };
    if mapping & PAGE_MAPPING_ANON != 0 {
        slot.freed += 1 << (order & 15);
    }
}
