//! What the fuzz target calls: any bytes as what came out of the rings, through all of the processing.
use super::work::{Processing, Work};
use crate::account::ProgramAccount;
use crate::aggregate::{AggregateConfig, Aggregator};
use crate::config::Format;
use crate::decode::Decoder;
use crate::kernel::Proof;
use crate::sink::text::Style;
use crate::source::ring::{Batch, DrainCounts, Hopper};
use std::io;
use std::sync::Arc;

const STYLE: Style = Style { color: false };
const FEW: usize = 4;

/// The page size, then records, each behind its length of two bytes.
pub(crate) fn records(bytes: &[u8]) {
    let Some((page_bytes, rest)) = bytes.split_first_chunk() else { return };
    let decoder = Decoder { page_bytes: u64::from_le_bytes(*page_bytes) };
    let (counts, batches) = batches(rest);
    for format in [Format::Text, Format::Json] {
        let stat = Processing::stat(decoder, 0, format, STYLE, true, None, io::sink());
        process(stat, &counts, &batches);
        let trace = Processing::trace(decoder, 0, format, STYLE, None, u32::MAX, io::sink());
        process(trace, &counts, &batches);
    }
    stays_bounded(decoder, &batches);
}

fn batches(mut bytes: &[u8]) -> (Arc<DrainCounts>, Vec<Batch>) {
    let (counts, mut batches) = (Arc::<DrainCounts>::default(), Vec::new());
    let mut hopper = Hopper::new(counts.clone());
    let mut take = |batch| {
        batches.push(batch);
        true
    };
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let (record, rest) = rest.split_at(rest.len().min(u16::from_le_bytes(*length).into()));
        hopper.put(record, &mut take);
        bytes = rest;
    }
    hopper.hand_on(&mut take);
    (counts, batches)
}

fn process(processing: Processing<io::Sink>, counts: &Arc<DrainCounts>, batches: &[Batch]) {
    let mut processing = processing.accounting(counts.clone(), Proof::default());
    let submitted = batches.iter().map(|batch| batch.records).sum();
    let programs = vec![ProgramAccount { hits: submitted, submitted, ..ProgramAccount::default() }];
    for batch in batches {
        let works = [
            Work::Batch(batch.clone()),
            Work::Tick { t_ns: 1 << 40, programs: programs.clone() },
            Work::Tick { t_ns: 0, programs: programs.clone() },
        ];
        works.into_iter().for_each(|work| drop(processing.take(work, &mut |_| {})));
    }
    assert_eq!(processing.account(programs.clone()).violations(), <[String; 0]>::default());
    assert!(
        processing
            .take(Work::Finish { t_ns: u64::MAX, programs, skipped_runs: None }, &mut |_| {})
            .is_ok_and(|last| last)
    );
}

fn stays_bounded(decoder: Decoder, batches: &[Batch]) {
    let mut aggregator = Aggregator::new(AggregateConfig { start_ns: 0, max_processes: FEW });
    for event in batches.iter().flat_map(Batch::iter).filter_map(|record| decoder.decode(record).ok()) {
        aggregator.apply(&event);
        assert!(aggregator.process_count() <= FEW);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::corpus;
    use bytemuck::{Zeroable as _, bytes_of};
    use memtrace_common::header::{Header, flags};
    use memtrace_common::kind;
    use memtrace_common::records::*;

    fn header<T>(kind: u16, t_ns: u64) -> Header {
        let (flags, size) = (flags::RSS | flags::GO, size_of::<T>() as u32);
        Header { t_ns, tgid: 1001, tid: 1002, target: 7, cpu: 1, kind, flags, size }
    }

    fn call(pages: u64) -> Call {
        Call {
            address: 0xc0_0000_0000,
            length: pages * 4096,
            duration_ns: 1500,
            rss_before_pages: 900,
            rss_after_pages: 900 - pages,
            resident_pages: pages,
            freed_pages: pages,
            go: [4096, 8192, 12288, 1 << 20, 1 << 19, 1 << 16],
            stack_id: 3,
            ..Call::zeroed()
        }
    }

    /// One record of each family and operation.
    fn whole() -> Vec<Vec<u8>> {
        let mut records = vec![
            bytes_of(&AdviseRecord {
                header: header::<AdviseRecord>(kind::ADVISE, 10),
                call: call(8),
                advice: 4,
                process: 0,
            })
            .to_vec(),
        ];
        for op in [map_op::MMAP, map_op::MUNMAP, map_op::MREMAP, map_op::BRK] {
            let header = header::<MapRecord>(kind::MAP, 20 + u64::from(op));
            let record = MapRecord { header, call: call(16), new_length: 8192, op, prot: 3, map_flags: 34, pad: 0 };
            records.push(bytes_of(&record).to_vec());
        }
        for op in [task_op::FORK, task_op::EXEC, task_op::EXIT, task_op::KILL] {
            let header = header::<TaskRecord>(kind::TASK, 40 + u64::from(op));
            let record =
                TaskRecord { header, op, comm: *b"server\0\0\0\0\0\0\0\0\0\0", code: 9, ..TaskRecord::zeroed() };
            records.push(bytes_of(&record).to_vec());
        }
        for op in [oom_op::KILL, oom_op::VICTIM] {
            let record =
                OomRecord { header: header::<OomRecord>(kind::OOM, 50), op, anon_rss_kb: 64, ..OomRecord::zeroed() };
            records.push(bytes_of(&record).to_vec());
        }
        for op in [reclaim_op::MEMCG, reclaim_op::DIRECT] {
            let header = header::<ReclaimRecord>(kind::RECLAIM, 60);
            records.push(bytes_of(&ReclaimRecord { header, op, duration_ns: 7, ..ReclaimRecord::zeroed() }).to_vec());
        }
        let mut faults = FaultRecord { header: header::<FaultRecord>(kind::FAULT, 70), ..FaultRecord::zeroed() };
        (faults.stats.faults, faults.stats.refaulted_pages[0], faults.stats.log2_ns[12]) = (90, 3, 3);
        records.push(bytes_of(&faults).to_vec());
        let mut words = WordsRecord { header: header::<WordsRecord>(kind::WORDS, 80), ..WordsRecord::zeroed() };
        (words.plan.ranges[0].bytes, words.plan.ranges[1].bytes, words.refused[1]) = (64, 8, -14);
        records.push(bytes_of(&words).to_vec());
        for op in [fatal_op::THROW, fatal_op::FATAL, fatal_op::PANIC] {
            let header = header::<FatalRecord>(kind::FATAL, 90);
            let mut fatal = FatalRecord { header, op, text_bytes: 5, copied_bytes: 5, ..FatalRecord::zeroed() };
            (fatal.caller, fatal.stack_bytes, fatal.stack[1]) = (0x40_1000, 24, 0x40_2000);
            fatal.text[..5].copy_from_slice(b"ended");
            records.push(bytes_of(&fatal).to_vec());
        }
        records
    }

    #[test]
    fn the_fuzzer_starts_from_records_that_are_whole() {
        let mut input = 4096_u64.to_le_bytes().to_vec();
        for record in whole() {
            assert!(Decoder { page_bytes: 4096 }.decode(&record).is_ok());
            input.extend((record.len() as u16).to_le_bytes());
            input.extend(record);
        }
        assert_eq!(corpus("records/whole"), input);
    }
}
