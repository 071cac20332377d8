//! Numbers as a line of bars. A cell of a table holds text, no widgets, so these are text.

/// The last `width` numbers, the newest at the right; a bar of full height is the largest of them.
pub(super) fn line(numbers: impl DoubleEndedIterator<Item = f64>, width: usize) -> String {
    let mut last: Vec<f64> = numbers.rev().take(width).collect();
    last.reverse();
    let largest = last.iter().copied().fold(0.0, f64::max);
    let bars = last.iter().map(|&number| {
        if number <= 0.0 {
            return BARS[0];
        }
        // 1 to 8: whatever is not nothing shows.
        BARS[((number / largest * 8.0).ceil() as usize).clamp(1, 8)]
    });
    let empty = width.saturating_sub(last.len());
    std::iter::repeat_n(' ', empty).chain(bars).collect()
}

const BARS: [char; 9] = ['·', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn the_newest_numbers_stand_at_the_right() {
        assert_eq!(line([0.0, 1.0, 8.0].into_iter(), 5), "  ·▁█");
        assert_eq!(line((1..=100).map(f64::from), 3), "███");
        assert_eq!(line(std::iter::empty(), 2), "  ");
    }
}
