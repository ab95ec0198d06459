//! Test runs that are counted: a suite that selects nothing has proved nothing.

use std::process::Command;

use crate::error::{Error, Result};
use crate::process;
use crate::session::Session;

/// What the runners' closing lines add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) ignored: u64,
}

impl Count {
    /// Adds a runner's closing line; other lines add nothing.
    fn add(&mut self, line: &str) {
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

    pub(crate) fn summary(self) -> String {
        let ignored = if self.ignored > 0 {
            format!(", {} ignored", self.ignored)
        } else {
            String::new()
        };
        format!("{} passed{ignored}", self.passed)
    }
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
                ignored: 1
            }
        );
        assert_eq!(count.summary(), "15 passed, 1 ignored");
    }

    #[test]
    fn pytest_is_understood() {
        let mut count = Count::default();
        count.add("=========== 1 failed, 351 passed, 2 skipped in 16.05s ============");
        count.add("=========== 4 passed in vain");
        assert_eq!((count.passed, count.failed, count.ignored), (351, 1, 2));
    }
}
