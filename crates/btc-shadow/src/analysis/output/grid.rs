//! Aligned columns of text, no wider than a terminal.

/// The columns of a terminal that nobody made wider.
const WIDTH: usize = 80;

/// Columns aligned by their widest cell: text to the left, numbers to the right. Columns for which
/// there is no room follow below, beside the first one again.
pub(super) fn grid(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let widths: Vec<_> = (0..columns)
        .map(|column| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.max().unwrap_or(0)
        })
        .collect();
    let mut out = String::new();
    let mut shown = vec![0];
    for column in 1..columns {
        let before: usize = shown.iter().map(|column| widths[*column] + 2).sum();
        if before + widths[column] > WIDTH && shown.len() > 1 {
            part(&mut out, rows, &widths, &shown);
            out.push('\n');
            shown.truncate(1);
        }
        shown.push(column);
    }
    if columns > 0 {
        part(&mut out, rows, &widths, &shown);
    }
    out
}

fn part(out: &mut String, rows: &[Vec<String>], widths: &[usize], columns: &[usize]) {
    use std::fmt::Write as _;
    for (number, row) in rows.iter().enumerate() {
        let mut line = String::new();
        for column in columns {
            let (cell, width) = (&row[*column], widths[*column]);
            let is_text = number > 0 && cell.starts_with(|c: char| c.is_ascii_lowercase());
            // Writing to a string cannot fail.
            let _ = if is_text || line.is_empty() {
                write!(line, "{cell:<width$}  ")
            } else {
                write!(line, "{cell:>width$}  ")
            };
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
}

/// Words as a row.
pub(super) fn row<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).to_vec()
}

#[cfg(test)]
mod tests {
    use super::{WIDTH, grid, row};

    #[test]
    fn what_is_too_wide_goes_on_below() {
        let name = "n".repeat(30);
        let wide = "1".repeat(40);
        let rows = [
            row(["operation", "one", "two", "three"]),
            vec![name, wide.clone(), wide, "3".to_owned()],
        ];
        let shown = grid(&rows);
        assert!(shown.lines().all(|line| line.len() <= WIDTH), "{shown}");
        let heads: Vec<_> = shown.split("\n\n").map(|part| &part[..9]).collect();
        assert_eq!(heads, ["operation", "operation"]);
        assert!(shown.ends_with("  3\n"), "{shown}");
    }
}
