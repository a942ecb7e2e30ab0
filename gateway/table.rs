//! Lines of text in columns.

/// One line for each row, its cells two spaces apart and filled up to the widest of their column. A column is
/// at least and at most so many characters wide; a cell that is longer pushes the rest of its line.
pub(crate) fn lines<const N: usize>(
    rows: &[[String; N]],
    least: [usize; N],
    most: [usize; N],
) -> String {
    let mut widths = least;
    for row in rows {
        for (width, (cell, most)) in widths.iter_mut().zip(row.iter().zip(most)) {
            *width = (*width).max(cell.chars().count()).min(most);
        }
    }
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(widths);
        let line: Vec<String> = cells.map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
    }
    text
}
