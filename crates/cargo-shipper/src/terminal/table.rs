//! Rows of figures in columns.

use std::fmt::Write as _;

use super::escape_controls;

/// Every column as wide as its widest cell in characters; names, in the first one, to the left, figures to the right.
pub(crate) fn aligned(rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| escape_controls(cell)).collect()).collect();
    let mut widths: Vec<usize> = Vec::new();
    for row in &rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (cell, width) in row.iter().zip(&mut widths) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in &rows {
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let _ = if column == 0 { write!(text, "  {cell:<width$}") } else { write!(text, "  {cell:>width$}") };
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cells() {
        let rows = [vec!["", "builds"], vec!["é", "1"], vec!["total", "1 h 12 min"]];
        let rows = rows.map(|row| row.into_iter().map(str::to_owned).collect());
        assert_eq!(aligned(&rows), "             builds\n  é               1\n  total  1 h 12 min\n");
        assert_eq!(aligned(&[vec!["a\u{1b}b".to_owned(), "1".to_owned()]]), "  a\\u{1b}b  1\n");
    }
}
