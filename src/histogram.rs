//! A histogram of whole numbers that many threads add to without a lock: one counter for each bucket, and the sum. What a
//! number means (nanoseconds, calls) is its owner's business.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bounds of [`TIMES`].
pub const TIMES_LEN: usize = 17;
/// Bounds for times of calls and commits, in nanoseconds: 50 µs to 10 s.
pub static TIMES: [u64; TIMES_LEN] = [
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
];

/// Counts of numbers up to each bound, and of those above the last one.
#[derive(Debug)]
pub struct Histogram<const N: usize> {
    bounds: &'static [u64; N],
    counts: [AtomicU64; N],
    above: AtomicU64,
    sum: AtomicU64,
}

impl<const N: usize> Histogram<N> {
    /// An empty histogram; the bounds are inclusive and rise.
    pub const fn new(bounds: &'static [u64; N]) -> Self {
        Self {
            bounds,
            counts: [const { AtomicU64::new(0) }; N],
            above: AtomicU64::new(0),
            sum: AtomicU64::new(0),
        }
    }

    /// Adds one number. Two atomic additions.
    pub fn add(&self, number: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < number);
        self.counts.get(bucket).unwrap_or(&self.above).fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(number, Ordering::Relaxed);
    }

    /// The numbers in each bucket with its bound; nothing bounds the last one.
    pub fn buckets(&self) -> Vec<(Option<u64>, u64)> {
        let bounds = self.bounds.iter().copied().map(Some).chain([None]);
        let counts = self.counts.iter().chain([&self.above]);
        bounds.zip(counts.map(|count| count.load(Ordering::Relaxed))).collect()
    }

    /// How many numbers were added.
    pub fn count(&self) -> u64 {
        let counts = self.counts.iter().chain([&self.above]);
        counts.map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Their sum.
    pub fn sum(&self) -> u64 {
        self.sum.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_inclusive_and_nothing_is_lost_above_them() {
        let histogram = Histogram::new(&[10, 20]);
        for number in [0, 10, 11, 20, 21, 1000] {
            histogram.add(number);
        }
        assert_eq!(histogram.buckets(), [(Some(10), 2), (Some(20), 2), (None, 2)]);
        assert_eq!((histogram.count(), histogram.sum()), (6, 1062));
    }
}
