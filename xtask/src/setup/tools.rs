//! The cargo tools that the commands call, pinned and kept apart from the person's own.

use std::process::Command;

use super::lock::Lock;
use crate::error::Result;
use crate::process::{self, Output};
use crate::terminal::note;
use crate::workspace::Workspace;

/// A cargo subcommand at a fixed version.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tool {
    /// The package and the program.
    pub(crate) name: &'static str,
    subcommand: &'static str,
    version: &'static str,
}

pub(crate) const CARGO_HACK: Tool = Tool {
    name: "cargo-hack",
    subcommand: "hack",
    version: "0.6.46",
};
pub(crate) const CARGO_DENY: Tool = Tool {
    name: "cargo-deny",
    subcommand: "deny",
    version: "0.20.2",
};
pub(crate) const CARGO_FUZZ: Tool = Tool {
    name: "cargo-fuzz",
    subcommand: "fuzz",
    version: "0.13.2",
};

/// Installs the tools whose pinned version is not there.
pub(crate) fn ensure(workspace: &Workspace, tools: &[Tool]) -> Result<()> {
    for tool in tools {
        if is_there(workspace, *tool) {
            continue;
        }
        let _lock = Lock::take(workspace)?;
        if !is_there(workspace, *tool) {
            note(&format!("installing {} {} (once)", tool.name, tool.version));
            let mut cargo = install(workspace, *tool);
            // Cargo warns about a folder of programs that is not on PATH.
            cargo.env(
                "PATH",
                process::prepend("PATH", &[workspace.tools().join("bin")])?,
            );
            process::run(&mut cargo, Output::Stderr)?;
        }
    }
    Ok(())
}

fn is_there(workspace: &Workspace, tool: Tool) -> bool {
    let mut ask = Command::new(workspace.tools().join("bin").join(tool.name));
    ask.args([tool.subcommand, "--version"]);
    let answer = ask.output();
    answer.is_ok_and(|answer| says(&String::from_utf8_lossy(&answer.stdout), tool.version))
}

fn says(answer: &str, version: &str) -> bool {
    answer.split_whitespace().any(|word| word == version)
}

fn install(workspace: &Workspace, tool: Tool) -> Command {
    let mut cargo = workspace.cargo();
    cargo.args([
        "install",
        "--locked",
        "--force",
        "--version",
        tool.version,
        "--root",
    ]);
    cargo.arg(workspace.tools()).arg(tool.name);
    // Away from the repository, so that its settings do not leak into the build.
    cargo.current_dir(workspace.cache());
    // They run for seconds: whole-program optimisation would cost more than it ever saves.
    cargo
        .env_remove("CARGO_TARGET_DIR")
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
    cargo
}

#[cfg(test)]
mod tests {
    use super::{CARGO_HACK, install, says};
    use crate::process::line;
    use crate::workspace::Workspace;

    #[test]
    fn the_version_is_a_whole_word() {
        assert!(says("cargo-hack 0.6.46\n", "0.6.46"));
        assert!(!says("cargo-hack 0.6.460\n", "0.6.46"));
        assert!(!says("", "0.6.46"));
    }

    #[test]
    fn tools_stay_in_the_cache() {
        let workspace = Workspace::at("/r".as_ref(), "/c".as_ref());
        let typed = line(&install(&workspace, CARGO_HACK));
        assert!(
            typed.ends_with("install --locked --force --version 0.6.46 --root /c/tools cargo-hack")
        );
    }
}
