//! Running other programs: inherited output, captured output, and output that is counted on its way.

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use crate::error::{Context, Error, Result};
use crate::terminal;

/// Where a child's stdout goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    Stdout,
    /// Keeps our own stdout for the machine-readable answer.
    Stderr,
}

impl Output {
    pub(crate) fn say(self, text: &str) {
        match self {
            Self::Stdout => terminal::answer(text),
            Self::Stderr => terminal::complain(text),
        }
    }
}

/// Runs a program with our output; a failure names its command line.
pub(crate) fn run(command: &mut Command, output: Output) -> Result<()> {
    if output == Output::Stderr {
        command.stdout(stderr_handle()?);
    }
    let status = command.status().context(|| cannot_start(command))?;
    check(command, status)
}

/// Runs a program whose stdout is the answer.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    let answer = command
        .stderr(Stdio::inherit())
        .output()
        .context(|| cannot_start(command))?;
    check(command, answer.status)?;
    String::from_utf8(answer.stdout)
        .context(|| format!("`{}` did not answer in UTF-8", line(command)))
}

/// Runs a program in silence; true when it succeeds.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Runs a program and shows each line of its stdout to `watch` after printing it.
pub(crate) fn watch(
    command: &mut Command,
    output: Output,
    mut watch: impl FnMut(&str),
) -> Result<()> {
    lines(command, |line| {
        output.say(line);
        watch(line);
    })
}

/// Runs a program and hands each line of its stdout over, printing nothing.
pub(crate) fn lines(command: &mut Command, mut each: impl FnMut(&str)) -> Result<()> {
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .context(|| cannot_start(command))?;
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).split(b'\n') {
            let line = line.context(|| format!("cannot read from `{}`", self::line(command)))?;
            each(String::from_utf8_lossy(&line).trim_end_matches('\r'));
        }
    }
    let status = child
        .wait()
        .context(|| format!("lost `{}`", line(command)))?;
    check(command, status)
}

/// The program of that name on PATH.
pub(crate) fn find_on_path(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(|candidate| is_executable(candidate))
}

/// True for a file that may be run.
pub(crate) fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// `PATH`, or another list of folders, with some folders put first.
pub(crate) fn prepend(variable: &str, folders: &[PathBuf]) -> Result<std::ffi::OsString> {
    let old = std::env::var_os(variable).unwrap_or_default();
    let rest = std::env::split_paths(&old).filter(|path| !path.as_os_str().is_empty());
    std::env::join_paths(folders.iter().cloned().chain(rest))
        .context(|| format!("cannot extend {variable} (a folder has a colon in its name)"))
}

/// The command line, as a person would type it.
pub(crate) fn line(command: &Command) -> String {
    let program = Path::new(command.get_program())
        .file_name()
        .unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(quoted).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    if word.is_empty() || word.contains([' ', '\n', '"', '\'']) {
        format!("{word:?}")
    } else {
        word.into_owned()
    }
}

fn check(command: &Command, status: ExitStatus) -> Result<()> {
    if status.success() {
        return Ok(());
    }
    Err(Error::new(format!(
        "`{}` failed ({status}); its own output is above",
        line(command)
    )))
}

fn cannot_start(command: &Command) -> String {
    format!("cannot start `{}`", line(command))
}

fn stderr_handle() -> Result<Stdio> {
    let handle = io::stderr().as_fd().try_clone_to_owned();
    handle
        .map(Stdio::from)
        .context(|| "cannot share stderr with a child process".to_owned())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::{Output, find_on_path, line, lines, prepend, read, run, succeeds};

    #[test]
    fn a_failure_names_the_command_and_the_status() {
        let error = run(Command::new("sh").args(["-c", "exit 3"]), Output::Stderr);
        let text = error.map_err(|error| error.to_string());
        assert_eq!(
            text,
            Err("`sh -c \"exit 3\"` failed (exit status: 3); its own output is above".to_owned())
        );
    }

    #[test]
    fn a_missing_program_is_an_error() {
        let text = read(&mut Command::new("no-such-program")).map_err(|error| error.to_string());
        assert!(text.is_err_and(|text| text.contains("cannot start `no-such-program`")));
        assert!(!succeeds(&mut Command::new("no-such-program")));
    }

    #[test]
    fn lines_come_one_by_one() {
        let mut seen = Vec::new();
        let ran = lines(Command::new("printf").arg("a\\nb"), |line| {
            seen.push(line.to_owned());
        });
        assert!(ran.is_ok());
        assert_eq!(seen, ["a", "b"]);
    }

    #[test]
    fn programs_are_found_on_path_only() {
        assert!(find_on_path("sh").is_some());
        assert!(find_on_path("no-such-program").is_none());
    }

    #[test]
    fn folders_are_put_first() {
        let joined = prepend("XTASK_UNSET_VARIABLE", &["/a".into(), "/b".into()]);
        assert_eq!(joined.ok(), Some("/a:/b".into()));
    }

    #[test]
    fn command_lines_are_readable() {
        assert_eq!(
            line(Command::new("/usr/bin/cargo").args(["test", "a b"])),
            "cargo test \"a b\""
        );
    }
}
