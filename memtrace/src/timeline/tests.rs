use super::*;
use proptest::prelude::*;

const S: u64 = SECOND_NS;

fn busy(t_ns: u64, seed: u64) -> Point {
    let mut point = Point::at(t_ns);
    for (at, signal) in Signal::ALL.iter().enumerate() {
        // Changes by some MiB each second, as a busy process does.
        let noise = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(at as u32) >> 40;
        point.set(*signal, (1 << 30) + noise * 4096);
    }
    point
}

#[test]
fn a_second_apart_for_a_quarter_of_an_hour_then_ten_seconds_for_two_hours() {
    let mut line = Timeline::new(TimelineConfig { max_bytes: 64 << 20, ..TimelineConfig::default() });
    (0..4 * 3600).for_each(|second| line.push(&busy(second * S, second)));
    let points = line.points();
    let end = 4 * 3600 - 1;
    assert_eq!(points.last(), Some(&busy(end * S, end)));
    let fine = points.windows(2).filter(|pair| pair[1].t_ns - pair[0].t_ns == S).count() as u64;
    let coarse = points.windows(2).filter(|pair| pair[1].t_ns - pair[0].t_ns == 10 * S).count() as u64;
    // Where the coarse ones end and the fine ones begin lies a step of its own.
    assert!(points.len() as u64 - 1 - (fine + coarse) <= 1, "{fine} and {coarse} of {}", points.len());
    // A chunk of 64 goes as a whole.
    assert!((900..900 + 64).contains(&fine), "{fine}");
    assert!((630..630 + 64).contains(&coarse), "{coarse}");
    assert_eq!(line.dropped_chunks(), 0);
    let at = &points[7];
    assert_eq!(at, &busy(at.t_ns, at.t_ns / S), "thinned, not changed");
}

#[test]
fn a_process_takes_no_more_than_it_may() {
    let config = TimelineConfig::default();
    let mut line = Timeline::new(config);
    for tick in 0..15_000 {
        line.push(&busy(tick * S / 10, tick));
        assert!(line.bytes() <= config.max_bytes, "{}", line.bytes());
    }
    assert!(line.dropped_chunks() > 0);
    assert_eq!(line.points().last(), Some(&busy(14_999 * S / 10, 14_999)));
    let mut quiet = Timeline::new(config);
    (0..7200).for_each(|second| quiet.push(&busy(second * S, 1)));
    assert!(quiet.bytes() < config.max_bytes / 4, "{}", quiet.bytes());
    assert_eq!(quiet.dropped_chunks(), 0);
}

#[test]
fn what_was_packed_in_pieces_is_the_same_again() {
    let config = TimelineConfig::default();
    let (mut line, mut again) = (Timeline::new(config), Timeline::new(config));
    let mut since = None;
    for second in 0..5000 {
        line.push(&busy(second * S, second / 7));
        // The first piece is all of it; each other one is what is new.
        if second >= 2000 && second % 10 == 0 {
            line.packed(since, usize::MAX).iter().for_each(|bytes| again.unpack(bytes));
            since = line.end_ns();
        }
    }
    line.packed(since, usize::MAX).iter().for_each(|bytes| again.unpack(bytes));
    let newest = |line: &Timeline| line.points().into_iter().rev().take(900).collect::<Vec<_>>();
    assert_eq!(newest(&line), newest(&again));
    let new = line.packed(since, usize::MAX);
    assert_eq!(new.iter().map(|bytes| packed::points(bytes).count()).sum::<usize>(), 9);
    assert!(line.packed(line.end_ns(), usize::MAX).is_empty());
    // With little room the newest are kept, and the rest of a torn piece is lost.
    let few = line.packed(None, 8 << 10);
    let bytes: usize = few.iter().map(Vec::len).sum();
    assert!(bytes <= 8 << 10 && !few.is_empty(), "{bytes}");
    let mut short = Timeline::new(config);
    few.iter().for_each(|bytes| short.unpack(bytes));
    assert_eq!(short.points().last(), line.points().last());
    let mut torn = Timeline::new(config);
    torn.unpack(&few[0][..few[0].len() - 1]);
    assert_eq!(torn.points().len(), packed::points(&few[0]).count() - 1);
}

#[test]
fn what_comes_late_is_left_out() {
    let mut line = Timeline::new(TimelineConfig::default());
    [5, 3, 7].iter().for_each(|second| line.push(&busy(second * S, *second)));
    assert_eq!(line.points().iter().map(|point| point.t_ns / S).collect::<Vec<_>>(), [5, 7]);
}

#[test]
fn names_are_unlike_and_have_their_unit() {
    let mut names: Vec<_> = Signal::ALL.iter().map(|signal| signal.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Signal::COUNT);
}

proptest! {
    #[test]
    fn every_point_comes_back(
        values in prop::collection::vec((0..u64::MAX / 2, prop::collection::vec(any::<Option<u64>>(), Signal::COUNT)), 1..150),
    ) {
        let mut line = Timeline::new(TimelineConfig {
            fine_ns: u64::MAX, coarse_ns: 0, coarse_step_ns: u64::MAX, max_bytes: usize::MAX,
        });
        let mut times: Vec<u64> = values.iter().map(|(t_ns, _)| *t_ns).collect();
        times.sort_unstable();
        let points: Vec<Point> = times.iter().zip(&values).map(|(t_ns, (_, values))| {
            let mut point = Point::at(*t_ns);
            Signal::ALL.iter().zip(values).for_each(|(signal, value)| point.set(*signal, *value));
            point
        }).collect();
        points.iter().for_each(|point| line.push(point));
        prop_assert_eq!(line.points(), points);
    }
}
