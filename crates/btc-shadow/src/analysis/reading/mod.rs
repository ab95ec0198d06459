//! From bytes to lines: files, compressed or not, and the two ways to understand a line.

mod fast;
mod files;
mod line;

use serde::Serialize;

pub(super) use self::files::{each_line, open};
pub(super) use self::line::{Read, read};

/// A line that cannot be used, or something amiss with a whole run or file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file, or nothing for lines from memory.
    pub file: String,
    /// The line's number, from 1; 0 for a problem of a whole run or file.
    pub line: u64,
    /// What is wrong.
    pub what: String,
}

/// Problems up to a bound, and the number of all.
#[derive(Debug, Default)]
pub(super) struct Problems {
    pub(super) count: u64,
    pub(super) named: Vec<Problem>,
}

impl Problems {
    /// How many are named; the rest are counted.
    const MAX_NAMED: usize = 20;

    pub(super) fn add(&mut self, file: &str, line: u64, what: String) {
        self.count += 1;
        if self.named.len() < Self::MAX_NAMED {
            self.named.push(Problem {
                file: file.to_owned(),
                line,
                what,
            });
        }
    }
}
