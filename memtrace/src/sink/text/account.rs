//! The loss account: one quiet line, or a loud block.
use super::Style;
use super::units::{clean, count};
use crate::account::Account;
use std::io::{self, Write};

/// The last words of every verb.
pub fn write_account(out: &mut impl Write, style: Style, account: &Account) -> io::Result<()> {
    let (hits, filtered, decoded) = (count(account.hits()), count(account.filtered()), count(account.decoded));
    let summed = match account.summed() {
        0 => String::new(),
        n => format!(", {} added up in the kernel", count(n)),
    };
    if account.lost() == 0 {
        let line = format!(
            "account: {hits} hook hits, {filtered} filtered on purpose{summed}, {decoded} events counted, 0 lost"
        );
        return writeln!(out, "{}", style.dim(&line));
    }
    writeln!(out, "{}", style.alarm(&format!("!! LOST {} events: the numbers above are too small.", account.lost())))?;
    writeln!(out, "   {hits} hook hits, {filtered} filtered on purpose{summed}, {decoded} events counted; lost were:")?;
    for program in &account.programs {
        let name = clean(&program.name, 24);
        reason(out, program.ring_full, &name, "ring_full: the ring was full, memtrace drained too slowly")?;
        reason(out, program.read_failed, &name, "read_failed: the event could not be read or paired")?;
    }
    reason(out, account.shed, "memtrace", "shed: the queue behind the ring was full")?;
    reason(out, account.decode_errors, "memtrace", "decode_errors: records that made no sense")
}

fn reason(out: &mut impl Write, lost: u64, who: &str, why: &str) -> io::Result<()> {
    if lost == 0 { Ok(()) } else { writeln!(out, "   {:>8}  {who:<24}  {why}", count(lost)) }
}
