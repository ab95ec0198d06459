//! Coins: one transaction at a time chooses them, until the wallet has seen the last one.
//!
//! LDK's wallet knows which coins a transaction of its own spends only once Bitcoin Core has told it
//! of the transaction. Until then, the next one would choose the same coins.

use std::sync::{MutexGuard, TryLockError};
use std::time::{Duration, Instant};

use bitcoin::Txid;
use btc_iface::lightning::{
    ChannelHandle, LightningErrorKind as Kind, LightningResult, PaymentKind,
};
use ldk_node::Node;

use super::Shared;
use super::withdrawals::{Place, place, txid_of};
use crate::convert;
use crate::error::error;
use crate::intents::{self, Intent};
use crate::preflight;

/// The longest that one waits for the coins.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often it is looked whether they are free.
const LOOK: Duration = Duration::from_millis(200);

/// A transaction that has chosen coins, and that the wallet may not know.
#[derive(Debug)]
pub(crate) struct Busy {
    what: What,
    /// The time of the wallet's last look when Bitcoin Core was first seen to have it, and how many
    /// looks have ended since: the second one began after.
    since: Option<(Option<u64>, u32)>,
}

#[derive(Debug)]
enum What {
    /// A withdrawal, by its key.
    Withdrawal(String, Txid),
    /// What an earlier process may have sent and did not name: the wallet learns of it by looking.
    Unknown,
    Opening(ChannelHandle),
}

impl Busy {
    pub(super) fn withdrawal(key: String, txid: Txid) -> Self {
        let what = What::Withdrawal(key, txid);
        Self { what, since: None }
    }

    pub(super) fn opening(handle: ChannelHandle) -> Self {
        let what = What::Opening(handle);
        Self { what, since: None }
    }
}

impl Shared {
    /// Takes the coins, once nothing keeps them busy. The caller adds what they were used for.
    pub(super) fn coins(&self, node: &Node) -> LightningResult<MutexGuard<'_, Vec<Busy>>> {
        let end = Instant::now() + PATIENCE;
        // One that Bitcoin Core has lost has its coins free in the wallet's eyes.
        let mut again = self.look_at_withdrawals()?;
        loop {
            let taken = match self.coins.try_lock() {
                Ok(taken) => Some(taken),
                Err(TryLockError::Poisoned(broken)) => Some(broken.into_inner()),
                Err(TryLockError::WouldBlock) => None,
            };
            if let Some(mut busy) = taken {
                busy.append(&mut again);
                busy.retain_mut(|one| !self.is_over(node, one));
                if busy.is_empty() {
                    return Ok(busy);
                }
            }
            self.watch.check()?;
            if Instant::now() >= end {
                let message = "the wallet does not know yet which coins an earlier withdrawal or opening spends; \
                               nothing was sent, try again soon";
                return Err(error(Kind::Refused, message));
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Keeps the coins of these busy, too.
    pub(super) fn keep_busy(&self, more: Vec<Busy>) {
        if more.is_empty() {
            return;
        }
        self.coins
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .extend(more);
    }

    /// What an earlier process may have left busy.
    pub(super) fn remember_coins(&self, node: &Node, open: &[Intent]) {
        let onchain = open.iter().filter(|it| it.kind == PaymentKind::Onchain);
        let withdrawals = onchain.map(|intent| match txid_of(intent) {
            Some(txid) => Busy::withdrawal(intent.key.clone(), txid),
            None => Busy {
                what: What::Unknown,
                since: Some((None, 0)),
            },
        });
        let openings = node
            .list_channels()
            .into_iter()
            .filter(|channel| channel.is_outbound && !channel.is_channel_ready)
            .map(|channel| Busy::opening(convert::handle(channel.user_channel_id)));
        let busy = withdrawals.chain(openings);
        self.coins
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .extend(busy);
    }

    /// Whether the wallet knows the transaction, or there will be none.
    fn is_over(&self, node: &Node, busy: &mut Busy) -> bool {
        let txid = match &busy.what {
            What::Unknown => None,
            What::Withdrawal(key, txid) => {
                let is_given_up = self.intent(key).is_ok_and(|intent| {
                    intent.is_some_and(|it| it.state == intents::State::Failed)
                });
                if is_given_up {
                    return true;
                }
                Some(*txid)
            }
            What::Opening(opened) => {
                let wanted = convert::user_channel(*opened);
                let channels = node.list_channels();
                let channel = channels
                    .iter()
                    .find(|channel| channel.user_channel_id == wanted);
                match channel {
                    Some(channel) if !channel.is_channel_ready => match channel.funding_txo {
                        Some(funding) => Some(funding.txid),
                        // The peer has not answered yet.
                        None => return false,
                    },
                    _ => return true,
                }
            }
        };
        if txid.is_some_and(|txid| place(node, txid) != Place::Nowhere) {
            return true;
        }
        let stamp = node.status().latest_onchain_wallet_sync_timestamp;
        match &mut busy.since {
            None => {
                let has_it = |txid| preflight::has_unconfirmed(&self.config.chain, txid);
                if txid.is_some_and(|txid| has_it(txid).unwrap_or(false)) {
                    busy.since = Some((stamp, 0));
                }
            }
            Some((last, looks)) if *last != stamp => {
                *last = stamp;
                *looks += 1;
            }
            Some(_) => {}
        }
        busy.since.is_some_and(|(_, looks)| looks >= 2)
    }
}
