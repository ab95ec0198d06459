//! `Session`: one bash, as an operator has it, that is given a block of commands after the other.

use std::fs;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use btc::config::VARIABLES;
use tempfile::TempDir;

const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A shell in a process group of its own, which ends with this.
pub(super) struct Session {
    shell: Child,
    input: ChildStdin,
    /// The blocks and their outputs.
    folder: TempDir,
    blocks: u32,
}

/// What a block of commands came to.
pub(super) struct Ran {
    /// Standard output and standard error, as they come.
    pub(super) output: String,
    /// The exit code of its last command.
    pub(super) code: i32,
}

impl Session {
    /// In this folder, with nothing configured.
    pub(super) fn start(folder: &Path, variables: &[(&str, &Path)]) -> io::Result<Self> {
        let mut bash = Command::new("bash");
        bash.args(["--noprofile", "--norc"])
            .current_dir(folder)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        for variable in VARIABLES {
            bash.env_remove(variable.name);
        }
        bash.envs(variables.iter().copied());
        let mut shell = bash.spawn()?;
        let input = shell.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Self {
            shell,
            input,
            folder: TempDir::new()?,
            blocks: 0,
        })
    }

    /// Runs a block to its end.
    ///
    /// # Errors
    /// It takes longer than that, or it ends the shell.
    pub(super) fn run(&mut self, commands: &str, limit: Duration) -> io::Result<Ran> {
        self.blocks += 1;
        let file = |kind: &str| self.folder.path().join(format!("{}.{kind}", self.blocks));
        let [block, output, code] = ["sh", "out", "code"].map(file);
        fs::write(&block, commands)?;
        let shown = [&block, &output, &code].map(|path| path.display().to_string());
        let [block, out, done] = &shown;
        // A file of its own, not a pipe: what runs on in the background holds it open.
        writeln!(
            self.input,
            ". '{block}' >'{out}' 2>&1 </dev/null; echo $? >'{done}.part'; mv '{done}.part' '{done}'"
        )?;
        let started = Instant::now();
        while !code.exists() {
            let so_far = || fs::read_to_string(&output).unwrap_or_default();
            if self.shell.try_wait()?.is_some() {
                let message = format!("it ended the shell; its output: {}", so_far());
                return Err(io::Error::other(message));
            }
            if started.elapsed() > limit {
                let secs = limit.as_secs();
                let message = format!("it takes over {secs} s; its output so far: {}", so_far());
                return Err(io::Error::other(message));
            }
            thread::sleep(LOOK_EVERY);
        }
        let ended = fs::read_to_string(&code)?;
        Ok(Ran {
            output: String::from_utf8_lossy(&fs::read(&output)?).into_owned(),
            code: ended.trim().parse().map_err(io::Error::other)?,
        })
    }
}

impl Drop for Session {
    /// What the shell has started ends with it, also after a failure half way.
    fn drop(&mut self) {
        let group = format!("-{}", self.shell.id());
        let _ = Command::new("kill")
            .args(["-s", "KILL", "--", &group])
            .stderr(Stdio::null())
            .status();
        let _ = self.shell.wait();
    }
}
