//! `btc analyze`: what it says of logs that prove nothing, and in which formats.

use btc_tests::{Outcome, Program};

pub(super) fn analyze() -> Outcome {
    let folder = tempfile::TempDir::new()?;
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).map(|()| path.display().to_string())
    };
    let long = vec![b'x'; 3_000_000];
    for (name, bytes, code) in [
        ("empty", &b""[..], 2),
        ("blank", b"\n\n  \n", 2),
        (
            "garbage",
            b"\x00\xff\xfe not a log\n{}\n[1]\n{\"version\": 9}\n",
            3,
        ),
        ("long", &long, 3),
    ] {
        let path = write(name, bytes)?;
        let run = Program::with(&["analyze", &path]).run().code(code);
        assert!(run.stdout.starts_with("HOLD"), "{name}: {run:?}");
        assert!(run.stdout.len() < 10_000, "{name}");
    }
    let gate = write("gate.toml", b"p98_ratio = 1\n")?;
    let empty = write("empty", b"")?;
    for (arguments, said) in [
        (&["/does/not/exist"][..], "/does/not/exist"),
        (&["/does/not/exist/*.log"], "no file matches"),
        (&[&folder.path().display().to_string()], "cannot be read"),
        (&[&empty, "--gate", &gate], "p98_ratio"),
        (&[&empty, "--gate", "/does/not/exist"], "/does/not/exist"),
        (&[&empty, "--html", "/does/not/exist"], "/does/not/exist"),
    ] {
        let arguments = [&["analyze"], arguments].concat();
        Program::with(&arguments)
            .run()
            .code(3)
            .says(&["error:", said]);
    }
    Program::new("analyze").run().code(2);
    formats(&folder)
}

/// Each format, of a pattern that the shell did not expand.
fn formats(folder: &tempfile::TempDir) -> Outcome {
    std::fs::write(folder.path().join("x.log"), "")?;
    std::fs::write(folder.path().join("x.log.1"), "")?;
    let pattern = folder.path().join("*.log*").display().to_string();
    for (format, start) in [
        ("table", "HOLD"),
        ("json", "{"),
        ("csv", "operation,decision,"),
        ("markdown", "# HOLD: "),
        ("junit", "<?xml "),
    ] {
        let run = Program::with(&["analyze", &pattern, "--format", format]).run();
        let run = run.code(2);
        assert!(run.stdout.starts_with(start), "{format}: {run:?}");
    }
    let page = folder.path().join("page.html");
    let to = page.display().to_string();
    Program::with(&["analyze", &pattern, "--html", &to])
        .run()
        .code(2);
    let page = std::fs::read_to_string(page)?;
    assert!(page.starts_with("<!doctype html>"), "{page}");
    Ok(())
}
