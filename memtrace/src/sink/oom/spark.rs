//! A signal over time in one line.

const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Points further apart than this have a gap between them.
const GAP_NS: u64 = 15_000_000_000;

/// The highest value in each of `columns` equal stretches, from 0 up to the highest of all. A value stands until the next
/// point; a space where nothing is known.
pub(super) fn spark(times: &[u64], values: &[Option<u64>], columns: usize) -> String {
    let (Some(first), Some(last)) = (times.first(), times.last()) else { return String::new() };
    let span = u128::from(last.saturating_sub(*first)).max(1);
    let column_of =
        |t_ns: u64| (u128::from(t_ns.saturating_sub(*first)) * columns.saturating_sub(1) as u128 / span) as usize;
    let mut highest: Vec<Option<u64>> = vec![None; columns];
    let mut before: Option<(u64, Option<u64>)> = None;
    for (t_ns, value) in times.iter().zip(values) {
        let at = column_of(*t_ns);
        if let Some((before_ns, value)) = before.filter(|(before_ns, _)| t_ns.saturating_sub(*before_ns) <= GAP_NS) {
            let between = column_of(before_ns) + 1..at;
            highest.iter_mut().take(between.end).skip(between.start).for_each(|column| *column = value);
        }
        if let Some(column) = highest.get_mut(at) {
            *column = (*column).max(*value);
        }
        before = Some((*t_ns, *value));
    }
    let top = highest.iter().flatten().copied().max().unwrap_or(0).max(1);
    let level = |value: u64| LEVELS[(u128::from(value) * (LEVELS.len() as u128 - 1) / u128::from(top)) as usize];
    highest.into_iter().map(|value| value.map_or(' ', level)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_of_each_stretch_is_shown_and_a_gap_is_none() {
        let times = [0, 10, 20, 100, 101];
        let values = [Some(0), Some(7), None, Some(14), Some(3)];
        assert_eq!(spark(&times, &values, 4), "▄ █▂");
        assert_eq!(spark(&[0, 3], &[Some(7), Some(14)], 4), "▄▄▄█", "a value stands until the next");
        assert_eq!(spark(&[0, 30_000_000_000], &[Some(14), Some(14)], 4), "█  █", "a gap is shown");
        assert_eq!(spark(&[5], &[Some(1)], 3), "█  ");
        assert_eq!(spark(&[], &[], 3), "");
        assert_eq!(spark(&[0, 1], &[Some(u64::MAX), Some(0)], 2), "█▁");
    }
}
