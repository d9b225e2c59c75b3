//! Measured values: one per round and key.

use std::collections::BTreeMap;

/// Keys are `what.who.figure`; times are in microseconds, sizes in bytes, rates per second.
#[derive(Debug, Default)]
pub struct Samples(BTreeMap<String, Vec<f64>>);

/// Median, smallest and largest of several rounds.
#[derive(Debug, Clone, Copy)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Samples {
    pub fn add(&mut self, key: impl Into<String>, value: f64) {
        self.0.entry(key.into()).or_default().push(value);
    }

    pub fn spread(&self, key: &str) -> Option<Spread> {
        spread(self.0.get(key)?)
    }

    /// The ratios of two keys, round by round, so that what slows a whole round cancels out.
    pub fn ratio(&self, key: &str, to: &str) -> Option<Spread> {
        let (values, yardsticks) = (self.0.get(key)?, self.0.get(to)?);
        let ratios: Vec<f64> = values.iter().zip(yardsticks).map(|(a, b)| a / b).collect();
        spread(&ratios)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&String, &Vec<f64>)> {
        self.0.iter()
    }
}

fn spread(values: &[f64]) -> Option<Spread> {
    if values.is_empty() {
        return None;
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    Some(Spread {
        // Of an even number of rounds, between the two in the middle.
        median: (sorted.get(sorted.len() / 2)? + sorted.get((sorted.len() - 1) / 2)?) / 2.0,
        min: *sorted.first()?,
        max: *sorted.last()?,
    })
}

/// A percentile of sorted values.
pub fn percentile<T: Copy>(sorted: &[T], percent: f64) -> Option<T> {
    let last = sorted.len().checked_sub(1)?;
    sorted
        .get((last as f64 * percent / 100.0).round() as usize)
        .copied()
}

/// p50 and p99 of times in nanoseconds.
pub fn p50_p99(mut times_ns: Vec<u64>) -> (u64, u64) {
    times_ns.sort_unstable();
    let at = |percent| percentile(&times_ns, percent).unwrap_or(0);
    (at(50.0), at(99.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_ratios_and_percentiles() {
        let mut samples = Samples::default();
        for (a, b) in [(1.0, 2.0), (8.0, 4.0)] {
            samples.add("a", a);
            samples.add("b", b);
        }
        assert_eq!(samples.spread("a").unwrap().median, 4.5);
        assert_eq!(samples.ratio("a", "b").unwrap().median, 1.25);
        assert!(samples.spread("c").is_none());
        assert_eq!(p50_p99((0..101).collect()), (50, 99));
    }
}
