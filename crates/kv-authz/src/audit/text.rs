//! Text from outside on its way into an audit entry: bounded, and cut where a character ends.

/// At most `max` bytes of `text`, whole characters only, and whether anything was cut.
#[must_use]
pub fn clip(text: &str, max: usize) -> (&str, bool) {
    (&text[..text.floor_char_boundary(max)], text.len() > max)
}

#[cfg(test)]
mod tests {
    use super::clip;

    #[test]
    fn cuts_between_characters() {
        assert_eq!(clip("abc", 3), ("abc", false));
        assert_eq!(clip("abcd", 3), ("abc", true));
        assert_eq!(clip("aé", 2), ("a", true));
        assert_eq!(clip("🦀", 3), ("", true));
    }
}
