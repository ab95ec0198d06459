//! A machine that is ready, and the environment that its child processes get.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::Result;
use crate::flags::Purpose;
use crate::process::{self, Output};
use crate::setup;
use crate::setup::python::Python;
use crate::workspace::Workspace;

/// What `setup` found or made, and where the children's output goes.
pub(crate) struct Session<'w> {
    pub(crate) workspace: &'w Workspace,
    bitcoind: PathBuf,
    python: Python,
    pub(crate) output: Output,
}

impl<'w> Session<'w> {
    /// Sets the machine up as far as `purpose` needs and opens a session on it.
    pub(crate) fn open(workspace: &'w Workspace, purpose: Purpose, yes: bool) -> Result<Self> {
        let machine = setup::prepare(workspace, purpose, yes)?;
        let (bitcoind, python) = (machine.bitcoind, machine.python);
        Ok(Self {
            workspace,
            bitcoind,
            python,
            output: Output::Stdout,
        })
    }

    /// Keeps stdout free for a machine-readable answer.
    pub(crate) fn with_output(self, output: Output) -> Self {
        Self { output, ..self }
    }

    /// `cargo` with the node, the Python environment, the tools and libpython in reach; the words
    /// are separated by spaces.
    pub(crate) fn cargo(&self, words: &str) -> Result<Command> {
        let mut command = self.workspace.cargo();
        command.args(locked(words));
        self.equip(&mut command)?;
        Ok(command)
    }

    /// A module of the Python environment and its arguments, in the Python package's folder.
    pub(crate) fn python(&self, words: &str) -> Result<Command> {
        let mut command = Command::new(self.workspace.venv().join("bin/python"));
        command.current_dir(self.workspace.python_package());
        command.arg("-m").args(words.split_whitespace());
        self.equip(&mut command)?;
        Ok(command)
    }

    /// Runs a child with its output in the open.
    pub(crate) fn run(&self, command: &mut Command) -> Result<()> {
        process::run(command, self.output)
    }

    /// Says something where the children's output goes.
    pub(crate) fn say(&self, text: &str) {
        self.output.say(text);
    }

    fn equip(&self, command: &mut Command) -> Result<()> {
        command
            .env("BITCOIND_EXE", &self.bitcoind)
            .env("PYTHON_VENV", self.workspace.venv())
            .env(
                "PATH",
                process::prepend("PATH", &[self.workspace.tools().join("bin")])?,
            );
        // Unit and documentation tests have no run path to a libpython outside the system's folders.
        if let Some(folder) = self
            .python
            .library_folder()
            .filter(|folder| !is_system(folder))
        {
            let folders = process::prepend("LD_LIBRARY_PATH", &[folder.to_path_buf()])?;
            command.env("LD_LIBRARY_PATH", folders);
        }
        Ok(())
    }
}

/// The words with `--locked`, where the command takes it: what is checked is what Cargo.lock says,
/// and no newer version of a dependency.
fn locked(words: &str) -> Vec<&str> {
    let mut words: Vec<_> = words.split_whitespace().collect();
    let place = match words.first() {
        // Handed on to the command that it runs.
        Some(&"hack") => 2,
        Some(
            &("build" | "test" | "check" | "clippy" | "doc" | "run" | "tree" | "bench" | "package"),
        ) => 1,
        _ => return words,
    };
    words.insert(place, "--locked");
    words
}

/// Folders that the dynamic linker searches anyway.
fn is_system(folder: &Path) -> bool {
    ["/usr/lib", "/lib", "/usr/lib64", "/lib64"]
        .iter()
        .any(|system| folder.starts_with(system))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{is_system, locked};

    #[test]
    fn what_is_checked_is_what_the_lock_file_says() {
        assert_eq!(
            locked("test --package x -- y"),
            ["test", "--locked", "--package", "x", "--", "y"]
        );
        assert_eq!(
            locked("hack check --x"),
            ["hack", "check", "--locked", "--x"]
        );
        assert_eq!(locked("fmt --all"), ["fmt", "--all"]);
    }

    #[test]
    fn only_foreign_libraries_need_a_search_path() {
        assert!(is_system(Path::new("/usr/lib/x86_64-linux-gnu")));
        assert!(!is_system(Path::new("/usr/local/lib")));
        assert!(!is_system(Path::new("/opt/python/lib")));
    }
}
