//! `Program`: the built `btc` binary, run with nothing but what a test gives it.

use std::env;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use btc::python::PythonConfig;
use btc::{Credentials, NodeConfig};
use btc_regtest::exe;
use serde_json::Value;
use tempfile::TempDir;

/// One invocation in an empty folder and an empty environment.
pub struct Program {
    command: Command,
    input: Option<String>,
    stdout: Option<Stdio>,
    signal: Option<(&'static str, Moment)>,
    /// The folder it runs in, which is also its home.
    pub folder: TempDir,
}

/// Whether a moment has come, seen in the program's folder.
type Moment = Box<dyn Fn(&Path) -> bool + Send>;

/// What an invocation left behind.
#[derive(Debug)]
pub struct Run {
    /// The exit code.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// The files below its folder, sorted.
    pub files: Vec<PathBuf>,
    /// The folder it ran in, gone with this.
    pub folder: TempDir,
}

impl Program {
    /// With these arguments, separated by spaces.
    pub fn new(arguments: &str) -> Self {
        Self::with(&arguments.split_whitespace().collect::<Vec<_>>())
    }

    /// With these arguments.
    pub fn with(arguments: &[&str]) -> Self {
        Self::of(binary(), arguments)
    }

    /// A copy of the program in this folder, such as where it is installed.
    ///
    /// # Panics
    /// When it cannot be copied.
    pub fn copied_to(folder: &Path, arguments: &[&str]) -> Self {
        let copy = folder.join("btc");
        std::fs::copy(binary(), &copy).expect("a folder that can be written");
        Self::of(&copy, arguments)
    }

    /// The service among the examples of the crate `btc`, in place of the command line.
    pub fn service() -> Self {
        Self::of(service(), &[])
    }

    fn of(binary: &Path, arguments: &[&str]) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let mut command = Command::new(binary);
        command
            .args(arguments)
            .current_dir(folder.path())
            .env_clear()
            .env("HOME", folder.path());
        for kept in ["PATH", "TMPDIR", "LD_LIBRARY_PATH"] {
            if let Some(value) = env::var_os(kept) {
                command.env(kept, value);
            }
        }
        let venv = env::var_os("PYTHON_VENV").map(PathBuf::from);
        command.env(
            "PYTHON_VENV",
            venv.unwrap_or_else(PythonConfig::default_venv),
        );
        // Its home is empty, and so is the cache there.
        let bitcoind = env::var_os("BITCOIND_EXE").map(PathBuf::from);
        if let Ok(found) = exe::find(bitcoind.as_deref()) {
            command.env("BITCOIND_EXE", found);
        }
        Self {
            command,
            input: None,
            stdout: None,
            signal: None,
            folder,
        }
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Leaves a variable unset.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Configures this node.
    #[must_use]
    pub fn node(self, node: &NodeConfig) -> Self {
        let network = btc::types::network::name(node.network);
        let this = self
            .env("BITCOIN_NETWORK", network)
            .env("BITCOIN_RPC_URL", &node.url)
            .env(
                "BITCOIN_RPC_TIMEOUT_SECS",
                node.timeout.as_secs().to_string(),
            );
        match &node.credentials {
            Credentials::CookieFile(path) => this.env("BITCOIN_RPC_COOKIE_FILE", path),
            Credentials::UserPassword { user, password } => this
                .env("BITCOIN_RPC_USER", user)
                .env("BITCOIN_RPC_PASSWORD", password.expose()),
            _ => this,
        }
    }

    /// Gives it this on standard input; without, it gets none.
    #[must_use]
    pub fn input(mut self, text: impl Into<String>) -> Self {
        self.input = Some(text.into());
        self
    }

    /// Sends its output there instead of keeping it.
    #[must_use]
    pub fn stdout(mut self, to: impl Into<Stdio>) -> Self {
        self.stdout = Some(to.into());
        self
    }

    /// Sends it a signal, by its name without `SIG`, as soon as that moment has come.
    #[must_use]
    pub fn signal(
        mut self,
        name: &'static str,
        moment: impl Fn(&Path) -> bool + Send + 'static,
    ) -> Self {
        self.signal = Some((name, Box::new(moment)));
        self
    }

    /// Runs it at a terminal of its own, where what is typed is its input; standard output and
    /// standard error come together, as people see them.
    #[must_use]
    pub fn at_terminal(mut self) -> Self {
        let words = std::iter::once(self.command.get_program()).chain(self.command.get_args());
        let line: Vec<String> = words
            .map(|word| format!("'{}'", word.to_string_lossy().replace('\'', r"'\''")))
            .collect();
        let mut command = Command::new("script");
        command
            .args(["-qefc", &line.join(" "), "/dev/null"])
            .current_dir(self.folder.path())
            .env_clear()
            .env("SHELL", "/bin/sh");
        for (name, value) in self.command.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        self.command = command;
        self
    }

    /// Runs it until this holds, and kills it then. False if it came to its end before.
    pub fn kill_when(mut self, holds: impl Fn() -> bool) -> bool {
        let none = Stdio::null;
        let command = self.command.stdin(none()).stdout(none()).stderr(none());
        let mut child = command.spawn().expect("the binary was just built");
        let is_running = loop {
            let ended = child.try_wait().expect("the child can be waited for");
            if ended.is_some() || holds() {
                break ended.is_none();
            }
            thread::sleep(Duration::from_millis(5));
        };
        child.kill().expect("it is ours");
        child.wait().expect("the child can be waited for");
        is_running
    }

    /// Runs it to its end. Whatever it does, it must not panic.
    #[track_caller]
    pub fn run(mut self) -> Run {
        let stdin = if self.input.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        };
        let mut child = self
            .command
            .stdin(stdin)
            .stdout(self.stdout.take().unwrap_or_else(Stdio::piped))
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary was just built");
        if let (Some(text), Some(mut pipe)) = (self.input.take(), child.stdin.take()) {
            // A program that refuses its arguments does not read.
            let _ = pipe.write_all(text.as_bytes());
        }
        if let Some((name, has_come)) = self.signal {
            const LOOK_EVERY: Duration = Duration::from_millis(20);
            while !has_come(self.folder.path()) && matches!(child.try_wait(), Ok(None)) {
                thread::sleep(LOOK_EVERY);
            }
            let pid = child.id().to_string();
            // One that has ended by itself shows that in what it left behind.
            let _ = Command::new("kill").args(["-s", name, &pid]).status();
        }
        let output = child
            .wait_with_output()
            .expect("the child can be waited for");
        let mut files = Vec::new();
        list(self.folder.path(), &mut files);
        files.sort();
        let run = Run {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).expect("its output is text"),
            stderr: String::from_utf8(output.stderr).expect("its errors are text"),
            files,
            folder: self.folder,
        };
        let is_calm = ["panicked", "RUST_BACKTRACE", "stack overflow"]
            .iter()
            .all(|word| !run.stderr.contains(word));
        assert!(is_calm, "it panicked: {run:#?}");
        run
    }
}

#[expect(
    clippy::return_self_not_must_use,
    reason = "a check panics or passes; what it returns is for further ones"
)]
impl Run {
    /// That it ended so.
    #[track_caller]
    pub fn code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "another exit code: {self:#?}");
        self
    }

    /// That its errors name all of these.
    #[track_caller]
    pub fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.stderr.contains(word), "no `{word}`: {self:#?}");
        }
        self
    }

    /// Its output as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {self:#?}"))
    }
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in folder.read_dir().expect("our own folder").flatten() {
        if entry.path().is_dir() {
            list(&entry.path(), files);
        } else {
            files.push(entry.path());
        }
    }
}

/// The binary that belongs to this test, built when a test first asks for it.
fn binary() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build(&["--package", "btc-migration-cli"]).join("btc"))
}

/// The same of the example.
fn service() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let what = [
            "--package",
            "btc-migration",
            "--features",
            "full",
            "--example",
            "shutdown",
        ];
        build(&what).join("examples/shutdown")
    })
}

/// Builds something in this test's profile, and returns the folder of that.
fn build(what: &[&str]) -> PathBuf {
    let test = env::current_exe().expect("this program has a path");
    // This is target/<profile>/deps/<name>.
    let profile = test.ancestors().nth(2).expect("cargo's folders");
    let target = profile.parent().expect("cargo's folders");
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(["build", "--quiet"])
        .args(what)
        .arg("--target-dir")
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    let status = cargo.status().expect("cargo runs");
    assert!(status.success(), "it does not build: {what:?}");
    profile.to_owned()
}
