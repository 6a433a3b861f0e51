//! The heap by size class, and what each P holds, within 100 columns.
use super::units::{count, percent, size};
use crate::goruntime::mheap::Allocator;
use std::io::{self, Write};

pub(super) fn write_allocator(out: &mut dyn Write, allocator: &Allocator) -> io::Result<()> {
    writeln!(
        out,
        "\n{:>8} {:>8} {:>9} {:>9} {:>9} {:>8} {:>9} {:>9} {:>8}",
        "SLOT", "SPANS", "SIZE", "OBJECTS", "SLOTS", "USED", "FREE", "TAIL", "UNSWEPT"
    )?;
    for (index, class) in allocator.classes.0.iter().enumerate().filter(|(_, class)| class.spans > 0) {
        let slot = if index == 0 { "large".to_owned() } else { class.elem_bytes.to_string() };
        let (spans, objects, slots) = (count(class.spans), count(class.objects), count(class.capacity));
        let used = class.occupancy().map_or("-".to_owned(), percent);
        let unswept = percent(class.unswept_spans as f64 / class.spans as f64);
        let (all, free, tail) = (size(class.span_bytes), size(class.free_bytes), size(class.tail_bytes));
        writeln!(
            out,
            "{slot:>8} {spans:>8} {all:>9} {objects:>9} {slots:>9} {used:>8} {free:>9} {tail:>9} {unswept:>8}"
        )?;
    }
    let mheap = &allocator.mheap;
    let (spans, dead) = (count(mheap.spans), count(allocator.dead_spans));
    writeln!(out, "spans {spans}, {dead} of them dead   arenas {}   sweepgen {}", mheap.arenas, mheap.sweepgen)?;
    let (swept, used) = (size(mheap.swept_bytes), size(mheap.in_use_bytes));
    writeln!(out, "swept {swept} of {used} in use   sweep debt {:.3} bytes per byte allocated", mheap.sweep_ratio)?;
    writeln!(
        out,
        "\n{:>5} {:>6} {:>9} {:>11} {:>10} {:>7} {:>11} {:>11} {:>10}",
        "P", "SPANS", "SIZE", "FREE SLOTS", "UNFLUSHED", "TINY", "FREE STACKS", "FREE PAGES", "RELEASED"
    )?;
    for cache in &allocator.p_caches {
        writeln!(
            out,
            "{:>5} {:>6} {:>9} {:>11} {:>10} {:>7} {:>11} {:>11} {:>10}",
            cache.id,
            cache.spans,
            size(cache.span_bytes),
            size(cache.free_bytes),
            size(cache.unflushed_bytes),
            count(cache.tiny_allocs),
            size(cache.stack_bytes),
            size(cache.page_bytes),
            size(cache.page_released_bytes)
        )?;
    }
    Ok(())
}
