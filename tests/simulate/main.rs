//! Random lives of a wallet over a simulated node: what was promised is kept, whatever happens.

#![allow(
    clippy::panic,
    reason = "a check that fails ends the history, and the message says why"
)]

mod check;
mod confirm;
mod crew;
mod flags;
mod house;
mod identity;
mod life;
mod payments;
mod planted;
mod play;
mod scenario;
mod stage;
mod step;
mod truth;

use std::process::ExitCode;

use btc::{AddressType, Chain};

use crate::flags::Flags;
use crate::identity::Keychain;

/// What is wrong.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let flags = match Flags::parse(std::env::args().skip(1)) {
        Ok(flags) => flags,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    };
    // A panic of a thread that is expected would be shown among the lines for machines.
    if flags.worker.is_some() {
        std::panic::set_hook(Box::new(|_| {}));
    }
    match crew::run(&flags) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The eight chains of keys.
pub(crate) fn keychains() -> Vec<Keychain> {
    let types = AddressType::ALL.into_iter();
    types
        .flat_map(|address_type| Chain::ALL.map(|chain| (address_type, chain)))
        .collect()
}
