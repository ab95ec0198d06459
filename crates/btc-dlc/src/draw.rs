//! Payout curves as pictures: characters for a terminal, and SVG.

use std::fmt::Write;

use btc_iface::dlc::OutcomeLine;

const COLUMNS: u64 = 64;
const ROWS: u64 = 14;

/// The curve of a numeric event in characters; `None` for an event of names.
pub fn terminal(lines: &[OutcomeLine]) -> Option<String> {
    let (last, top) = extent(lines)?;
    let mut picture = String::new();
    let columns: Vec<u64> = (0..COLUMNS)
        .map(|column| {
            let number = scaled(last, column, COLUMNS - 1);
            let sat = payout(lines, number);
            scaled(ROWS - 1, sat, top)
        })
        .collect();
    let width = top.to_string().len();
    for row in (0..ROWS).rev() {
        let label = match row {
            0 => "0".to_owned(),
            row if row == ROWS - 1 => top.to_string(),
            _ => String::new(),
        };
        let cells: String = columns
            .iter()
            .map(|height| match height.cmp(&row) {
                std::cmp::Ordering::Equal => '*',
                std::cmp::Ordering::Greater => '.',
                std::cmp::Ordering::Less => ' ',
            })
            .collect();
        // Writing to a string cannot fail.
        let _ = writeln!(picture, "{label:>width$} |{}", cells.trim_end());
    }
    let dashes = "-".repeat(usize::try_from(COLUMNS).unwrap_or_default());
    let _ = writeln!(picture, "{:>width$} +{dashes}", "sat");
    let _ = writeln!(picture, "{:>width$}  0{last:>63}", "");
    Some(picture)
}

/// The curve of a numeric event as an SVG document; `None` for an event of names.
pub fn svg(lines: &[OutcomeLine]) -> Option<String> {
    let (last, top) = extent(lines)?;
    let mut points = String::new();
    for line in lines {
        let (Some(from), Some(to)) = (line.from, line.to) else {
            return None;
        };
        for number in [from, to] {
            let x = 60 + scaled(600, number, last);
            let y = 320 - scaled(300, line.own_payout_sat, top);
            let _ = write!(points, "{x},{y} ");
        }
    }
    let points = points.trim_end();
    Some(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 680 360\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<title>What each number pays to you, in satoshi</title>\n\
         <path d=\"M60 20V320H660\" fill=\"none\" stroke=\"#888\"/>\n\
         <polyline points=\"{points}\" fill=\"none\" stroke=\"#1f77b4\" stroke-width=\"2\"/>\n\
         <text x=\"55\" y=\"25\" text-anchor=\"end\">{top}</text>\n\
         <text x=\"55\" y=\"324\" text-anchor=\"end\">0</text>\n\
         <text x=\"60\" y=\"340\">0</text>\n\
         <text x=\"660\" y=\"340\" text-anchor=\"end\">{last}</text>\n</svg>\n"
    ))
}

/// The greatest number and the highest payout.
fn extent(lines: &[OutcomeLine]) -> Option<(u64, u64)> {
    let last = lines.last()?.to?;
    let top = lines.iter().map(|line| line.own_payout_sat).max()?;
    Some((last.max(1), top.max(1)))
}

/// The payout at a number; between two lines that were left, the one before.
fn payout(lines: &[OutcomeLine], number: u64) -> u64 {
    let after = lines.partition_point(|line| line.from.is_some_and(|from| from <= number));
    after
        .checked_sub(1)
        .and_then(|index| lines.get(index))
        .map_or(0, |line| line.own_payout_sat)
}

/// `all` times `part` of `whole`, rounded down, without overflow.
fn scaled(all: u64, part: u64, whole: u64) -> u64 {
    let product = u128::from(all) * u128::from(part.min(whole));
    u64::try_from(product / u128::from(whole.max(1))).unwrap_or(all)
}
