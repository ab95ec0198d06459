//! The first words with a peer: whether it serves, and who it is.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use bitcoin::p2p::ServiceFlags;
use btc_iface::{BitcoinResult, BlockRef, Network};

use super::claim::{Claim, Serving};
use super::errors::failed;
use super::failure::Failure;
use super::wire::{Conversation, Hello};
use crate::wallet::source::Peer;

/// The protocol version of BIP339, which the library insists on.
const MIN_VERSION: u32 = 70016;

/// Everything that a peer is asked before it is used.
pub(super) fn serve(
    address: &str,
    network: Network,
    timeout: Duration,
    known: &[BlockRef],
) -> Result<Serving, Failure> {
    let mut open = Conversation::open(address, network, timeout)?;
    if !serves_filters(&open.hello) {
        return Err(Failure::WithoutFilters(open.hello.services.to_u64()));
    }
    let claim = Claim::ask(&mut open, network, known)?;
    let mut serving = Serving {
        address: address.to_owned(),
        open,
        claim,
        above: None,
    };
    serving.await_filter(serving.claim.tip)?;
    Ok(serving)
}

/// Connects to a peer, shakes hands and says good-bye.
///
/// # Errors
/// Within the timeout, twice that for a peer on another network. `Unavailable`: it cannot be
/// reached or hangs up. `Timeout`: it does not answer. `Configuration`: it is on another network.
/// `InvalidResponse`: it does not speak the protocol.
pub fn handshake(address: &str, network: Network, timeout: Duration) -> BitcoinResult<Peer> {
    let open = Conversation::open(address, network, timeout)
        .map_err(|failure| failed(address, &failure))?;
    Ok(Peer {
        address: address.to_owned(),
        user_agent: Some(open.hello.user_agent.clone()),
        start_height: Some(open.hello.start_height),
        services: services(open.hello.services.to_u64()),
        is_inbound: Some(false),
    })
}

/// As `getpeerinfo` writes them.
fn services(flags: u64) -> String {
    format!("{flags:016x}")
}

fn serves_filters(hello: &Hello) -> bool {
    hello.version >= MIN_VERSION
        && hello
            .services
            .has(ServiceFlags::COMPACT_FILTERS | ServiceFlags::NETWORK)
}

/// Those of these peers that answer a handshake, in their order.
pub(super) fn list(addresses: &[String], network: Network, timeout: Duration) -> Vec<Peer> {
    let (answer, answers) = mpsc::channel();
    for address in addresses {
        let (address, answer) = (address.clone(), answer.clone());
        thread::spawn(move || {
            let found = handshake(&address, network, timeout).ok();
            // The receiver waits for all.
            let _ = answer.send(found);
        });
    }
    drop(answer);
    let mut found: Vec<Peer> = answers.iter().flatten().collect();
    found.sort_by_key(|peer| addresses.iter().position(|it| *it == peer.address));
    found
}
