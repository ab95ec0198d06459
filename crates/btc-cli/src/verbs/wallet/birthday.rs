//! The birthday of a new wallet: the height from which on blocks may pay it.

use std::time::Duration;

use btc::Config;
use btc::config::WalletSource;

use super::{is_unreachable, remark};
use crate::exit::Failure;
use crate::output::Output;

/// Blocks between the tip of the chain and the birthday of a new wallet: what another branch
/// confirms in their place is the wallet's, too.
const MARGIN: u32 = 144;

/// Where new words begin: a day of blocks before the tip; 0 when that cannot be learned.
pub(super) fn of_new_words(output: Output, config: &Config) -> Result<u32, Failure> {
    match btc::connect_source(config).and_then(|source| source.tip()) {
        Ok(tip) => Ok(tip.height.saturating_sub(MARGIN)),
        Err(error) if is_unreachable(&error) => {
            let message = format!(
                "the height of the chain cannot be asked for, so the wallet will look at all of \
                 it; --birthday changes that ({})",
                error.message()
            );
            remark(output, &message);
            Ok(0)
        }
        Err(error) => Err(error.into()),
    }
}

/// What is to be said about a birthday that was given: payments before it are never seen. Nothing
/// when there is no node that says the height of the chain at once.
pub(super) fn warning(config: &Config, birthday: u32) -> Option<String> {
    /// Nothing depends on the answer.
    const LONGEST: Duration = Duration::from_secs(5);
    let source = config.wallet.as_ref().map(|wallet| &wallet.source);
    if !matches!(source, Some(WalletSource::Core)) {
        // Peers and servers are believed when all headers are followed, which takes a while.
        return None;
    }
    let mut config = config.clone();
    if let Some(node) = &mut config.node {
        node.timeout = node.timeout.min(LONGEST);
    }
    let tip = btc::connect_source(&config)
        .and_then(|source| source.tip())
        .ok()?;
    (birthday > tip.height).then(|| {
        format!(
            "the birthday, height {birthday}, is above the tip of the chain, height {}: what is \
             paid to the wallet before it is never seen. Unless the node is still catching up, \
             make the wallet again with a lower --birthday",
            tip.height
        )
    })
}
