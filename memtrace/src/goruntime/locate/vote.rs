//! Where a stripped program has its runtime's variables: each (function, offset) pair of a signature that finds its
//! reference in the function's code votes for the address that explains it.
use std::collections::{HashMap, HashSet};

use crate::goruntime::globals::Globals;
use crate::goruntime::layout::signature::{GlobalSignature, Signature};

/// Data references by function name.
pub(crate) type References = HashMap<String, Vec<u64>>;

/// The outcome for one variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Vote {
    pub(crate) address: u64,
    /// Pairs that `address` explains, of `cast` pairs in functions that the program has.
    pub(crate) explained: u32,
    pub(crate) cast: u32,
    /// The same for the next best address.
    pub(crate) runner_up: u32,
}

impl Vote {
    /// Code compiled without optimisation explains 60 % and more; then the winner stands far before the others. The
    /// validators at attach have the last word.
    fn is_decided(self) -> bool {
        self.explained > self.runner_up && 2 * self.explained > self.cast
    }
}

/// `Err`: which variable is not found, and how the vote went.
pub(crate) fn elect(signature: &Signature, references: &References) -> Result<Globals, String> {
    let mut votes = HashMap::new();
    for global in &signature.globals {
        votes.insert(global.name.as_str(), vote(global, references));
    }
    let decided = |name: &str| votes.get(name).copied().flatten().filter(|vote| vote.is_decided());
    let placed = |name: &str| {
        signature.globals.iter().find(|global| global.name == name).and_then(|global| place(global, references))
    };
    Globals::look_up(|name| decided(name).map(|vote| vote.address).or_else(|| placed(name))).map_err(|name| match votes
        .get(name)
    {
        Some(Some(vote)) => format!(
            "{name} is not where it is in other builds: {} of {} references agree, the next best has {}",
            vote.explained, vote.cast, vote.runner_up
        ),
        _ => format!("no function that refers to {name}"),
    })
}

pub(crate) fn vote(global: &GlobalSignature, references: &References) -> Option<Vote> {
    let mut counts: HashMap<u64, u32> = HashMap::new();
    let mut cast = 0;
    for (function, offsets) in &global.references {
        let Some(found) = references.get(function) else { continue };
        cast += offsets.len() as u32;
        let found: HashSet<u64> = found.iter().copied().collect();
        for offset in offsets {
            for target in &found {
                if let Some(address) = target.checked_sub((*offset).into()) {
                    *counts.entry(address).or_default() += 1;
                }
            }
        }
    }
    let (address, explained) = counts.iter().map(|(a, n)| (*a, *n)).max_by_key(|(a, n)| (*n, u64::MAX - a))?;
    let runner_up = counts.iter().filter(|(a, _)| **a != address).map(|(_, n)| *n).max().unwrap_or(0);
    Some(Vote { address, explained, cast, runner_up })
}

/// Where the known positions in the functions agree that it is.
fn place(global: &GlobalSignature, references: &References) -> Option<u64> {
    let mut found = global.positions.iter().filter_map(|(function, index, count)| {
        references.get(function).filter(|found| found.len() == *count)?.get(*index).copied()
    });
    let first = found.next()?;
    found.all(|other| other == first).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature(offsets: &[u32]) -> GlobalSignature {
        let references = vec![("f".to_owned(), offsets.to_vec()), ("absent".to_owned(), vec![1, 2])];
        GlobalSignature { name: "runtime.x".to_owned(), references, positions: vec![("f".to_owned(), 1, 4)] }
    }

    #[test]
    fn the_address_that_explains_most_wins() {
        let references = References::from([("f".to_owned(), vec![0x100, 0x108, 0x140, 0x200])]);
        let vote = vote(&signature(&[0, 8, 64]), &references).unwrap();
        assert_eq!(vote, Vote { address: 0x100, explained: 3, cast: 3, runner_up: 1 });
        assert!(vote.is_decided());
    }

    #[test]
    fn a_tie_decides_nothing() {
        let references = References::from([("f".to_owned(), vec![0x100, 0x200])]);
        assert!(!vote(&signature(&[0]), &references).unwrap().is_decided());
        assert_eq!(vote(&signature(&[0]), &References::new()), None);
    }

    #[test]
    fn a_position_counts_in_unchanged_code_only() {
        let references = References::from([("f".to_owned(), vec![0x100, 0x108, 0x140, 0x200])]);
        assert_eq!(place(&signature(&[0]), &references), Some(0x108));
        let other = References::from([("f".to_owned(), vec![0x100, 0x108, 0x140])]);
        assert_eq!(place(&signature(&[0]), &other), None);
    }
}
