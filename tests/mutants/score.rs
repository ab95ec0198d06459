//! `Score`: what became of each mutant, and the table at the end.

use std::fmt::Write;
use std::sync::Mutex;

use crate::table::{Caught, Mutant};
use crate::watch::{Found, Report, Role};

/// Filled by the trials.
#[derive(Default)]
pub(crate) struct Score(Mutex<Vec<Row>>);

struct Row {
    class: &'static str,
    is_caught: bool,
    found: [Found; 2],
}

impl Score {
    /// Judges what shadow mode found, and keeps it.
    ///
    /// # Errors
    /// What was not found, and what was found besides.
    pub(crate) fn judge(&self, mutant: &Mutant, report: Report) -> Result<(), String> {
        let expected = [mutant.python_first, mutant.rust_first];
        let mut faults = Vec::new();
        for (role, expected) in Role::ALL.into_iter().zip(expected) {
            compare(
                role,
                expected,
                &report.mismatches[role as usize],
                &mut faults,
            );
        }
        faults.extend(report.unclear);
        self.lock().push(Row {
            class: mutant.class,
            is_caught: faults.is_empty(),
            found: report.mismatches,
        });
        if faults.is_empty() {
            return Ok(());
        }
        Err(format!("{}:\n  {}", mutant.class, faults.join("\n  ")))
    }

    /// Keeps that a mutant could not be judged.
    pub(crate) fn miss(&self, mutant: &Mutant) {
        let mut rows = self.lock();
        if !rows.iter().any(|row| row.class == mutant.class) {
            rows.push(Row {
                class: mutant.class,
                is_caught: false,
                found: Default::default(),
            });
        }
    }

    /// A line for each mutant, and how many were caught; none when none was run.
    pub(crate) fn table(&self) -> Option<String> {
        let mut rows = self.lock();
        if rows.is_empty() {
            return None;
        }
        rows.sort_by_key(|row| row.class);
        let mut table = String::new();
        for row in rows.iter() {
            let word = if row.is_caught { "caught" } else { "MISSED" };
            let _ = write!(table, "  {word}  {:<30}", row.class);
            table.push_str(&places(&row.found));
            table.push('\n');
        }
        let all = rows.len();
        let caught = rows.iter().filter(|row| row.is_caught).count();
        let percent = 100 * caught / all;
        let _ = write!(table, "mutation score {caught} of {all} ({percent} %)");
        Some(table)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Row>> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// In words: where it was found in both roles, or in which one.
fn places([python_first, rust_first]: &[Found; 2]) -> String {
    let show = |found: &Found| {
        let operations = found.iter().map(|(operation, paths)| {
            let paths: Vec<_> = paths.iter().map(String::as_str).collect();
            format!("{operation} at {}", paths.join(", "))
        });
        operations.collect::<Vec<_>>().join("; ")
    };
    if python_first == rust_first {
        return show(python_first);
    }
    let named = Role::ALL.into_iter().zip([python_first, rust_first]);
    let named = named
        .filter(|(_, found)| !found.is_empty())
        .map(|(role, found)| format!("{}: {}", role.name(), show(found)));
    named.collect::<Vec<_>>().join(" | ")
}

fn compare(role: Role, expected: &[Caught], found: &Found, faults: &mut Vec<String>) {
    for caught in expected {
        let paths = found.get(&caught.operation);
        for path in caught.at {
            if !paths.is_some_and(|paths| paths.contains(*path)) {
                let operation = caught.operation;
                faults.push(format!(
                    "{}: not caught at {operation} {path}, but at {found:?}",
                    role.name()
                ));
            }
        }
    }
    for (operation, paths) in found {
        let known = expected
            .iter()
            .find(|caught| caught.operation == *operation);
        for path in paths {
            let is_known = known.is_some_and(|caught| {
                caught.at.contains(&path.as_str()) || caught.and.contains(&path.as_str())
            });
            if !is_known {
                faults.push(format!("{}: also found at {operation} {path}", role.name()));
            }
        }
    }
}
