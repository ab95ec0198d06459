//! Rules about a single source file: how it opens, how long it is, that it is finished.

use super::Finding;
use super::tree::extension;

const LONGEST: usize = 400;
/// Spelled in two parts, so that this file does not find itself.
const UNFINISHED: [&str; 4] = [
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("dbg", "!("),
    concat!("FIX", "ME"),
];

/// A Rust file opens with one `//!` sentence, a Python file with a docstring.
pub(super) fn opening(path: &str, text: &str) -> Option<Finding> {
    if extension(path) == "rs" {
        let sentence = text
            .lines()
            .map_while(|line| line.strip_prefix("//!"))
            .map(str::trim);
        let sentence = sentence
            .take_while(|line| !line.is_empty())
            .collect::<Vec<_>>()
            .join(" ");
        if sentence.is_empty() {
            return Some(Finding::new(
                path,
                1,
                "open the file with one `//!` sentence that says what lives in it",
            ));
        }
        return (!sentence.ends_with('.'))
            .then(|| Finding::new(path, 1, "end the opening `//!` sentence with a full stop"));
    }
    if extension(path) == "py" {
        let Some(docstring) = docstring(text) else {
            return Some(Finding::new(
                path,
                1,
                "open the file with a docstring that says what lives in it",
            ));
        };
        return (!docstring.ends_with('.')).then(|| {
            Finding::new(
                path,
                1,
                "end the docstring's first sentence with a full stop",
            )
        });
    }
    None
}

/// The docstring's first paragraph.
fn docstring(text: &str) -> Option<String> {
    // Only comments, such as the line for the interpreter, may come before it.
    let is_before = |line: &&str| line.trim().is_empty() || line.starts_with('#');
    let lines: Vec<_> = text.lines().skip_while(is_before).collect();
    let body = lines.join("\n");
    let body = body
        .strip_prefix('r')
        .unwrap_or(&body)
        .strip_prefix("\"\"\"")?;
    let body = body.split_once("\"\"\"")?.0;
    let paragraph = body.trim().split("\n\n").next()?.trim();
    (!paragraph.is_empty()).then(|| paragraph.to_owned())
}

/// A file is split by noun before it grows past the limit.
pub(super) fn length(path: &str, text: &str) -> Option<Finding> {
    let lines = text.lines().count();
    let is_source = matches!(extension(path), "rs" | "py");
    (is_source && lines > LONGEST).then(|| {
        Finding::new(
            path,
            lines,
            format!("the file has {lines} lines; split it by noun (at most {LONGEST})"),
        )
    })
}

/// Nothing unfinished reaches the crates.
pub(super) fn unfinished(path: &str, text: &str) -> Vec<Finding> {
    let is_source = matches!(extension(path), "rs" | "py");
    if !is_source || !path.starts_with("crates/") {
        return Vec::new();
    }
    let found = (1..).zip(text.lines()).filter_map(|(number, line)| {
        let word = UNFINISHED
            .iter()
            .find(|word| line.contains(*word))?
            .trim_end_matches('(');
        Some(Finding::new(
            path,
            number,
            format!("`{word}` is unfinished work; finish it or open an issue"),
        ))
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::{UNFINISHED, length, opening, unfinished};

    fn fails(path: &str, text: &str) -> bool {
        opening(path, text).is_some()
    }

    #[test]
    fn rust_files_open_with_a_sentence() {
        assert!(!fails("a.rs", "//! What lives here.\n\nfn a() {}\n"));
        assert!(!fails(
            "a.rs",
            "//! A sentence over\n//! two lines.\n//!\n//! More\n"
        ));
        assert!(fails("a.rs", "//! No full stop\n"));
        assert!(fails("a.rs", "use std::fs;\n//! Too late.\n"));
        assert!(fails("a.rs", ""));
    }

    #[test]
    fn python_files_open_with_a_docstring() {
        assert!(!fails("a.py", "\"\"\"What lives here.\"\"\"\n"));
        assert!(!fails(
            "a.py",
            "#!/usr/bin/env python3\n\"\"\"What lives here.\n\nMore\n\"\"\"\n"
        ));
        assert!(fails("a.py", "\"\"\"No full stop\"\"\"\n"));
        assert!(fails("a.py", "\"\"\"\"\"\"\n"));
        assert!(fails("a.py", "import os\n"));
        assert!(fails("__init__.py", ""));
        assert!(!fails("a.md", "# Anything\n"));
    }

    #[test]
    fn long_files_are_found() {
        assert!(length("a.rs", &"x\n".repeat(400)).is_none());
        assert!(length("a.rs", &"x\n".repeat(401)).is_some());
        assert!(length("a.py", &"x\n".repeat(401)).is_some());
        assert!(length("a.md", &"x\n".repeat(401)).is_none());
    }

    #[test]
    fn unfinished_work_is_found_in_crates() {
        for word in UNFINISHED {
            let text = format!("//! A.\nfn a() {{ {word}) }}\n");
            let found = unfinished("crates/a/src/lib.rs", &text);
            assert_eq!(
                found.iter().map(|finding| finding.line).collect::<Vec<_>>(),
                [2]
            );
            assert!(unfinished("docs/a.md", &text).is_empty());
        }
        assert!(unfinished("crates/a/src/lib.rs", "//! A.\n// the todo list\n").is_empty());
    }
}
