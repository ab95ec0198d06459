//! One line: understood, empty, or why it is neither.

use serde::Deserialize;

use super::fast;
use crate::record::{Line, OLDEST_VERSION, VERSION};

/// What became of a line.
pub(in crate::analysis) enum Read {
    /// It is understood.
    Line(Line),
    /// There is nothing on it.
    Empty,
    /// It cannot be used, because of this.
    Problem(String),
}

/// Understands one line as it stands in a log, with or without its end.
pub(in crate::analysis) fn read(text: &[u8]) -> Read {
    let is_ended = text.ends_with(b"\n");
    let text = text.trim_ascii();
    if text.is_empty() {
        return Read::Empty;
    }
    if let Some(line) = fast::comparison(text) {
        return Read::Line(line);
    }
    match serde_json::from_slice::<Line>(text) {
        Ok(line) if is_read(line.version.into()) => Read::Line(line),
        Ok(line) => other_version(line.version.into()),
        Err(cause) => match serde_json::from_slice::<Versioned>(text) {
            // A line of another version may have another shape. A list is none.
            Ok(Versioned { version }) if text[0] == b'{' && !is_read(version) => {
                other_version(version)
            }
            _ if !is_ended => Read::Problem("the line is unfinished".to_owned()),
            _ => Read::Problem(format!("not a line of a log: {}", shortened(&cause))),
        },
    }
}

fn is_read(version: u64) -> bool {
    (u64::from(OLDEST_VERSION)..=u64::from(VERSION)).contains(&version)
}

fn other_version(version: u64) -> Read {
    Read::Problem(format!(
        "version {version} is none that this build reads, which are {OLDEST_VERSION} to {VERSION}"
    ))
}

/// An error may quote the line, which may be long.
fn shortened(cause: &serde_json::Error) -> String {
    const MAX_CHARS: usize = 200;
    let text = cause.to_string();
    match text.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// The one thing that every version of a line says.
#[derive(Deserialize)]
struct Versioned {
    version: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        match read(text.as_bytes()) {
            Read::Problem(what) => what,
            Read::Line(_) | Read::Empty => "none".to_owned(),
        }
    }

    #[test]
    fn other_versions_are_named_whatever_their_shape() {
        for (text, version) in [
            (
                "{\"version\":1,\"run\":\"1714 22 0\",\"kind\":\"start\"}\n",
                1,
            ),
            ("{\"kind\":[],\"version\":77}\n", 77),
            ("{\"version\":0}", 0),
        ] {
            let expected =
                format!("version {version} is none that this build reads, which are 2 to 3");
            assert_eq!(problem(text), expected);
        }
    }

    #[test]
    fn what_is_no_line_says_why_and_not_at_length() {
        assert_eq!(problem("{\"version\":2"), "the line is unfinished");
        let long = format!("{{\"version\":2,\"run\":\"{}\"}}\n", "x".repeat(9_000));
        for text in ["{}\n", "[1]\n", "nonsense\n", "{\"version\":2}\n", &long] {
            let what = problem(text);
            assert!(what.starts_with("not a line of a log: "), "{what}");
            assert!(what.len() < 400, "{what}");
        }
        assert_eq!(problem("  \n"), "none");
    }
}
