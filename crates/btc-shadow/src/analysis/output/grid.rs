//! Aligned columns of text.

/// Columns aligned by their widest cell: text to the left, numbers to the right.
pub(super) fn grid(rows: &[Vec<String>]) -> String {
    use std::fmt::Write as _;
    let columns = rows.first().map_or(0, Vec::len);
    let widths: Vec<_> = (0..columns)
        .map(|column| {
            rows.iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut out = String::new();
    for (number, row) in rows.iter().enumerate() {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
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
    out
}

/// Words as a row.
pub(super) fn row<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).to_vec()
}
