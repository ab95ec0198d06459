//! `cargo xtask bitcoind`: finds Bitcoin Core, or builds it once from source into the cache.

mod source;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::error::{Context, Error, Result};
use crate::process;
use crate::setup;
use crate::setup::lock::Lock;
use crate::setup::packages::{Compiler, Scope};
use crate::terminal::{self, Progress, note};
use crate::workspace::Workspace;

/// The package whose name documents may mention.
pub(crate) use source::PACKAGE as SOURCE_PACKAGE;

/// The release and the revision of our build; another set of flags gets another revision.
const BUILD: &str = "bitcoin-31.99-1";
/// What is built; the node alone would do, the client helps people to look into it.
const PROGRAMS: [&str; 2] = ["bitcoind", "bitcoin-cli"];
/// A node without a wallet, and nothing that a node does not need.
const FLAGS: [&str; 12] = [
    "-DCMAKE_BUILD_TYPE=Release",
    "-DENABLE_WALLET=OFF",
    "-DBUILD_TESTS=OFF",
    "-DBUILD_BENCH=OFF",
    "-DBUILD_TX=OFF",
    "-DBUILD_UTIL=OFF",
    "-DBUILD_GUI=OFF",
    "-DBUILD_BITCOIN_BIN=OFF",
    "-DENABLE_IPC=OFF",
    "-DENABLE_EXTERNAL_SIGNER=OFF",
    "-DWITH_EMBEDDED_ASMAP=OFF",
    "-GNinja",
];
/// What one compiler process may need at its largest.
const JOB_MEMORY_KIB: u64 = 1024 * 1024;

pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let path = if let Some(path) = find(workspace)? {
        path
    } else {
        let scope = Scope {
            builds_node: true,
            runs_python: false,
            builds_fuzzers: false,
        };
        build(workspace, setup::provide(scope, false)?.compiler.as_ref())?
    };
    terminal::answer(&path.display().to_string());
    Ok(())
}

/// `BITCOIND_EXE`, then PATH, then the cache.
pub(crate) fn find(workspace: &Workspace) -> Result<Option<PathBuf>> {
    if let Some(path) = std::env::var_os("BITCOIND_EXE").filter(|path| !path.is_empty()) {
        // Children run in other folders, where a relative path would point elsewhere.
        let path =
            std::path::absolute(path).context(|| "cannot resolve BITCOIND_EXE".to_owned())?;
        if process::is_executable(&path) {
            return Ok(Some(path));
        }
        return Err(Error::new(format!(
            "BITCOIND_EXE is {}, which is no program; correct it or unset it",
            path.display()
        )));
    }
    Ok(process::find_on_path("bitcoind").or_else(|| cached(workspace)))
}

/// Builds the node unless another process has just done it.
pub(crate) fn build(workspace: &Workspace, compiler: Option<&Compiler>) -> Result<PathBuf> {
    let _lock = Lock::take(workspace)?;
    if let Some(path) = cached(workspace) {
        return Ok(path);
    }
    note(
        "building Bitcoin Core from source, once for this machine; it takes about six minutes on two cores",
    );
    // Under the lock this folder has one owner, so a build that was interrupted goes on from there.
    let folder = workspace.cache().join(format!("build-{BUILD}"));
    let source = source::fetch(workspace, &folder)?;
    let out = folder.join("out");
    configure(&source, &out, &folder, compiler)?;
    compile(&out, &folder)?;
    install(workspace, &out)?;
    fs::remove_dir_all(&folder).context(|| format!("cannot remove {}", folder.display()))?;
    cached(workspace).ok_or_else(|| {
        Error::new("the node was built but does not start; run `bitcoind --version` from the cache")
    })
}

/// The node in the cache, if it starts: after an upgrade of the system it may not.
fn cached(workspace: &Workspace) -> Option<PathBuf> {
    let path = workspace.cache().join(BUILD).join("bin/bitcoind");
    (process::is_executable(&path) && process::succeeds(Command::new(&path).arg("--version")))
        .then_some(path)
}

fn configure(source: &Path, out: &Path, folder: &Path, compiler: Option<&Compiler>) -> Result<()> {
    let mut cmake = Command::new("cmake");
    cmake.arg("-S").arg(source).arg("-B").arg(out).args(FLAGS);
    if let Some(compiler) = compiler {
        cmake.arg(format!("-DCMAKE_CXX_COMPILER={}", compiler.program));
    }
    logged(&mut cmake, &folder.join("cmake.log"), |_| {})
}

fn compile(out: &Path, folder: &Path) -> Result<()> {
    let mut ninja = Command::new("ninja");
    ninja
        .arg("-C")
        .arg(out)
        .arg(format!("-j{}", jobs()))
        .args(PROGRAMS)
        .env("NINJA_STATUS", "[%f/%t] ");
    let mut progress = Progress::new("building Bitcoin Core");
    let start = Instant::now();
    let built = logged(&mut ninja, &folder.join("ninja.log"), |line| {
        if let Some((done, total)) = ninja_status(line) {
            progress.step(done, total, start.elapsed());
        }
    });
    progress.finish();
    built
}

/// Runs a build step into a log, and shows the log's end when the step fails.
fn logged(command: &mut Command, log: &Path, mut each: impl FnMut(&str)) -> Result<()> {
    use std::io::Write;
    let failed = || format!("cannot write {}", log.display());
    let mut file = fs::File::create(log).context(failed)?;
    command.stderr(file.try_clone().context(failed)?);
    let mut tail = std::collections::VecDeque::new();
    let ran = process::lines(command, |line| {
        // A full disk stops the compiler as well, and its message is the better one.
        let _ = writeln!(file, "{line}");
        tail.push_back(line.to_owned());
        if tail.len() > 30 {
            tail.pop_front();
        }
        each(line);
    });
    ran.map_err(|error| {
        for line in &tail {
            terminal::complain(&format!("    {line}"));
        }
        Error::new(format!("{error}; all of it is in {}", log.display()))
    })
}

/// Copies, strips and then renames, so that nobody ever sees half a program.
fn install(workspace: &Workspace, out: &Path) -> Result<()> {
    let target = workspace.cache().join(BUILD);
    let fresh = workspace
        .cache()
        .join(format!("{BUILD}.new-{}", std::process::id()));
    let bin = fresh.join("bin");
    fs::create_dir_all(&bin).context(|| format!("cannot create {}", bin.display()))?;
    for program in PROGRAMS {
        let copy = bin.join(program);
        fs::copy(out.join("bin").join(program), &copy)
            .context(|| format!("cannot write {}", copy.display()))?;
        // Only for size: without binutils the program stays as it is.
        process::succeeds(Command::new("strip").arg(&copy));
    }
    if target.exists() {
        fs::remove_dir_all(&target).context(|| format!("cannot replace {}", target.display()))?;
    }
    fs::rename(&fresh, &target).context(|| format!("cannot move the node to {}", target.display()))
}

/// As many compilers as there are cores and memory for.
fn jobs() -> u64 {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    let memory = fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| available_kib(&text));
    memory.map_or(cores, |kib| cores.min((kib / JOB_MEMORY_KIB).max(1)))
}

fn available_kib(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// `[12/297] Building …`: what is done of how much.
fn ninja_status(line: &str) -> Option<(u64, u64)> {
    let (done, total) = line.strip_prefix('[')?.split_once(']')?.0.split_once('/')?;
    Some((done.trim().parse().ok()?, total.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::{BUILD, available_kib, cached, install, ninja_status};
    use crate::workspace::Workspace;

    #[test]
    fn ninja_lines_are_read() {
        assert_eq!(
            ninja_status("[12/297] Building CXX object x.cpp.o"),
            Some((12, 297))
        );
        assert_eq!(ninja_status("ninja: Entering directory"), None);
        assert_eq!(ninja_status("[a/b] x"), None);
    }

    #[test]
    fn memory_is_read() {
        assert_eq!(
            available_kib("MemTotal: 9 kB\nMemAvailable:    2048 kB\n"),
            Some(2048)
        );
        assert_eq!(available_kib(""), None);
    }

    #[test]
    fn an_install_replaces_a_node_that_does_not_start() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let workspace = Workspace::at(folder.path(), &folder.path().join("cache"));
        let broken = folder.path().join("cache").join(BUILD).join("bin");
        fs::create_dir_all(&broken)?;
        fs::write(broken.join("bitcoind"), "not a program")?;
        assert_eq!(cached(&workspace), None);

        let out = folder.path().join("out");
        fs::create_dir_all(out.join("bin"))?;
        for program in super::PROGRAMS {
            let path = out.join("bin").join(program);
            fs::write(&path, "#!/bin/sh\nexit 0\n")?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        }
        install(&workspace, &out)?;
        assert_eq!(cached(&workspace), Some(broken.join("bitcoind")));
        assert_eq!(fs::read_dir(folder.path().join("cache"))?.count(), 1);
        Ok(())
    }
}
