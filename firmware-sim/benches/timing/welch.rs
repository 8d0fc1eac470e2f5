//! Welch's t test, cropped as dudect crops it.

/// Percentiles of both classes together above which samples are left out, in turn.
const CROPS: [f64; 4] = [0.5, 0.75, 0.9, 0.99];

/// The t of these two classes that is farthest from zero, over all crops and none.
pub fn largest_t(one: &[f64], other: &[f64]) -> f64 {
    let mut together: Vec<f64> = one.iter().chain(other).copied().collect();
    together.sort_by(f64::total_cmp);
    let limits = CROPS.iter().map(|crop| together[(together.len() as f64 * crop) as usize]);
    let mut largest = 0.0_f64;
    for limit in limits.chain([f64::INFINITY]) {
        let t = t(one.iter().filter(|time| **time <= limit), other.iter().filter(|time| **time <= limit));
        if t.abs() > largest.abs() {
            largest = t;
        }
    }
    largest
}

/// The median.
pub fn median(times: &[f64]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn t<'a>(one: impl Iterator<Item = &'a f64>, other: impl Iterator<Item = &'a f64>) -> f64 {
    let (one, other) = (Moments::of(one), Moments::of(other));
    let error = (one.variance() / one.count + other.variance() / other.count).sqrt();
    if error > 0.0 { (other.mean - one.mean) / error } else { 0.0 }
}

/// Count, mean and sum of squared deviations, by Welford's method.
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    fn of<'a>(values: impl Iterator<Item = &'a f64>) -> Self {
        let mut moments = Self { count: 0.0, mean: 0.0, squares: 0.0 };
        for value in values {
            moments.count += 1.0;
            let deviation = value - moments.mean;
            moments.mean += deviation / moments.count;
            moments.squares += deviation * (value - moments.mean);
        }
        moments
    }

    fn variance(&self) -> f64 {
        self.squares / (self.count - 1.0).max(1.0)
    }
}
