//! The shell process between us and bitcoind, which ends bitcoind and its directory when we end.
//!
//! A destructor does not run when its process is killed, so the cleaning up is done by someone
//! else: `sh` starts bitcoind and reads its own standard input, whose other end only we hold. When
//! that pipe closes, whatever the reason, it kills bitcoind and removes the run directory. Lines
//! sent through the pipe are signals for bitcoind, or `keep`: go, and leave the directory alone.
//! It has its own process group, so that Ctrl-C in a terminal reaches us and not bitcoind first.

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::NodeError;

/// Arguments: run directory, generation, `soft` or `hard`, then the command.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
run=$1 gen=$2 end=$3
shift 3
exec 3<&0 </dev/null
"$@" 3<&- >"$run/$gen.out" 2>&1 &
pid=$!
(
    while read -r word <&3; do
        [ "$word" = keep ] && exit 0
        [ -e "$run/$gen.exit" ] || kill -s "$word" "$pid"
        : >"$run/$gen.sent"
    done
    if [ "$end" = soft ]; then
        [ -e "$run/$gen.exit" ] || kill -s TERM "$pid"
        left=100
        while [ ! -e "$run/$gen.exit" ] && [ "$left" -gt 0 ]; do
            sleep 0.1
            left=$((left - 1))
        done
    fi
    [ -e "$run/$gen.exit" ] || kill -s KILL "$pid"
    exit 1
) &
watch=$!
exec 3<&-
echo "$pid" >"$run/$gen.tmp"
mv "$run/$gen.tmp" "$run/$gen.pid"
wait "$pid"
echo "$?" >"$run/$gen.tmp"
mv "$run/$gen.tmp" "$run/$gen.exit"
wait "$watch" || rm -rf "$run"
"#;

const POLL: Duration = Duration::from_millis(5);
/// A thread in the middle of writing to a slow disk stops when the disk has answered.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// What the programs need of this process's environment; they are configured by arguments.
const INHERITED: [&str; 8] = [
    "PATH",
    "HOME",
    "TMPDIR",
    "LANG",
    "LC_ALL",
    "TZ",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
];

fn inherited() -> impl Iterator<Item = (&'static str, OsString)> {
    let values = INHERITED.map(|name| (name, std::env::var_os(name)));
    values
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
}

/// One life of bitcoind. Dropping it ends that life and removes the run directory.
#[derive(Debug)]
pub(crate) struct Guard {
    shell: Child,
    run: PathBuf,
    generation: u32,
}

impl Guard {
    /// Starts `exe` with `args`. `soft` asks bitcoind to end by itself (10 s at most) before it is
    /// killed: for a data directory that is not ours to lose.
    pub(crate) fn spawn(
        exe: &Path,
        args: &[OsString],
        run: &Path,
        generation: u32,
        soft: bool,
    ) -> Result<Self, NodeError> {
        let shell = Command::new("sh")
            .arg("-c")
            .arg(SCRIPT)
            .arg("btc-regtest")
            .arg(run)
            .arg(generation.to_string())
            .arg(if soft { "soft" } else { "hard" })
            .arg(exe)
            .args(args)
            .env_clear()
            .envs(inherited())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(|e| NodeError::io("run", Path::new("sh"), e))?;
        Ok(Self {
            shell,
            run: run.to_path_buf(),
            generation,
        })
    }

    /// bitcoind's process id; `None` until the shell has written it, a few milliseconds after
    /// the start.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.read("pid")
    }

    /// bitcoind's exit code as the shell sees it (128 + signal number when killed); `None` while
    /// it runs.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        if let Some(code) = self.read("exit") {
            return Some(code);
        }
        // The shell itself is gone: somebody else killed it, and nothing will be written any more.
        matches!(self.shell.try_wait(), Ok(Some(_))).then_some(-1)
    }

    /// Waits until bitcoind has ended; false when it still runs after `timeout`.
    pub(crate) fn wait_exit(&mut self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        while self.exit_code().is_none() {
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(POLL);
        }
        true
    }

    /// Sends bitcoind a signal by its name without `SIG`, and returns when it has been sent;
    /// nothing happens when bitcoind has ended.
    pub(crate) fn signal(&mut self, name: &str) -> Result<(), NodeError> {
        let sent = self.path("sent");
        let _ = fs::remove_file(&sent);
        self.tell(name)
            .map_err(|e| NodeError::io("signal", Path::new("bitcoind"), e))?;
        while !sent.exists() && self.exit_code().is_none() {
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// Waits until every thread of bitcoind has stopped. A sent SIGSTOP is not yet a stopped
    /// process: on busy cores its other threads answer calls until they have seen it. Where the
    /// system does not show threads (no `/proc`), this returns at once.
    pub(crate) fn wait_stopped(&mut self) {
        let deadline = Instant::now() + STOP_TIMEOUT;
        while self.is_moving() && self.exit_code().is_none() && Instant::now() < deadline {
            std::thread::sleep(POLL);
        }
    }

    fn is_moving(&self) -> bool {
        let Some(pid) = self.pid() else { return false };
        let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
            return false;
        };
        threads.flatten().any(|thread| {
            // "id (name) state ..."; the name may contain anything, so look behind its bracket.
            fs::read_to_string(thread.path().join("stat"))
                .ok()
                .and_then(|stat| stat.rsplit(')').next()?.trim_start().chars().next())
                .is_some_and(|state| !matches!(state, 'T' | 't' | 'Z' | 'X'))
        })
    }

    /// Lets the shell go without removing the run directory; bitcoind must have ended.
    pub(crate) fn release(mut self) {
        // A failure means that the shell has gone already, which is what is wanted.
        let _ = self.tell("keep");
    }

    /// What bitcoind wrote to its standard and error output.
    pub(crate) fn output(&self) -> String {
        let bytes = fs::read(self.path("out")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn tell(&mut self, word: &str) -> std::io::Result<()> {
        self.shell
            .stdin
            .as_mut()
            .map_or(Ok(()), |pipe| writeln!(pipe, "{word}"))
    }

    fn read<T: std::str::FromStr>(&self, ending: &str) -> Option<T> {
        fs::read_to_string(self.path(ending))
            .ok()?
            .trim()
            .parse()
            .ok()
    }

    fn path(&self, ending: &str) -> PathBuf {
        self.run.join(format!("{}.{ending}", self.generation))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        if let Err(error) = self.shell.wait() {
            tracing::warn!(%error, "could not wait for the node's shell");
        }
    }
}
