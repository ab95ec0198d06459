//! Test runs that are counted: a suite that selects nothing has proved nothing.

use std::collections::BTreeSet;
use std::process::Command;

use crate::error::{Error, Result};
use crate::process;
use crate::session::Session;

/// What the runners' closing lines add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) ignored: u64,
    /// Why tests were left out, as far as they said it.
    reasons: BTreeSet<String>,
}

impl Count {
    /// Adds the count of another run.
    pub(crate) fn add_all(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
        self.reasons.extend(other.reasons);
    }

    /// Adds a runner's closing line, and why a test was left out; other lines add nothing.
    fn add(&mut self, line: &str) {
        if let Some(reason) = reason(line.trim()) {
            self.reasons.insert(reason.to_owned());
        }
        let Some(result) = closing(line.trim()) else {
            return;
        };
        for part in result.split([';', '.', ',']) {
            let mut words = part.split_whitespace();
            let Some(number) = words.next().and_then(|word| word.parse::<u64>().ok()) else {
                continue;
            };
            match words.next() {
                Some("passed") => self.passed += number,
                Some("failed") => self.failed += number,
                Some("ignored" | "skipped") => self.ignored += number,
                _ => {}
            }
        }
    }

    pub(crate) fn summary(&self) -> String {
        let mut ignored = String::new();
        if self.ignored > 0 {
            let reasons: Vec<_> = self.reasons.iter().map(String::as_str).collect();
            let why = if reasons.is_empty() {
                String::new()
            } else {
                format!(" ({})", reasons.join("; "))
            };
            ignored = format!(", {} {LEFT_OUT}{why}", self.ignored);
        }
        format!("{} passed{ignored}", self.passed)
    }
}

/// The word of a summary for tests that did not run.
pub(crate) const LEFT_OUT: &str = "ignored";

/// Why a test was left out: of cargo's `test a ... ignored, no disk`, and of pytest's
/// `SKIPPED [1] tests/test_a.py:3: no disk`.
fn reason(line: &str) -> Option<&str> {
    let of_cargo = || {
        let (_, outcome) = line.strip_prefix("test ")?.split_once(" ... ")?;
        // As the standard harness and as libtest-mimic write it.
        let in_brackets = || outcome.strip_prefix("ignored (")?.strip_suffix(')');
        outcome.strip_prefix("ignored, ").or_else(in_brackets)
    };
    let of_pytest = || Some(line.strip_prefix("SKIPPED [")?.split_once(": ")?.1);
    of_cargo().or_else(of_pytest)
}

/// The part with the numbers, of cargo's `test result: ok. 3 passed; 1 ignored; …` and of pytest's
/// `=== 3 passed, 1 skipped in 0.12s ===`.
fn closing(line: &str) -> Option<&str> {
    let pytest = || {
        let inner = line
            .strip_prefix("==")?
            .strip_suffix("==")?
            .trim_matches('=');
        Some(inner.rsplit_once(" in ")?.0)
    };
    line.strip_prefix("test result:").or_else(pytest)
}

/// Runs a test runner, shows all of its output, and fails when no test ran.
pub(crate) fn run(session: &Session<'_>, command: &mut Command) -> Result<Count> {
    let mut count = Count::default();
    process::watch(command, session.output, |line| count.add(line))?;
    if count.passed == 0 {
        return Err(Error::new(format!(
            "`{}` ran no test; a suite that selects nothing proves nothing",
            process::line(command)
        )));
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::Count;

    #[test]
    fn closing_lines_add_up() {
        let mut count = Count::default();
        count.add("test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.10s");
        count.add("test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out");
        count.add("running 12 tests");
        count.add("======= test session starts =======");
        count.add("test 9 passed ... ok");
        assert_eq!(
            count,
            Count {
                passed: 15,
                failed: 2,
                ignored: 1,
                ..Count::default()
            }
        );
        assert_eq!(count.summary(), "15 passed, 1 ignored");
    }

    #[test]
    fn why_tests_are_left_out_is_said_once() {
        let mut count = Count::default();
        count.add("test a ... ignored, no disk of its own");
        count.add("test b ... ignored (no disk of its own)");
        count.add("SKIPPED [1] tests/test_a.py:3: no node");
        count.add("test result: ok. 12 passed; 0 failed; 3 ignored; 0 measured; 0 filtered out");
        assert_eq!(
            count.summary(),
            "12 passed, 3 ignored (no disk of its own; no node)"
        );
    }

    #[test]
    fn pytest_is_understood() {
        let mut count = Count::default();
        count.add("=========== 1 failed, 351 passed, 2 skipped in 16.05s ============");
        count.add("=========== 4 passed in vain");
        assert_eq!((count.passed, count.failed, count.ignored), (351, 1, 2));
    }
}
