//! The runbook, word for word: its commands in one shell, and the outputs that it names.

mod document;
mod matching;
mod session;

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use btc::python::PythonConfig;
use btc_regtest::exe;
use btc_tests::{Outcome, Suite};

use self::session::Session;

const RUNBOOK: &str = "docs/runbook.md";
/// Where the runbook has metrics served. Others may test here at the same time.
const METRICS: &str = "127.0.0.1:9332";
/// How long a block may take, and one that builds.
const LIMIT: Duration = Duration::from_mins(5);
const BUILD_LIMIT: Duration = Duration::from_mins(30);

pub(crate) fn add(suite: &mut Suite) {
    suite.add("runbook::each_step_does_what_it_says", runbook);
    suite.add("runbook::what_differs_is_found", differences);
}

fn runbook() -> Outcome {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()?;
    let text = fs::read_to_string(root.join(RUNBOOK))?;
    let free = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let text = text.replace(METRICS, &free.to_string());
    let began = Instant::now();
    let followed = follow(&root, &text)?;
    for (line, reason) in &followed.skipped {
        println!("{RUNBOOK}:{line}: skipped: {reason}");
    }
    println!(
        "{RUNBOOK}: {} blocks ran in {} s, {} skipped",
        followed.ran,
        began.elapsed().as_secs(),
        followed.skipped.len()
    );
    assert!(followed.ran >= 15, "most of it was not run");
    Ok(())
}

/// How far a document could be followed, which is to its end.
struct Followed {
    ran: usize,
    skipped: Vec<(usize, String)>,
}

/// Does what a document says in this folder.
///
/// # Errors
/// The first step that does something else, with the lines.
fn follow(folder: &Path, text: &str) -> Result<Followed, String> {
    let steps = document::steps(text)?;
    let mut followed = Followed {
        ran: 0,
        skipped: Vec::new(),
    };
    let variables = variables();
    let variables: Vec<_> = variables
        .iter()
        .map(|(name, path)| (*name, path.as_path()))
        .collect();
    let mut session = Session::start(folder, &variables).map_err(|cause| cause.to_string())?;
    for step in steps {
        if let Some(reason) = step.not_run {
            followed.skipped.push((step.line, reason));
            continue;
        }
        let limit = if step.commands.contains("cargo build") {
            BUILD_LIMIT
        } else {
            LIMIT
        };
        let wrong = match session.run(&step.commands, limit) {
            Err(cause) => Some(cause.to_string()),
            Ok(ran) => {
                let difference =
                    matching::difference(&step.expected, step.expected_line, &ran.output);
                let failure = (ran.code != 0).then(|| format!("its exit code is {}", ran.code));
                difference
                    .or(failure)
                    .map(|what| format!("{what}\nthe whole output:\n{}", indented(&ran.output)))
            }
        };
        if let Some(what) = wrong {
            let commands = indented(&step.commands);
            return Err(format!("{RUNBOOK}:{}:\n{commands}{what}", step.line));
        }
        followed.ran += 1;
    }
    Ok(followed)
}

fn indented(text: &str) -> String {
    text.lines().fold(String::new(), |mut all, line| {
        let _ = writeln!(all, "  | {line}");
        all
    })
}

/// Where the tests have what a machine that was set up has in its usual place.
fn variables() -> Vec<(&'static str, PathBuf)> {
    let mut variables = Vec::new();
    let venv = env::var_os("PYTHON_VENV").map(PathBuf::from);
    variables.push((
        "PYTHON_VENV",
        venv.unwrap_or_else(PythonConfig::default_venv),
    ));
    let bitcoind = env::var_os("BITCOIND_EXE").map(PathBuf::from);
    if let Ok(found) = exe::find(bitcoind.as_deref()) {
        variables.push(("BITCOIND_EXE", found));
    }
    // This is target/<profile>/deps/<name>.
    let test = env::current_exe().ok();
    let target = test.as_deref().and_then(|test| test.ancestors().nth(3));
    variables.extend(target.map(|target| ("CARGO_TARGET_DIR", target.to_owned())));
    variables
}

/// That a document which is wrong is not followed to its end.
fn differences() -> Outcome {
    let folder = tempfile::TempDir::new()?;
    let document = |commands: &str, output: &str| {
        format!("text\n```bash\n{commands}\n```\n\n```text\n{output}\n```\n")
    };
    for (commands, output) in [
        ("echo one; echo two", "one\ntwo"),
        ("echo one; echo two", "one\n…"),
        ("echo a 1 b 2 c", "a … b … c"),
        ("seq 9; echo 3", "…\n3"),
        ("false; echo $?", "1"),
        ("x=1; f() { echo \"$x\"; }; f >&2", "1"),
        ("sleep 60 & echo on", "on"),
    ] {
        let followed = follow(folder.path(), &document(commands, output));
        let followed = followed.map_err(|wrong| format!("{commands}: {wrong}"))?;
        assert_eq!(followed.ran, 1);
    }
    for (commands, output, said) in [
        ("echo one", "two", "line 7 does not come"),
        ("echo one", "one\ntwo", "line 8 does not come"),
        ("echo one; echo two", "one", "more comes than is expected"),
        ("echo a 1 b", "a … c", "line 7"),
        ("seq 9", "1\n…\n11", "nowhere in the rest"),
        ("false; echo $?", "0", "found:    1"),
        ("echo one; false", "one", "exit code is 1"),
        ("exit 0", "", "ended the shell"),
        ("no-such-command", "…", "exit code is 127"),
    ] {
        match follow(folder.path(), &document(commands, output)) {
            Ok(_) => return Err(format!("`{commands}` passed for `{output}`").into()),
            Err(wrong) => assert!(wrong.contains(said), "{commands}: {wrong}"),
        }
    }
    // One shell, no output where none is named, and what is left out is told.
    let later = "```bash\nx=1\n```\n```bash\n# Not run by the test: no desk\nfalse\n```\n\
                 ```bash\necho $x\n```\n```text\n1\n```\n";
    let followed = follow(folder.path(), later)?;
    assert_eq!((followed.ran, followed.skipped.len()), (2, 1));
    assert_eq!(followed.skipped[0].1, "no desk");
    for wrong in [
        "```sh\necho x\n```\n",
        "```bash\necho\n",
        "```text\nx\n```\n",
        "```bash\necho x\n```\n",
    ] {
        assert!(follow(folder.path(), wrong).is_err(), "{wrong}");
    }
    Ok(())
}
