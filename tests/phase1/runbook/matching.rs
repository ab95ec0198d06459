//! Whether an output is the one that was expected, where `…` stands for whatever it may be.

/// In a line any text, alone on a line any lines, also none.
const ANY: &str = "…";

/// What is wrong, in words for the reader of the document; none if it is as expected. The first
/// expected line has this number.
pub(super) fn difference(expected: &[String], first_line: usize, output: &str) -> Option<String> {
    let found: Vec<&str> = output.lines().collect();
    // After each expected line, the numbers of found lines that may be used up.
    let mut used = vec![0_usize];
    for (number, line) in expected.iter().enumerate() {
        let before = used;
        used = if line.trim() == ANY {
            let least = before.first().copied().unwrap_or(0);
            (least..=found.len()).collect()
        } else {
            let next = before.iter().filter(|at| {
                let found = found.get(**at);
                found.is_some_and(|found| is_match(line.trim_end(), found.trim_end()))
            });
            next.map(|at| at + 1).collect()
        };
        if used.is_empty() {
            let next = before.first().and_then(|at| found.get(*at)).copied();
            let is_after_any = number > 0 && expected[number - 1].trim() == ANY;
            let instead = match next {
                Some(_) if is_after_any => "(nowhere in the rest of the output)",
                Some(next) => next,
                None => "(no more output)",
            };
            return Some(format!(
                "line {} does not come:\n  expected: {line}\n  found:    {instead}",
                first_line + number,
            ));
        }
    }
    match used.last() {
        Some(&last) if last < found.len() => Some(format!(
            "after line {} more comes than is expected:\n  found:    {}",
            first_line + expected.len().saturating_sub(1),
            found[last]
        )),
        _ => None,
    }
}

fn is_match(pattern: &str, text: &str) -> bool {
    let parts: Vec<&str> = pattern.split(ANY).collect();
    let [first, between @ .., last] = parts.as_slice() else {
        return pattern == text;
    };
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    for part in between {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}
