//! The lowest versions of LDK that may be built: below them are known thefts and losses.

use std::path::Path;

/// Each with why it may not be older.
const FLOORS: [(&str, [u64; 3]); 7] = [
    // 0.2.5 and 0.2.6 closed ways to steal from a node.
    ("lightning", [0, 2, 7]),
    ("lightning-liquidity", [0, 2, 7]),
    ("lightning-transaction-sync", [0, 2, 7]),
    ("lightning-background-processor", [0, 2, 3]),
    ("lightning-invoice", [0, 34, 1]),
    ("possiblyrandom", [0, 2, 1]),
    ("ldk-node", [0, 7, 1]),
];

#[test]
fn no_part_of_ldk_is_older_than_its_floor() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.lock");
    let text = std::fs::read_to_string(path).expect("the lock file");
    let lock: toml::Table = text.parse().expect("TOML");
    let packages = lock["package"].as_array().expect("a list");
    for (name, floor) in FLOORS {
        let found: Vec<_> = packages
            .iter()
            .filter(|package| package["name"].as_str() == Some(name))
            .map(|package| package["version"].as_str().expect("a version"))
            .collect();
        assert!(!found.is_empty(), "{name} is not in the lock file");
        for version in found {
            let core = version.split(['-', '+']).next().expect("a version");
            assert_eq!(core, version, "{name} {version} is no release");
            let numbers: Vec<u64> = core
                .split('.')
                .map(|part| part.parse().expect("a number"))
                .collect();
            assert!(
                numbers[..] >= floor[..],
                "{name} {version} is below {floor:?}"
            );
        }
    }
}
