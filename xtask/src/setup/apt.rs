//! Installs system packages where that is allowed, and else says what to type.

use std::fs;
use std::process::Command;

use super::packages::Need;
use crate::error::{Error, Result};
use crate::process::{self, Output, find_on_path, succeeds};
use crate::terminal::{self, note};

/// Installs the packages. On a terminal it asks first. Without one it cannot ask, and installs
/// with `--yes` alone.
pub(crate) fn install(needs: &[Need], yes: bool) -> Result<()> {
    note("system packages are missing:");
    for need in needs {
        terminal::complain(&format!("    {:<14} {}", need.package, need.reason));
    }
    let Some(prefix) = privilege() else {
        return Err(by_hand(needs));
    };
    let ask = || terminal::confirm(&format!("Run `{}`?", command_line(needs)));
    if !is_allowed(yes, terminal::is_interactive(), ask) {
        return Err(by_hand(needs));
    }
    let mut is_fresh = false;
    if !has_package_lists() {
        update(&prefix)?;
        is_fresh = true;
    }
    let first = process::run(&mut apt(&prefix, &install_args(needs)), Output::Stderr);
    if first.is_ok() || is_fresh {
        return first;
    }
    // Old lists name versions that the mirror no longer has.
    note("the package lists may be old; updating them");
    update(&prefix)?;
    process::run(&mut apt(&prefix, &install_args(needs)), Output::Stderr)
}

/// Whether the system's packages have this one, as far as is known before the first update.
pub(crate) fn offers(package: &str) -> bool {
    let mut show = Command::new("apt-cache");
    show.args(["show", "--no-all-versions", package]);
    !has_package_lists() || succeeds(&mut show)
}

/// What macOS needs; the compiler is that of its command line tools.
const BY_HOMEBREW: &str = "tools are missing; run `xcode-select --install` and `brew install cmake ninja pkgconf \
                           boost libevent openssl@3 python@3.11`, and try again";

/// The packages are installed, yet what they should provide is not there.
pub(crate) fn still_missing(needs: &[Need]) -> Error {
    let names = names(needs);
    Error::new(format!(
        "installed, but still not found: {names}; is another toolchain first on PATH?"
    ))
}

/// Whether packages may be installed: `--yes` says so, or a person who is asked.
fn is_allowed(yes: bool, is_interactive: bool, ask: impl FnOnce() -> bool) -> bool {
    yes || (is_interactive && ask())
}

fn by_hand(needs: &[Need]) -> Error {
    if cfg!(target_os = "macos") {
        return Error::new(format!("{BY_HOMEBREW} (missing: {})", names(needs)));
    }
    Error::new(format!(
        "system packages are missing; run this line, or install the same things in your system's way, and try again:\n\n    \
         sudo apt-get update && sudo {}\n\n    or let this command do it: add --yes\n",
        command_line(needs)
    ))
}

/// The words before `apt-get`; None when this process may not install.
fn privilege() -> Option<Vec<&'static str>> {
    find_on_path("apt-get")?;
    if is_root() {
        return Some(Vec::new());
    }
    succeeds(Command::new("sudo").args(["-n", "true"])).then(|| vec!["sudo", "-n"])
}

fn is_root() -> bool {
    process::read(Command::new("id").arg("-u")).is_ok_and(|uid| uid.trim() == "0")
}

fn has_package_lists() -> bool {
    fs::read_dir("/var/lib/apt/lists").is_ok_and(|entries| {
        entries
            .flatten()
            .any(|entry| entry.file_name().to_string_lossy().contains("_Packages"))
    })
}

fn update(prefix: &[&str]) -> Result<()> {
    process::run(&mut apt(prefix, &["update"]), Output::Stderr)
}

fn apt(prefix: &[&str], args: &[&str]) -> Command {
    // Through `env`, because sudo drops the environment; the timeout waits for another apt.
    let fixed = [
        "env",
        "DEBIAN_FRONTEND=noninteractive",
        "apt-get",
        "-q",
        "-o",
        "DPkg::Lock::Timeout=300",
    ];
    let mut words = prefix.iter().chain(&fixed).chain(args);
    let mut command = Command::new(words.next().unwrap_or(&"env"));
    command.args(words);
    command
}

fn install_args(needs: &[Need]) -> Vec<&'static str> {
    let fixed = ["install", "--yes", "--no-install-recommends"];
    fixed
        .into_iter()
        .chain(needs.iter().map(|need| need.package))
        .collect()
}

fn command_line(needs: &[Need]) -> String {
    format!(
        "apt-get install --yes --no-install-recommends {}",
        names(needs)
    )
}

fn names(needs: &[Need]) -> String {
    needs
        .iter()
        .map(|need| need.package)
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::{apt, by_hand, install_args, is_allowed};
    use crate::process::line;
    use crate::setup::packages::Need;

    const NEEDS: [Need; 2] = [
        Need {
            package: "cmake",
            reason: "a",
        },
        Need {
            package: "python3-dev",
            reason: "b",
        },
    ];

    #[test]
    fn without_a_terminal_packages_are_installed_with_yes_alone() {
        assert!(!is_allowed(false, false, || unreachable!(
            "without a terminal there is no answer"
        )));
        assert!(is_allowed(true, false, || unreachable!("it was said")));
        assert!(is_allowed(true, true, || unreachable!("it was said")));
        assert!(is_allowed(false, true, || true));
        assert!(!is_allowed(false, true, || false));
    }

    #[test]
    fn the_line_to_type_is_whole() {
        let text = by_hand(&NEEDS).to_string();
        assert!(text.contains(
            "\n    sudo apt-get update && sudo apt-get install --yes --no-install-recommends cmake python3-dev\n"
        ));
    }

    #[test]
    fn sudo_passes_the_environment_on() {
        let command = apt(&["sudo", "-n"], &install_args(&NEEDS));
        assert_eq!(
            line(&command),
            "sudo -n env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 \
             install --yes --no-install-recommends cmake python3-dev"
        );
        assert!(
            line(&apt(&[], &["update"])).starts_with("env DEBIAN_FRONTEND=noninteractive apt-get")
        );
    }
}
