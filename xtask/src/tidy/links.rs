//! The rule that links in documents arrive: at a file of the repository, and at a heading in it.

use std::collections::BTreeMap;

use super::Finding;
use super::tree::{Tree, extension};

pub(super) fn check(path: &str, text: &str, tree: &Tree) -> Vec<Finding> {
    if extension(path) != "md" {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (line, target) in
        prose(text).flat_map(|(number, line)| targets(&line).into_iter().map(move |t| (number, t)))
    {
        if let Some(message) = problem(path, &target, tree) {
            findings.push(Finding::new(path, line, message));
        }
    }
    findings
}

/// What is wrong with a link; None when it arrives or leads out of the repository.
fn problem(path: &str, target: &str, tree: &Tree) -> Option<String> {
    let is_absolute = target
        .split_once(':')
        .is_some_and(|(scheme, _)| scheme.chars().all(|c| c.is_ascii_alphanumeric()));
    if target.is_empty() || is_absolute {
        return None;
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let Some(file) = resolve(path, &decoded(file)) else {
        return Some(format!(
            "the link `{target}` leads out of the repository; link to something inside"
        ));
    };
    if !tree.exists(&file) {
        return Some(format!(
            "the link `{target}` leads nowhere; there is no {file}"
        ));
    }
    if anchor.is_empty() || extension(&file) != "md" {
        return None;
    }
    let has = tree
        .text(&file)
        .is_some_and(|text| anchors(text).iter().any(|known| known == anchor));
    (!has).then(|| {
        format!("the link `{target}` leads nowhere; {file} has no heading for `#{anchor}`")
    })
}

/// The path from the root; None when it climbs over it.
fn resolve(from: &str, link: &str) -> Option<String> {
    if link.is_empty() {
        return Some(from.to_owned());
    }
    let mut parts: Vec<&str> = match link.strip_prefix('/') {
        Some(_) => Vec::new(),
        None => from.split('/').collect(),
    };
    parts.pop();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// `%20` and its kind.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail
            .get(..2)
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .filter(|_| *first == b'%');
        if let Some(byte) = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            bytes.push(byte);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The lines outside code blocks, with code in backticks taken out.
fn prose(text: &str) -> impl Iterator<Item = (usize, String)> {
    let mut fence: Option<&str> = None;
    (1..).zip(text.lines()).filter_map(move |(number, line)| {
        let start = line.trim_start();
        let mark = ["```", "~~~"]
            .into_iter()
            .find(|mark| start.starts_with(mark));
        match (fence, mark) {
            (None, Some(mark)) => fence = Some(mark),
            (Some(open), Some(mark)) if open == mark => fence = None,
            (None, None) => return Some((number, without_code(line))),
            _ => {}
        }
        None
    })
}

fn without_code(line: &str) -> String {
    // An odd last piece has no closing backtick and is text.
    let pieces: Vec<_> = line.split('`').collect();
    let last = pieces.len() - 1;
    let is_text = |index: usize| index.is_multiple_of(2) || index == last;
    (0..)
        .zip(pieces)
        .filter(|(index, _)| is_text(*index))
        .map(|(_, piece)| piece)
        .collect()
}

/// `[text](target)`, `![text](target)` and `[name]: target`.
fn targets(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    if let Some((_, target)) = line
        .trim_start()
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("]: "))
    {
        found.push(bare(target));
    }
    let mut rest = line;
    while let Some((_, after)) = rest.split_once("](") {
        let mut depth = 1;
        let end = after.find(|c| {
            depth += match c {
                '(' => 1,
                ')' => -1,
                _ => 0,
            };
            depth == 0
        });
        let Some(end) = end else { break };
        found.push(bare(&after[..end]));
        rest = &after[end..];
    }
    found
}

/// The target without its title and its angle brackets.
fn bare(target: &str) -> String {
    let target = target.trim();
    match target
        .strip_prefix('<')
        .and_then(|target| target.split_once('>'))
    {
        Some((inner, _)) => inner.to_owned(),
        None => target.split_whitespace().next().unwrap_or("").to_owned(),
    }
}

/// The anchors of a document: its headings as GitHub names them, and `id`s written by hand.
fn anchors(text: &str) -> Vec<String> {
    let mut seen = BTreeMap::new();
    let mut found = Vec::new();
    let outside: Vec<_> = prose(text).map(|(number, _)| number).collect();
    for (number, line) in (1..).zip(text.lines()) {
        if outside.binary_search(&number).is_err() {
            continue;
        }
        for attribute in ["id=\"", "name=\""] {
            found.extend(
                line.split(attribute)
                    .skip(1)
                    .filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())),
            );
        }
        let title = line.trim_start_matches('#');
        let level = line.len() - title.len();
        if (1..=6).contains(&level) && title.starts_with(' ') {
            let slug = slug(title);
            let count: &mut usize = seen.entry(slug.clone()).or_default();
            found.push(if *count == 0 {
                slug
            } else {
                format!("{slug}-{count}")
            });
            *count += 1;
        }
    }
    found
}

fn slug(title: &str) -> String {
    // A link in a heading counts with its text only.
    let mut plain = title.trim().trim_end_matches('#').trim().to_owned();
    while let Some((before, target)) = plain.split_once("](") {
        let after = target.split_once(')').map_or("", |(_, after)| after);
        plain = format!("{before}{after}");
    }
    let kept = plain
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.flat_map(char::to_lowercase)
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{anchors, check, decoded, targets};
    use crate::tidy::tree::Tree;

    fn messages(text: &str) -> Vec<String> {
        let tree = Tree::of(&[
            ("docs/a.md", text),
            ("docs/b.md", "# The `first` one\n## Two\n## Two\n"),
            ("LICENSE", ""),
        ]);
        check("docs/a.md", text, &tree)
            .into_iter()
            .map(|finding| finding.message)
            .collect()
    }

    #[test]
    fn good_links_arrive() {
        let text = "# Here\n[a](b.md) [b](./b.md#the-first-one) [c](b.md#two-1) [d](#here) ![e](../LICENSE)\n\
                    [f](..) [g](https://example.org/x#y) [h](mailto:a@example.org) [i](<b.md> \"title\")\n\n[j]: b.md\n";
        assert_eq!(messages(text), Vec::<String>::new());
    }

    #[test]
    fn lost_links_are_found() {
        assert_eq!(
            messages("[a](c.md)"),
            ["the link `c.md` leads nowhere; there is no docs/c.md"]
        );
        assert_eq!(
            messages("[a](b.md#three)"),
            ["the link `b.md#three` leads nowhere; docs/b.md has no heading for `#three`"]
        );
        assert_eq!(messages("[a](#gone)").len(), 1);
        assert_eq!(messages("[a](../../x.md)").len(), 1);
        assert_eq!(messages("[j]: c.md\n").len(), 1);
        assert_eq!(messages("[a](b.md) and [b](c.md)").len(), 1);
    }

    #[test]
    fn code_is_no_link() {
        assert!(messages("```text\n[a](c.md)\n```\n`[a](c.md)`\n").is_empty());
        assert_eq!(messages("```text\n```\n[a](c.md)\n").len(), 1);
    }

    #[test]
    fn headings_become_anchors() {
        assert_eq!(
            anchors(
                "# Bad input: what then?\n```\n# no\n```\n## A [link](x.md)\n<a id=\"own\"></a>\n"
            ),
            ["bad-input-what-then", "a-link", "own"]
        );
    }

    #[test]
    fn targets_are_cut_out() {
        assert_eq!(targets("[a](b_(c).md) [d](e)"), ["b_(c).md", "e"]);
        assert_eq!(decoded("a%20b%zz"), "a b%zz");
    }
}
