//! Every pattern by seeds and sizes: the confusion matrix (`cargo xtask bench patterns`).
//!
//!     bench_patterns PROGRAM...      a build of tests/workloads/patterns for each seed
use memtrace_tests::patterns::{Judged, PLAYED, play};
use std::collections::BTreeMap;
use std::path::Path;

/// Limits, and how long each takes to reach it.
const SIZES: &[(u64, u64)] = &[(96, 6), (160, 8), (256, 10)];

fn main() {
    let mut all: Vec<Judged> = Vec::new();
    for (seed, program) in (1..).zip(std::env::args().skip(1)) {
        for (limit_mib, seconds) in SIZES {
            for judged in play(Path::new(&program), PLAYED, *limit_mib, seed, *seconds) {
                if !judged.is_right() || std::env::var_os("PATTERNS_VERBOSE").is_some() {
                    let verdict = &judged.dossier["verdict"];
                    println!("{} of {limit_mib} MiB, seed {seed}: {verdict}", judged.truth);
                }
                all.push(judged);
            }
        }
    }
    let mut matrix: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    all.iter().for_each(|of| *matrix.entry((of.truth, &of.verdict)).or_default() += 1);
    println!("\n{:<20}verdicts", "truth");
    for truth in PLAYED {
        let row = matrix.iter().filter(|((of, _), _)| of == truth);
        println!("{truth:<20}{}", row.map(|((_, verdict), n)| format!("{verdict} {n}")).collect::<Vec<_>>().join(", "));
    }
    let right = all.iter().filter(|of| of.is_right()).count();
    let confident = all.iter().filter(|of| of.is_confidently_wrong()).count();
    println!("\n{right} of {} right, {confident} wrong with confidence", all.len());
}
