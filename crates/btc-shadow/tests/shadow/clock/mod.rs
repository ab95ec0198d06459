//! The system's clock is set while shadow mode runs, in processes whose clock can be set alone.

mod child;
mod jumps;
mod runs;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use btc_shadow::analysis::{Analysis, Report};
use btc_shadow::record::Line;
use tempfile::TempDir;

/// Set for a child: the folder in which it works.
const FOLDER: &str = "SHADOW_CLOCK_FOLDER";
/// Set for a child: what it does there.
const ROLE: &str = "SHADOW_CLOCK_ROLE";
/// Set for a child: the builds that it says it compares.
const BUILD: &str = "SHADOW_CLOCK_BUILD";
/// Set for a child: the file that sets its clock.
const FILE: &str = "SHADOW_CLOCK_FILE";

/// Answers in place of the C library who asks for the time of day: so many seconds more than it
/// is, or after an equals sign the seconds since 1970 at which the clock stands. The monotonic
/// clock stays as it is, as it does when an operator sets the time.
const SHIM: &str = r#"
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

long syscall(long number, ...);

int clock_gettime(clockid_t id, struct timespec *now) {
    long failed = syscall(SYS_clock_gettime, id, now);
    const char *path = getenv("SHADOW_CLOCK_FILE");
    if (failed || id != CLOCK_REALTIME || !path)
        return failed;
    char text[32] = {0};
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return failed;
    if (read(file, text, sizeof text - 1) > 0 && text[0] == '=') {
        now->tv_sec = atol(text + 1);
        now->tv_nsec = 0;
    } else {
        now->tv_sec += atol(text);
    }
    close(file);
    return failed;
}
"#;

/// A folder with a log, and the clock of the processes that write to it.
struct Place {
    folder: TempDir,
    shim: PathBuf,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let source = folder.path().join("clock.c");
        let shim = folder.path().join("clock.so");
        fs::write(&source, SHIM).expect("a new file");
        // Rust links with it, so that it is there.
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-o"])
            .args([&shim, &source])
            .status();
        assert!(built.is_ok_and(|status| status.success()), "cc fails");
        Self { folder, shim }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A process in this role with this clock, to its end: what it said on lines that begin so.
    fn run(&self, role: &str, build: &str, clock: &str) -> String {
        set(&self.path().join("clock"), clock);
        let output = Command::new(env::current_exe().expect("this program"))
            .args(["--exact", "clock::child::child", "--nocapture"])
            .env(FOLDER, self.path())
            .env(ROLE, role)
            .env(BUILD, build)
            .env(FILE, self.path().join("clock"))
            .env("LD_PRELOAD", &self.shim)
            .stdin(Stdio::null())
            .output()
            .expect("a child");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}{complaint}");
        said
    }

    fn log(&self) -> PathBuf {
        self.path().join("log")
    }

    /// The log's lines, all of which must be whole.
    fn lines(&self) -> Vec<Line> {
        let text = fs::read_to_string(self.log()).expect("there");
        let lines = text.lines().map(serde_json::from_str);
        lines.map(|line| line.expect("a whole line")).collect()
    }

    fn report(&self) -> Report {
        let mut analysis = Analysis::default();
        let log = self.log();
        analysis.read_file(&log, &mut |_| {}).expect("there");
        analysis.finish()
    }
}

/// Sets the clock of a process: between two looks it has the one value or the other.
fn set(file: &Path, clock: &str) {
    let new = file.with_extension("new");
    fs::write(&new, clock).expect("a new file");
    fs::rename(&new, file).expect("the same folder");
}
