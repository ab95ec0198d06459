//! The word of consent that mainnet needs.

use std::io::{self, BufRead, IsTerminal, Write};

use btc::Network;

use crate::exit::{Code, Failure};

/// Passes on every network but mainnet; there it takes `--yes`, or a typed `yes` at a terminal.
pub(crate) fn on_mainnet(network: Network, is_granted: bool, what: &str) -> Result<(), Failure> {
    if network != Network::Bitcoin || is_granted {
        return Ok(());
    }
    if io::stdin().is_terminal() {
        eprint!("{what} on mainnet, with real money? Type yes to go on: ");
        let mut answer = String::new();
        let is_read = io::stderr()
            .flush()
            .and_then(|()| io::stdin().lock().read_line(&mut answer));
        if is_read.is_ok() && answer.trim() == "yes" {
            return Ok(());
        }
        return Err(Failure::Other(
            Code::Failed,
            "not confirmed, nothing was sent".to_owned(),
        ));
    }
    let message = format!("{what} on mainnet needs a word of consent: add --yes; nothing was sent");
    Err(Failure::Other(Code::Usage, message))
}
