//! Sentences on a terminal: broken between words, and set in as far as they begin.

use std::io::{IsTerminal as _, stdout};

/// The columns of a terminal that nobody made wider.
const WIDTH: usize = 80;

/// The text, with its long lines broken if standard output is a terminal. Whoever searches or
/// keeps the output gets each line whole.
pub(crate) fn for_terminal(text: String) -> String {
    if stdout().is_terminal() {
        wrap(&text)
    } else {
        text
    }
}

fn wrap(text: &str) -> String {
    text.lines().map(line).collect()
}

fn line(text: &str) -> String {
    if text.chars().count() <= WIDTH {
        return format!("{text}\n");
    }
    let (first, sentence) = text.split_at(start(text));
    let indent = first.chars().count();
    let mut out = first.to_owned();
    let mut column = indent;
    for (number, word) in sentence.split(' ').enumerate() {
        let width = word.chars().count();
        // What is wider than a line would not fit into the next one either.
        if number > 0 && column + 1 + width > WIDTH && indent + width <= WIDTH {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        } else if number > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += width;
    }
    out.push('\n');
    out
}

/// Where the sentence begins: behind the spaces, and behind a word with a gap after it.
fn start(text: &str) -> usize {
    let behind = |from: usize| {
        let rest = &text[from..];
        from + rest.len() - rest.trim_start_matches(' ').len()
    };
    let first = behind(0);
    let end = text[first..].find(' ').map_or(text.len(), |it| first + it);
    match behind(end) {
        after if after > end + 1 => after,
        _ => first,
    }
}

#[cfg(test)]
mod tests {
    use super::{WIDTH, wrap};

    #[test]
    fn sentences_break_between_words_under_their_beginning() {
        let words = "words ".repeat(30);
        for (first, indent) in [("  hold  ", 8), ("NO      ", 8), ("        ", 8), ("", 0)] {
            let text = format!("{first}{}", words.trim_end());
            let shown = wrap(&text);
            let lines: Vec<_> = shown.lines().collect();
            assert!(lines.len() > 2 && lines.iter().all(|line| line.chars().count() <= WIDTH));
            let further = &lines[1..];
            let begins = format!("{}words", " ".repeat(indent));
            assert!(
                further.iter().all(|line| line.starts_with(&begins)),
                "{shown}"
            );
            let joined: Vec<_> = shown.split_whitespace().collect();
            assert_eq!(joined, text.split_whitespace().collect::<Vec<_>>());
        }
    }

    #[test]
    fn values_stay_whole_to_be_copied() {
        let value = "f".repeat(200);
        let text = format!("    primary   {value}\n    secondary {value}\n");
        assert_eq!(wrap(&text), text);
    }
}
