//! Everything that reads, over transactions of every kind, blocks, errors and fee rates.

use btc::{BitcoinInterface, BitcoinResult};

use crate::stage::{Failure, Ground};
use crate::watch::{Interface, Report, Watched};

const TARGETS: [u8; 2] = [1, 144];

/// Reads through the mutant in both roles, and checks that shadow mode changes no answer.
pub(crate) fn run(ground: &mut Ground<'_>, class: &str) -> Result<Report, Failure> {
    let watched = Watched::reading(ground, class)?;
    let waiting = ground.waiting()?;
    // Of the wrong length, unknown, and with a letter that is no digit.
    let wrong = [String::new(), "ff".repeat(32), "zz".repeat(32)];
    for txid in ground.txids.iter().chain([&waiting]).chain(&wrong) {
        unchanged(&watched, |bitcoin| bitcoin.get_transaction(txid));
    }
    for hash in ground.blocks.iter().chain(&wrong) {
        unchanged(&watched, |bitcoin| bitcoin.get_block(hash));
    }
    rates(&watched);
    Ok(watched.end())
}

/// The same where there is nothing to read, and where fee rates are the node's minimum.
pub(crate) fn run_bare(ground: &mut Ground<'_>, class: &str) -> Result<Report, Failure> {
    let watched = Watched::reading(ground, class)?;
    rates(&watched);
    Ok(watched.end())
}

fn rates(watched: &Watched) {
    unchanged(watched, BitcoinInterface::get_block_height);
    for target in TARGETS {
        unchanged(watched, |bitcoin| bitcoin.estimate_fee(target));
    }
    drop(watched.both(|bitcoin| bitcoin.estimate_fee(0)));
}

/// The primary's answer comes back as it is, right or wrong.
fn unchanged<T: std::fmt::Debug>(watched: &Watched, call: impl Fn(&Interface) -> BitcoinResult<T>) {
    let show = |answer: BitcoinResult<T>| match answer {
        Ok(answer) => format!("{answer:?}"),
        Err(error) => format!("{} {error}", error.kind()),
    };
    let [python, _] = watched.both(&call);
    assert_eq!(show(python), show(call(&*watched.python)));
}
