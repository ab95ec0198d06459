//! Texts of others, such as labels and the words of a node, so that a terminal shows them and does
//! nothing that they say.

use std::borrow::Cow;

/// The sequences of the styles in `output`; whatever else begins with an escape is another's.
const OURS: [&str; 5] = ["\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[32m"];

/// The text with what a terminal would obey written out, as in `\u{1b}`: control characters and
/// marks that turn the direction of writing. Line ends, tabs and our own colours stay.
pub(crate) fn lines(text: &str) -> Cow<'_, str> {
    write_out(text, as_written, |rest, character| match character {
        '\n' | '\t' => true,
        '\x1b' => OURS.iter().any(|ours| rest.starts_with(ours)),
        _ => false,
    })
}

/// The same of a text that stands in a line with others: it must not begin a line of its own.
pub(crate) fn inline(text: &str) -> Cow<'_, str> {
    write_out(text, as_written, |_, _| false)
}

/// The same of JSON, which says the same afterwards.
pub(crate) fn json(text: &str) -> Cow<'_, str> {
    // All that is obeyed is in the plane that four digits reach.
    let escape = |character| format!("\\u{:04x}", u32::from(character));
    write_out(text, escape, |_, character| {
        matches!(character, '\n' | '\t')
    })
}

fn as_written(character: char) -> String {
    character.escape_unicode().to_string()
}

fn write_out(
    text: &str,
    escape: impl Fn(char) -> String,
    is_kept: impl Fn(&str, char) -> bool,
) -> Cow<'_, str> {
    if !text.chars().any(is_obeyed) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for (place, character) in text.char_indices() {
        if !is_obeyed(character) || is_kept(&text[place..], character) {
            out.push(character);
        } else {
            out.push_str(&escape(character));
        }
    }
    Cow::Owned(out)
}

fn is_obeyed(character: char) -> bool {
    // Directions of writing (Unicode, annex 9), and separators of lines.
    let turns = matches!(
        character,
        '\u{200e}' | '\u{200f}' | '\u{61c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            | '\u{2028}' | '\u{2029}'
    );
    character.is_control() || turns
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::{BAD, GOOD, LABEL};

    #[test]
    fn what_a_terminal_would_obey_is_written_out() {
        for (text, shown) in [
            ("rent", "rent"),
            (
                "caf\u{e9} \u{20bf} \u{1f600}",
                "caf\u{e9} \u{20bf} \u{1f600}",
            ),
            ("\x1b]0;title\x07", "\\u{1b}]0;title\\u{7}"),
            ("\x1b[2J", "\\u{1b}[2J"),
            ("\x1b[8mhidden", "\\u{1b}[8mhidden"),
            ("\u{9b}2J", "\\u{9b}2J"),
            ("paid\rreceived", "paid\\u{d}received"),
            ("a\x08b\x7f", "a\\u{8}b\\u{7f}"),
            ("abc\u{202e}cba", "abc\\u{202e}cba"),
        ] {
            assert_eq!(lines(text), shown);
            assert_eq!(inline(text), shown);
        }
    }

    #[test]
    fn a_label_makes_no_line_of_its_own() {
        assert_eq!(inline("rent\n+1 BTC"), "rent\\u{a}+1 BTC");
        assert_eq!(lines("one\ntwo\tthree"), "one\ntwo\tthree");
    }

    #[test]
    fn json_says_the_same_afterwards() {
        let hostile = "rent\u{9b}2J\u{202e}\u{7f}\u{7}";
        let text = serde_json::to_string_pretty(&vec![hostile]).expect("plain data");
        let shown = json(&text);
        assert!(
            shown
                .chars()
                .all(|character| character == '\n' || !is_obeyed(character))
        );
        let read: Vec<String> = serde_json::from_str(&shown).expect("still JSON");
        assert_eq!(read, [hostile]);
    }

    #[test]
    fn our_own_colours_stay() {
        for style in [LABEL, GOOD, BAD] {
            let text = format!("{style}word{style:#}");
            assert_eq!(lines(&text), text);
        }
    }
}
