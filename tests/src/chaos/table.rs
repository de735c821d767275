//! Tables for people: columns as wide as they must be, numbers on the right. Must not decide what is in them.

/// The rows as text; the first is the heading. A column is flushed right when its heading is in capitals only and its cells
/// are numbers.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let cell = |row: &Vec<String>, column: usize| row.get(column).cloned().unwrap_or_default();
    let width = |column| rows.iter().map(|row| cell(row, column).chars().count()).max().unwrap_or(0);
    let is_number = |column| {
        rows.iter().skip(1).all(|row| cell(row, column).chars().all(|letter| letter.is_ascii_digit()))
    };
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = (0..columns)
            .map(|column| match (cell(row, column), width(column)) {
                (cell, width) if is_number(column) => format!("{cell:>width$}"),
                (cell, width) => format!("{cell:<width$}"),
            })
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// A row.
pub(super) fn row(cells: &[&dyn std::fmt::Display]) -> Vec<String> {
    cells.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_on_the_right() {
        let rows = [row(&[&"PLACE", &"LOST"]), row(&[&"directory", &7]), row(&[&"s3", &12])];
        assert_eq!(table(&rows), "PLACE      LOST\ndirectory     7\ns3           12\n");
    }
}
