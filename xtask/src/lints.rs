//! Which lints end a run: those of the toolchain that this is written with. A newer one knows lints
//! that this code was not checked against; a newcomer sees them as warnings, and CI does not let them pass.

use std::process::Command;

use crate::process;

/// The toolchain whose lints are all satisfied, as major and minor version.
const LINTED_WITH: (u32, u32) = (1, 95);

/// Whether warnings are errors.
pub(crate) fn are_errors(is_strict: bool) -> bool {
    let version = process::read(Command::new("rustc").arg("--version"));
    is_strict || version.is_ok_and(|version| is_known(&version))
}

/// Whether a toolchain is no newer than the one whose lints are satisfied.
fn is_known(version: &str) -> bool {
    let number = version.split_whitespace().nth(1).unwrap_or_default();
    let mut parts = number.split('.').map(|part| part.parse().ok());
    let major_and_minor = parts.next().flatten().zip(parts.next().flatten());
    major_and_minor.is_some_and(|version: (u32, u32)| version <= LINTED_WITH)
}

#[cfg(test)]
mod tests {
    use super::{LINTED_WITH, is_known};

    #[test]
    fn lints_of_a_newer_toolchain_are_no_errors_for_a_newcomer() {
        assert!(is_known("rustc 1.95.0 (59807616e 2026-04-14)"));
        assert!(is_known("rustc 1.90.1"));
        assert!(!is_known("rustc 1.96.0-nightly (abc 2026-05-01)"));
        assert!(!is_known("rustc 2.0.0"));
        assert!(!is_known(""));
    }

    #[test]
    fn the_oldest_toolchain_that_builds_this_is_known() {
        let manifest = include_str!("../../Cargo.toml");
        let oldest = manifest
            .lines()
            .find_map(|line| line.strip_prefix("rust-version = "));
        let oldest = oldest.map(|text| format!("rustc {}.0", text.trim_matches('"')));
        assert!(
            oldest.is_some_and(|oldest| is_known(&oldest)),
            "{LINTED_WITH:?}"
        );
    }
}
