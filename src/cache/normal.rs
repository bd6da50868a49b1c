//! What may be ignored in the text of messages.

use std::borrow::Cow;

use unicode_normalization::{UnicodeNormalization as _, is_nfc};

/// Differences in the text of messages that make no other request. All are off by default, because a model sees each of
/// them: they are for those who know that theirs does not care.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Normal {
    /// Characters that Unicode calls canonically equivalent, such as an `é` of one code point and of two: the text is
    /// brought into Normalization Form C.
    pub nfc: bool,
    /// Spaces, tabs and carriage returns at the end of lines, and of the text.
    pub trailing_space: bool,
    /// Line ends of two characters, CR LF, where others have LF.
    pub line_ends: bool,
}

impl Normal {
    /// The text without these differences. Doing it again changes nothing.
    pub(super) fn apply(self, text: &str) -> Cow<'_, str> {
        let mut text = Cow::Borrowed(text);
        if self.trailing_space {
            text = replaced(text, trim_lines);
        } else if self.line_ends && text.contains("\r\n") {
            text = replaced(text, |text| text.split('\n').map(without_returns).collect::<Vec<_>>().join("\n"));
        }
        if self.nfc && !text.is_ascii() && !is_nfc(&text) {
            text = replaced(text, |text| text.nfc().collect());
        }
        text
    }

    /// One bit for each that is on.
    pub(super) fn bits(self) -> u8 {
        u8::from(self.nfc) | u8::from(self.trailing_space) << 1 | u8::from(self.line_ends) << 2
    }
}

fn replaced<'t>(text: Cow<'t, str>, change: impl FnOnce(&str) -> String) -> Cow<'t, str> {
    Cow::Owned(change(&text))
}

/// This does what line ends would, too: a CR before a LF is white space at the end of a line.
fn trim_lines(text: &str) -> String {
    text.split('\n').map(|line| line.trim_end_matches([' ', '\t', '\r'])).collect::<Vec<_>>().join("\n")
}

/// All of the CRs before a LF, so that none is left to form another line end.
fn without_returns(line: &str) -> &str {
    line.trim_end_matches('\r')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test;

    const NFC: Normal = Normal { nfc: true, trailing_space: false, line_ends: false };
    const TRAILING: Normal = Normal { nfc: false, trailing_space: true, line_ends: false };
    const LINES: Normal = Normal { nfc: false, trailing_space: false, line_ends: true };

    #[test]
    fn ignores_what_it_is_told_to() {
        for (normal, text, plain) in [
            (Normal::default(), "e\u{301} \r\n", "e\u{301} \r\n"),
            (NFC, "e\u{301} \r\n", "\u{e9} \r\n"),
            (NFC, "plain", "plain"),
            (NFC, "\u{212b}\u{1100}\u{1161}", "\u{c5}\u{ac00}"),
            (TRAILING, "a \t\n b\u{a0} \r\n\n c  ", "a\n b\u{a0}\n\n c"),
            (TRAILING, "a\n\n", "a\n\n"),
            (LINES, "a \r\nb\rc\n", "a \nb\rc\n"),
            (LINES, "a\r\r\nb", "a\nb"),
            (LINES, "a\r", "a\r"),
            (LINES, "a\nb", "a\nb"),
        ] {
            assert_eq!(normal.apply(text), plain, "{normal:?} {text:?}");
            assert_eq!(normal.apply(plain), plain, "{normal:?} {plain:?}");
        }
    }
}
