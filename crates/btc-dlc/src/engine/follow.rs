//! Following the chain: what each block says about the contracts.

use bitcoin::BlockHash;
use btc_iface::dlc::ContractId;
use btc_iface::{BitcoinResult, BitcoinTransaction, ErrorKind};

use super::Dlc;
use crate::store::{Ending, Facts, Phase, Spent};

/// How often a chain that changes under the feet is begun anew in one sync.
const ATTEMPTS: u32 = 5;

impl Dlc {
    /// Follows the chain to its tip.
    pub(super) fn follow(&self) -> BitcoinResult<u32> {
        for _ in 0..ATTEMPTS {
            self.leave_stale_blocks()?;
            if let Some(height) = self.read_to_tip()? {
                return Ok(height);
            }
        }
        let message = "the chain changes faster than it can be read; sync again";
        Err(crate::fault::error(ErrorKind::Unavailable, message))
    }

    /// Takes back what blocks said that are not on the active chain any more.
    fn leave_stale_blocks(&self) -> BitcoinResult<()> {
        let Some(tip) = self.store.tip()? else {
            return Ok(());
        };
        let mut known = Some(tip);
        while let Some((height, hash)) = known {
            if self.hash_at(height)? == Some(hash) {
                if height != tip.0 {
                    self.store.rewind(height)?;
                }
                return Ok(());
            }
            known = self.store.block_below(height)?;
            if known.is_none() {
                // Nothing that is known is left: everything is read anew.
                self.store.rewind(height.saturating_sub(1))?;
            }
        }
        Ok(())
    }

    fn hash_at(&self, height: u32) -> BitcoinResult<Option<BlockHash>> {
        match self.parts.index.block_hash(height) {
            Ok(hash) => Ok(Some(hash)),
            Err(failure) if failure.kind() == ErrorKind::NotFound => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Reads every block above the last one that is known; `None` when the chain changed meanwhile.
    fn read_to_tip(&self) -> BitcoinResult<Option<u32>> {
        let tip = self.height()?;
        let mut last = self.store.tip()?;
        loop {
            let watched: Vec<(ContractId, Facts)> = self
                .store
                .all()?
                .into_iter()
                .filter(|(_, facts)| is_watched(facts))
                .collect();
            let start = watched.iter().map(|(_, facts)| facts.from_height).min();
            let next = match (last, start) {
                (Some((height, _)), Some(_)) => height + 1,
                // A block that holds nothing of any contract is the place to begin from.
                (None, Some(start)) => start.min(tip),
                (_, None) => tip,
            };
            if next > tip || last.is_some_and(|(height, _)| height == next) {
                return Ok(Some(tip));
            }
            let Some(hash) = self.hash_at(next)? else {
                return Ok(None);
            };
            let mut changes = Vec::new();
            if !watched.is_empty() {
                let block = self.parts.node.get_block(&hash.to_string())?;
                for (id, facts) in &watched {
                    let mut new = facts.clone();
                    for transaction in &block {
                        take_in(&mut new, transaction, next);
                    }
                    if new != *facts {
                        changes.push((*id, new));
                    }
                }
            }
            // The block before must still be the one that is known, or this one is on another
            // chain than that.
            if let Some((height, known)) = last
                && self.hash_at(height)? != Some(known)
            {
                return Ok(None);
            }
            self.store.advance(next, hash, &changes)?;
            last = Some((next, hash));
        }
    }
}

/// Whether a block can say something about a contract.
fn is_watched(facts: &Facts) -> bool {
    facts.funding_txid.is_some()
        && facts.spent.is_none()
        && matches!(facts.phase, Phase::Accepted | Phase::Signed)
}

/// Takes in what one transaction of the block at this height says.
fn take_in(facts: &mut Facts, transaction: &BitcoinTransaction, height: u32) {
    let (Some(funding), Some(vout)) = (facts.funding_txid, facts.funding_vout) else {
        return;
    };
    if transaction.txid == funding {
        facts.funding_height = Some(height);
        facts.is_seen = true;
        facts.conflict_height = None;
        return;
    }
    for input in &transaction.inputs {
        let coin = input.previous_output;
        if coin.txid == funding && coin.vout == vout {
            let to_own = transaction
                .outputs
                .iter()
                .filter(|output| Some(&output.script_pubkey) == facts.own_script.as_ref())
                .map(|output| output.value_sat);
            facts.spent = Some(Spent {
                txid: transaction.txid,
                height,
                ending: ending(facts, transaction.txid),
                own_payout_sat: to_own.fold(0, u64::saturating_add),
            });
        } else if facts.inputs.contains(&coin) {
            facts.conflict_height = Some(height);
        }
    }
}

fn ending(facts: &Facts, txid: bitcoin::Txid) -> Ending {
    if facts.refund_txid == Some(txid) {
        return Ending::Refund;
    }
    let agreed = facts.agreed.iter().map(|agreed| agreed.txid);
    let mut closings = facts.proposals.iter().map(|(txid, _)| *txid).chain(agreed);
    if closings.any(|closing| closing == txid) {
        return Ending::Close;
    }
    Ending::Claim
}
