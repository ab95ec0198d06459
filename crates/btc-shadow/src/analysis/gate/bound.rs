//! Exact bounds on a rate after so many events in so many trials (Clopper and Pearson, 1934).

/// Above these, a bound is computed that is a little wider, and as sure.
const MAX_EXACT_TRIALS: u64 = 1 << 33;
const MAX_EXACT_EVENTS: u64 = 10_000_000;

/// The upper bound of the rate behind `events` in `trials`: a rate above it would show so few
/// events with a probability of at most `risk`. Without trials nothing is known, and it is 1.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts beyond 53 bits change no bound that anyone could tell apart"
)]
pub fn upper_bound(events: u64, trials: u64, risk: f64) -> f64 {
    if events >= trials {
        return 1.0;
    }
    let (k, n) = (events as f64, trials as f64);
    if events == 0 {
        return -(risk.ln() / n).exp_m1();
    }
    let is_exact = trials <= MAX_EXACT_TRIALS && events.min(trials - events) <= MAX_EXACT_EVENTS;
    let is_possible = |rate: f64| {
        if is_exact {
            at_most(k, n, rate) > risk
        } else {
            // Chernoff's bound on the same probability.
            -n * divergence(k / n, rate) > risk.ln()
        }
    };
    let (mut low, mut high) = (k / n, 1.0);
    // Each step halves the interval; fewer would do.
    for _ in 0..200 {
        let middle = f64::midpoint(low, high);
        if high - low <= 1e-14 * high {
            break;
        }
        if is_possible(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// The lower bound of the rate: one below it would show so many events with a probability of at
/// most `risk`.
pub fn lower_bound(events: u64, trials: u64, risk: f64) -> f64 {
    if events == 0 {
        return 0.0;
    }
    1.0 - upper_bound(trials.saturating_sub(events), trials, risk)
}

/// The probability of at most `k` events in `n` trials, for a rate of at least `k / n`.
fn at_most(k: f64, n: f64, rate: f64) -> f64 {
    if rate >= 1.0 {
        return 0.0;
    }
    // The most probable number of events first: the others follow from it, ever smaller.
    let ln_choices = ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k);
    let mut term = (ln_choices + k * rate.ln() + (n - k) * (-rate).ln_1p()).exp();
    let odds = (1.0 - rate) / rate;
    let (mut sum, mut left) = (0.0, k);
    while term > sum * 1e-17 {
        sum += term;
        if left <= 0.0 {
            break;
        }
        term *= left / (n - left + 1.0) * odds;
        left -= 1.0;
    }
    sum
}

/// The relative entropy of two rates, in nats; 0 < `seen` < 1.
fn divergence(seen: f64, rate: f64) -> f64 {
    seen * (seen / rate).ln() + (1.0 - seen) * ((1.0 - seen) / (1.0 - rate)).ln()
}

/// The logarithm of `n` factorial, for a whole number: Stirling's series where it is exact to the
/// last digit, the product below.
fn ln_factorial(n: f64) -> f64 {
    const FIRST_OF_SERIES: f64 = 16.0;
    if n < FIRST_OF_SERIES {
        let mut product = 1.0;
        let mut factor = n;
        while factor > 1.0 {
            product *= factor;
            factor -= 1.0;
        }
        return f64::ln(product);
    }
    let square = n * n;
    let series = (1.0 / 12.0
        - (1.0 / 360.0 - (1.0 / 1260.0 - 1.0 / (1680.0 * square)) / square) / square)
        / n;
    n * n.ln() - n + 0.5 * (std::f64::consts::TAU * n).ln() + series
}

#[cfg(test)]
#[expect(clippy::cast_precision_loss, reason = "a few events and trials")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RISK: f64 = 0.05 / 8.0;

    fn is_near(value: f64, expected: f64) -> bool {
        (value - expected).abs() <= 1e-4 * expected
    }

    #[test]
    fn the_gate_needs_exactly_as_many_trials_as_it_says() {
        for (trials, bound) in [(50_750, 1e-4), (5_073, 1e-3)] {
            assert!(is_near(upper_bound(0, trials, RISK), bound));
            assert!(upper_bound(0, trials, RISK) <= bound);
            assert!(upper_bound(0, trials - 1, RISK) > bound);
        }
    }

    #[test]
    fn known_values() {
        // One-sided 95 % and 97.5 % bounds as published tables give them.
        for (events, trials, risk, expected) in [
            (0, 10, 0.025, 0.3085),
            (1, 10, 0.05, 0.3942),
            (1, 10, 0.025, 0.4450),
            (5, 10, 0.025, 0.8129),
            (0, 100, 0.05, 0.029_513),
            (10, 100, 0.025, 0.17622),
            (50, 100, 0.025, 0.60167),
            (9, 10, 0.025, 0.99747),
        ] {
            let bound = upper_bound(events, trials, risk);
            assert!(is_near(bound, expected), "{events}/{trials}: {bound}");
        }
        for (events, trials, risk, expected) in [(1, 10, 0.025, 0.00253), (5, 10, 0.025, 0.18709)] {
            let bound = lower_bound(events, trials, risk);
            assert!(
                (bound - expected).abs() < 1e-5,
                "{events}/{trials}: {bound}"
            );
        }
    }

    #[test]
    fn the_ends_are_certain() {
        assert!(is_near(upper_bound(0, 0, RISK), 1.0));
        assert!(is_near(upper_bound(7, 7, RISK), 1.0));
        assert!(is_near(upper_bound(u64::MAX, 7, RISK), 1.0));
        assert!(lower_bound(0, 7, RISK) == 0.0);
        assert!(upper_bound(u64::MAX - 1, u64::MAX, RISK) <= 1.0);
        assert!(upper_bound(1 << 60, u64::MAX, RISK) < 0.0626);
    }

    proptest! {
        /// With the rate at the bound, so few events have exactly the risk as their probability.
        #[test]
        fn the_bound_covers((trials, events) in (2..60_u64).prop_flat_map(|n| (Just(n), 0..n))) {
            let bound = upper_bound(events, trials, RISK);
            // Summed one by one, from the other end.
            let mut probability = (1.0 - bound).powi(i32::try_from(trials).expect("few"));
            let mut sum = probability;
            for event in 1..=events {
                let (event, trials) = (event as f64, trials as f64);
                probability *= (trials - event + 1.0) / event * bound / (1.0 - bound);
                sum += probability;
            }
            prop_assert!((sum / RISK - 1.0).abs() < 1e-6, "{} for {}", sum, bound);
        }

        #[test]
        fn it_rises_with_the_events_and_falls_with_the_trials(
            (trials, events) in (1..200_000_u64).prop_flat_map(|n| (Just(n), 0..n)),
        ) {
            let bound = upper_bound(events, trials, RISK);
            prop_assert!(bound >= events as f64 / trials as f64);
            prop_assert!(upper_bound(events + 1, trials, RISK) >= bound);
            prop_assert!(upper_bound(events, trials + 1, RISK) <= bound);
            prop_assert!(upper_bound(events, trials, RISK * 2.0) <= bound);
            prop_assert!(lower_bound(events, trials, RISK) <= events as f64 / trials as f64);
        }

        #[test]
        fn many_trials_take_the_wider_bound(events in MAX_EXACT_EVENTS..MAX_EXACT_EVENTS * 4) {
            let trials = MAX_EXACT_TRIALS;
            let (exact, wider) = (
                upper_bound(MAX_EXACT_EVENTS, trials, RISK),
                upper_bound(events + 1, trials, RISK),
            );
            prop_assert!(wider > exact);
            prop_assert!(wider < 1.01 * (events + 1) as f64 / trials as f64);
        }
    }
}
