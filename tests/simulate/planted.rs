//! Rules of the Rust wallet that are broken on purpose: the simulation must find each.

use crate::Failure;
use crate::flags::Flags;

/// Breaks a rule in this process.
#[cfg(feature = "planted")]
pub(crate) fn plant(name: &str) -> Result<(), Failure> {
    use btc_rust::planted::{Planted, plant};
    let fault = Planted::ALL.into_iter().find(|it| it.name() == name);
    plant(fault.ok_or_else(|| {
        let names: Vec<&str> = Planted::ALL.iter().map(|it| it.name()).collect();
        format!("there is no fault {name}; there are {}", names.join(", "))
    })?);
    Ok(())
}

/// Plays histories with each rule broken, until one fails, and shows a table; whether each was
/// found.
#[cfg(feature = "planted")]
pub(crate) fn find_all(flags: &Flags) -> Result<bool, Failure> {
    const WORDS: usize = 60;
    let mut found = 0;
    let all = btc_rust::planted::Planted::ALL;
    println!(
        "{:<23} {:>7} {:>8}  by",
        "planted fault", "history", "seconds"
    );
    for fault in all {
        let flags = Flags {
            planted: Some(fault.name().to_owned()),
            max_failures: 1,
            json: true,
            ..flags.clone()
        };
        let report = crate::crew::play_all(&flags)?;
        let name = fault.name();
        let seconds = report.seconds;
        match report.failures.first() {
            Some(failed) => {
                found += 1;
                let number = failed.seed.wrapping_sub(flags.seed) + 1;
                let why = failed.message.lines().next().unwrap_or_default();
                let why: String = why.chars().take(WORDS).collect();
                let seed = failed.seed;
                println!("{name:<23} {number:>7} {seconds:>8.1}  seed {seed}: {why}");
            }
            None => println!(
                "{name:<23} {:>7} {seconds:>8.1}  NOT found in {} histories",
                "-", report.histories
            ),
        }
    }
    println!("planted faults found: {found} of {}", all.len());
    Ok(found == all.len())
}

/// Breaks nothing: this build has no faults.
#[cfg(not(feature = "planted"))]
pub(crate) fn plant(_name: &str) -> Result<(), Failure> {
    Err("this build has no faults to plant; build it with --features planted".into())
}

/// Finds nothing: this build has no faults.
#[cfg(not(feature = "planted"))]
pub(crate) fn find_all(_flags: &Flags) -> Result<bool, Failure> {
    Err("this build has no faults to plant; build it with --features planted".into())
}
