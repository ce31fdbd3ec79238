//! The few statistics that the analyses share.

/// Median; the mean of the two middle values for an even number. NaN for no values.
pub fn median(values: &mut [f64]) -> f64 {
    let n = values.len();
    if n == 0 {
        return f64::NAN;
    }
    let (below, &mut middle, _) = values.select_nth_unstable_by(n / 2, f64::total_cmp);
    if n % 2 == 1 {
        return middle;
    }
    let lower = below.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (lower + middle) / 2.0
}

/// Arithmetic mean. NaN for no values.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Two samples further apart than this many times the median distance have a gap between them.
pub const GAP_FACTOR: f64 = 1.5;

/// How many gaps there are between these times, which are in order.
pub fn gaps(times: &[f64]) -> usize {
    let steps: Vec<f64> = times.windows(2).map(|w| w[1] - w[0]).collect();
    let usual = median(&mut steps.clone());
    steps.iter().filter(|&&step| step > GAP_FACTOR * usual).count()
}

/// Linear between samples, constant beyond the ends. There is at least one sample; times are in order.
pub fn interpolate(times: &[f64], values: &[f64], at: f64) -> f64 {
    let next = times.partition_point(|&t| t < at);
    if next == 0 || next == times.len() {
        return values[next.min(times.len() - 1)];
    }
    let (t0, t1) = (times[next - 1], times[next]);
    values[next - 1] + (values[next] - values[next - 1]) * (at - t0) / (t1 - t0)
}

/// Root of the mean square. NaN for no values.
pub fn rms(values: &[f64]) -> f64 {
    (values.iter().map(|v| v * v).sum::<f64>() / values.len() as f64).sqrt()
}

/// Largest minus smallest. NaN for no values.
pub fn ptp(values: &[f64]) -> f64 {
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    if values.is_empty() { f64::NAN } else { high - low }
}

/// A standard deviation that up to half of wild values cannot spoil: 1.4826 times the median absolute value of
/// `residuals` (which must be centred). Where more than half of them are zero (quantized data), 1.2533 times the mean
/// absolute value instead, so that it is zero only if all are. Both factors make it unbiased for a normal distribution.
pub fn robust_scale(residuals: &[f64]) -> f64 {
    let mut absolute: Vec<f64> = residuals.iter().map(|r| r.abs()).collect();
    let from_median = 1.482_602_218_505_602 * median(&mut absolute);
    let from_mean =
        (std::f64::consts::PI / 2.0).sqrt() * absolute.iter().sum::<f64>() / absolute.len() as f64;
    // Zero but for rounding, beside others that are not.
    if from_median > 1e-9 * from_mean { from_median } else { from_mean }
}

/// Quantile of Student's t: the x below which lies the share `p` (0 < p < 1) at `dof` degrees of freedom.
/// By bisection on the distribution function, to a relative 1e-12.
pub fn t_quantile(p: f64, dof: f64) -> f64 {
    if p < 0.5 {
        return -t_quantile(1.0 - p, dof);
    }
    let tail = 2.0 * (1.0 - p);
    // Share beyond ±x is I_{dof/(dof+x²)}(dof/2, 1/2).
    let beyond = |x: f64| incomplete_beta(dof / 2.0, 0.5, dof / (dof + x * x));
    let (mut low, mut high) = (0.0, 1.0);
    while beyond(high) > tail && high < 1e15 {
        high *= 2.0;
    }
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if beyond(middle) > tail {
            low = middle
        } else {
            high = middle
        }
        if high - low <= 1e-13 * high {
            break;
        }
    }
    0.5 * (low + high)
}

/// Regularized incomplete beta function by its continued fraction (modified Lentz).
fn incomplete_beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    let front = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (1.0 - x).ln()).exp();
    if x < (a + 1.0) / (a + b + 2.0) {
        front * beta_fraction(a, b, x) / a
    } else {
        1.0 - front * beta_fraction(b, a, 1.0 - x) / b
    }
}

fn beta_fraction(a: f64, b: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let keep_off_zero = |v: f64| if v.abs() < TINY { TINY } else { v };
    let mut c = 1.0;
    let mut d = 1.0 / keep_off_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut h = d;
    for m in 1..500 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        for step in [even, odd] {
            d = 1.0 / keep_off_zero(1.0 + step * d);
            c = keep_off_zero(1.0 + step / c);
            h *= d * c;
        }
        if (d * c - 1.0).abs() < 1e-16 {
            break;
        }
    }
    h
}

/// Logarithm of the gamma function for x > 0: Stirling's series, shifted up to where it is exact to 1e-15.
fn ln_gamma(x: f64) -> f64 {
    let (mut x, mut shift) = (x, 0.0);
    while x < 15.0 {
        shift += x.ln();
        x += 1.0;
    }
    let i = 1.0 / x;
    let i2 = i * i;
    let series =
        i * (1.0 / 12.0 - i2 * (1.0 / 360.0 - i2 * (1.0 / 1260.0 - i2 * (1.0 / 1680.0 - i2 / 1188.0))));
    (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + series - shift
}

/// A polynomial fitted by least squares, evaluated at the samples: modified Gram-Schmidt on the powers of the time,
/// which is first mapped to [-1, 1]. `times` must hold more than `degree` different values.
pub fn polynomial_fit(times: &[f64], values: &[f64], degree: usize) -> Vec<f64> {
    let low = times.iter().copied().fold(f64::INFINITY, f64::min);
    let high = times.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let u: Vec<f64> = times.iter().map(|t| 2.0 * (t - low) / (high - low) - 1.0).collect();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    let mut fit = vec![0.0; values.len()];
    let mut rest = values.to_vec();
    let mut basis: Vec<Vec<f64>> = Vec::with_capacity(degree + 1);
    let mut power = vec![1.0; values.len()];
    for _ in 0..=degree {
        let mut q = power.clone();
        // Twice is enough to be orthogonal to rounding.
        for _ in 0..2 {
            for b in &basis {
                let share = dot(&q, b);
                q.iter_mut().zip(b).for_each(|(x, y)| *x -= share * y);
            }
        }
        let norm = dot(&q, &q).sqrt();
        q.iter_mut().for_each(|x| *x /= norm);
        let share = dot(&rest, &q);
        for ((f, r), q) in fit.iter_mut().zip(&mut rest).zip(&q) {
            *f += share * q;
            *r -= share * q;
        }
        basis.push(q);
        power.iter_mut().zip(&u).for_each(|(p, u)| *p *= u);
    }
    fit
}
