//! Texts from outside.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The beginning of a text that somebody else may have chosen.
///
/// Printing it escapes control characters, and those that change how the text around them is shown.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(from = "String", into = "String")]
pub struct Excerpt(String);

impl Excerpt {
    /// The most characters that are kept.
    pub const MAX_LENGTH: usize = 300;

    /// The beginning of this text. An ellipsis for its last character tells that there was more.
    pub fn new(text: impl AsRef<str>) -> Self {
        let text = text.as_ref();
        if text.chars().nth(Self::MAX_LENGTH).is_none() {
            return Self(text.to_owned());
        }
        Self(text.chars().take(Self::MAX_LENGTH - 1).chain(['…']).collect())
    }

    /// The text, nothing escaped.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '\'' | '"' => write!(f, "{character}")?,
                _ => write!(f, "{}", character.escape_debug())?,
            }
        }
        Ok(())
    }
}

impl From<String> for Excerpt {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<&str> for Excerpt {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<Excerpt> for String {
    fn from(excerpt: Excerpt) -> Self {
        excerpt.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_and_says_so() {
        let excerpt = Excerpt::new("é".repeat(1_000_000));
        assert_eq!(excerpt.as_str().chars().count(), Excerpt::MAX_LENGTH);
        assert!(excerpt.as_str().ends_with('…'));

        let fits = "é".repeat(Excerpt::MAX_LENGTH);
        assert_eq!(Excerpt::new(&fits).as_str(), fits, "what fits is kept whole");
        assert_eq!(Excerpt::new(excerpt.as_str()), excerpt, "cutting twice changes nothing");
    }

    #[test]
    fn a_printed_excerpt_is_one_line_of_visible_characters() {
        let excerpt = Excerpt::new("a\"b\nc\u{1b}[31m\u{202e}\0é");
        assert_eq!(excerpt.to_string(), "a\"b\\nc\\u{1b}[31m\\u{202e}\\0é");
    }
}
