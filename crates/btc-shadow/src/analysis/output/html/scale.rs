//! Scales of pictures: from values to places, and where the marks stand.

use std::fmt::Write as _;

use super::super::words::time;

/// The places of a picture's inner area.
#[derive(Clone, Copy)]
pub(super) struct Area {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

impl Area {
    pub(super) fn right(&self) -> f64 {
        self.left + self.width
    }

    pub(super) fn bottom(&self) -> f64 {
        self.top + self.height
    }

    /// The place of a share of the width.
    pub(super) fn x(&self, share: f64) -> f64 {
        self.left + share * self.width
    }

    /// The place of a share of the height, upwards.
    pub(super) fn y(&self, share: f64) -> f64 {
        self.bottom() - share * self.height
    }
}

/// A round number that is no smaller, whose half is round too.
pub(super) fn round_up(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0];
    let fits = steps
        .into_iter()
        .find(|step| step * power >= value * 0.999_999);
    fits.unwrap_or(10.0) * power
}

/// Draws the marks of a span of time below an area. Where there is little room, every second one is
/// left out.
pub(super) fn time_axis(svg: &mut String, area: Area, start_ms: u64, end_ms: u64) {
    for (number, (share, label)) in time_marks(start_ms, end_ms).into_iter().enumerate() {
        let x = area.x(share);
        let class = if number % 2 == 1 { " odd" } else { "" };
        // Words do not stick out of the picture.
        let anchor = match share {
            0.94.. => "end",
            ..0.03 => "start",
            _ => "middle",
        };
        // Writing to a string cannot fail.
        let _ = write!(
            svg,
            "<line class=\"axis\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/>\
             <text class=\"time{class}\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{label}</text>",
            area.bottom(),
            area.bottom() + 4.0,
            area.bottom() + 18.0
        );
    }
}

/// Marks along a span of time: where, as a share, and what to write there.
#[expect(clippy::cast_precision_loss, reason = "a picture needs no 53 bits")]
pub(super) fn time_marks(start_ms: u64, end_ms: u64) -> Vec<(f64, String)> {
    const MINUTE: u64 = 60_000;
    const STEPS: [u64; 16] = [
        1000,
        5_000,
        15_000,
        MINUTE,
        5 * MINUTE,
        15 * MINUTE,
        60 * MINUTE,
        180 * MINUTE,
        360 * MINUTE,
        720 * MINUTE,
        1_440 * MINUTE,
        2_880 * MINUTE,
        10_080 * MINUTE,
        43_200 * MINUTE,
        129_600 * MINUTE,
        525_600 * MINUTE,
    ];
    const MOST: u64 = 5;
    let span = end_ms.saturating_sub(start_ms).max(1);
    let fits = STEPS.into_iter().find(|step| span / step <= MOST);
    let step = fits.unwrap_or(span / MOST);
    let first = start_ms.div_ceil(step) * step;
    let marks = (0..=MOST).map(|number| first + number * step);
    let shown = marks.take_while(|mark| *mark <= end_ms);
    shown
        .map(|mark| {
            let share = (mark - start_ms) as f64 / span as f64;
            let text = time(mark);
            let (date, clock) = (&text[5..10], &text[11..]);
            let label = if step >= 1_440 * MINUTE {
                date.to_owned()
            } else if step >= MINUTE {
                format!("{date} {}", &clock[..5])
            } else {
                clock.to_owned()
            };
            (share, label)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_round() {
        for (value, round) in [
            (0.0, 1.0),
            (0.9, 1.0),
            (3.0, 3.0),
            (21.0, 30.0),
            (260.0, 300.0),
        ] {
            assert!((round_up(value) - round).abs() < 1e-9, "{value}");
        }
    }

    #[test]
    fn marks_of_time_are_few_and_within() {
        let start = 1_760_000_000_000;
        for span in [
            1,
            900,
            30_000,
            3_600_000,
            86_400_000,
            40 * 86_400_000,
            4_000 * 86_400_000,
        ] {
            let marks = time_marks(start, start + span);
            assert!(marks.len() <= 6, "{marks:?}");
            assert!(marks.iter().all(|(share, _)| (0.0..=1.0).contains(share)));
        }
    }
}
