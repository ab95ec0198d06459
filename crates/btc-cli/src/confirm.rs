//! The word of consent that mainnet needs.

use std::io::{self, BufRead, IsTerminal, Write};

use btc::Network;

use crate::exit::{Code, Failure};

/// Fails where consent is needed and cannot be given: on mainnet without `--yes` and without a
/// terminal. For the beginning, before anything is asked, built or reserved.
pub(crate) fn can_be_given(network: Network, is_granted: bool, what: &str) -> Result<(), Failure> {
    if is_needed(network, is_granted) && !io::stdin().is_terminal() {
        let message =
            format!("to {what} on mainnet needs a word of consent: add --yes; nothing was sent");
        return Err(Failure::Other(Code::Usage, message));
    }
    Ok(())
}

/// Passes on every network but mainnet; there it takes `--yes`, or a typed `yes` at a terminal.
pub(crate) fn on_mainnet(network: Network, is_granted: bool, what: &str) -> Result<(), Failure> {
    can_be_given(network, is_granted, what)?;
    if !is_needed(network, is_granted) {
        return Ok(());
    }
    eprint!("{what} on mainnet, with real money? Type yes to go on: ");
    let mut answer = String::new();
    let is_read = io::stderr()
        .flush()
        .and_then(|()| io::stdin().lock().read_line(&mut answer));
    if is_read.is_ok() && answer.trim() == "yes" {
        return Ok(());
    }
    Err(Failure::Other(
        Code::Failed,
        "not confirmed, nothing was sent".to_owned(),
    ))
}

/// Whether somebody has to be asked.
pub(crate) fn is_needed(network: Network, is_granted: bool) -> bool {
    network == Network::Bitcoin && !is_granted
}
