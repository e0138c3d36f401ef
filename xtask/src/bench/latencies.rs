//! Latencies, counted in buckets that grow with the value: any quantile to within one percent, in constant memory.

use std::time::Duration;

/// Buckets for each doubling.
const STEPS: u32 = 128;

/// The counts.
#[derive(Debug, Clone)]
pub(super) struct Latencies {
    counts: Vec<u64>,
    total: u64,
}

impl Latencies {
    /// None yet.
    pub(super) fn new() -> Self {
        Self { counts: vec![0; 64 * STEPS as usize], total: 0 }
    }

    /// Counts one.
    pub(super) fn count(&mut self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(nanos)] += 1;
        self.total += 1;
    }

    /// Counts those of another, too.
    pub(super) fn add(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(own, more)| *own += more);
        self.total += other.total;
    }

    /// How many.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// The latency that the given share, such as 0.99, stayed at or below.
    pub(super) fn quantile(&self, share: f64) -> Duration {
        let rank = (self.total as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Duration::from_nanos(upper(bucket));
            }
        }
        Duration::ZERO
    }
}

fn bucket(nanos: u64) -> usize {
    let steps = u64::from(STEPS);
    // Small values have a bucket each; from there on each doubling has as many as the one before.
    let doubling = nanos.max(1).ilog2().saturating_sub(STEPS.ilog2());
    (u64::from(doubling) * steps + (nanos >> doubling)) as usize
}

fn upper(bucket: usize) -> u64 {
    let (bucket, steps) = (bucket as u64, u64::from(STEPS));
    if bucket < 2 * steps {
        return bucket;
    }
    let doubling = bucket / steps - 1;
    ((bucket - doubling * steps + 1) << doubling) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_values_within_one_percent() {
        for nanos in (0..5_000_u64).chain([1 << 20, 123_456_789, (1 << 40) + 12_345]) {
            let told = upper(bucket(nanos));
            assert!(told >= nanos && told - nanos <= nanos / 100 + 1, "{nanos}: {told}");
        }
        assert!(bucket(u64::MAX) < 64 * STEPS as usize);
    }

    #[test]
    fn quantiles_are_ranks() {
        let mut latencies = Latencies::new();
        (1..=100).for_each(|n| latencies.count(Duration::from_nanos(n)));
        assert_eq!(latencies.quantile(0.5), Duration::from_nanos(50));
        assert_eq!(latencies.quantile(0.99), Duration::from_nanos(99));
        assert_eq!(Latencies::new().quantile(0.5), Duration::ZERO);
    }
}
