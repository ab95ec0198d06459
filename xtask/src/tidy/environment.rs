//! The rule that configuration is read once, at the edge: only the facade asks the environment.

use super::Finding;
use super::tree::extension;

/// Code that may read the environment, and why.
const ALLOWED: [(&str, &str); 10] = [
    ("crates/btc/src/", "the facade's Config, the one edge"),
    ("xtask/", "not part of the product"),
    (
        "tests/",
        "test support gets the node and the Python environment from xtask",
    ),
    ("fuzz/", "not part of the product"),
    (
        "crates/btc-regtest/src/exe.rs",
        "PATH and the cache folder are how a program is found, not configuration",
    ),
    (
        "crates/btc-regtest/src/guard.rs",
        "what a node inherits is chosen from what is there; nothing is configured by it",
    ),
    (
        "crates/btc-regtest/src/disk.rs",
        "a mark for the program itself, which begins again in a namespace",
    ),
    (
        "crates/btc-regtest/examples/",
        "programs of their own, run by hand: each is its own edge",
    ),
    (
        "crates/btc-python/src/interpreter.rs",
        "PYTHONHOME ends the process inside libpython, so it is refused before",
    ),
    (
        "crates/btc-python/src/worker/environment.rs",
        "what a worker inherits is chosen from what is there; nothing is configured by it",
    ),
];

const READS: [&str; 3] = ["env::var(", "env::var_os(", "env::vars"];

pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    let is_rust = extension(path) == "rs";
    // Cargo talks to build scripts, xtask to tests, and benches to their children, through it.
    let is_build_or_test =
        path.ends_with("/build.rs") || path.contains("/tests/") || path.contains("/benches/");
    if !is_rust || is_build_or_test || ALLOWED.iter().any(|(place, _)| path.starts_with(place)) {
        return Vec::new();
    }
    let code = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or(line));
    let found = (1..)
        .zip(code)
        .filter(|(_, line)| READS.iter().any(|read| line.contains(read)));
    let message = "reads the environment; take a typed value from the facade's Config instead";
    found
        .map(|(number, _)| Finding::new(path, number, message))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::check;

    const READ: &str = "//! A.\nfn a() { std::env::var(\"A\"); }\n";

    #[test]
    fn a_backend_may_not_read_it() {
        let found = check("crates/btc-rust/src/lib.rs", READ);
        assert_eq!(
            found.iter().map(|finding| finding.line).collect::<Vec<_>>(),
            [2]
        );
        assert_eq!(
            check("crates/btc-cli/src/main.rs", "for x in env::vars_os() {}").len(),
            1
        );
    }

    #[test]
    fn the_edge_may() {
        for path in [
            "crates/btc/src/config.rs",
            "crates/btc-rust/build.rs",
            "crates/a/tests/b.rs",
            "xtask/src/c.rs",
        ] {
            assert!(check(path, READ).is_empty(), "{path}");
        }
    }

    #[test]
    fn comments_and_compile_time_values_are_no_reads() {
        assert!(check("crates/a/src/lib.rs", "// env::var(\"A\")\nenv!(\"A\");\n").is_empty());
    }
}
