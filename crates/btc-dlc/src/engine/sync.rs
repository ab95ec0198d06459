//! What a contract needs from time to time: handed over again, refunded, its coins released.

use btc_iface::dlc::{ContractId, ContractState, DlcEvent, Role};
use btc_iface::{BitcoinResult, ErrorKind};

use super::{Dlc, raw};
use crate::fault::error;
use crate::funding::to_transaction;
use crate::store::{Facts, Phase, Row};

impl Dlc {
    /// [`sync`](btc_iface::dlc::DlcInterface::sync) without a refund: what may be settled by an
    /// attestation comes first.
    ///
    /// # Errors
    /// Those of `sync`.
    ///
    /// # Effects
    /// Those of `sync`, but for refunds.
    pub fn sync_before_settling(&self) -> BitcoinResult<Vec<DlcEvent>> {
        self.follow_and_mend(false)
    }

    pub(super) fn follow_and_mend(&self, with_refunds: bool) -> BitcoinResult<Vec<DlcEvent>> {
        let before = self.store.all()?;
        let tip = self.follow()?;
        // Released coins are free, and change can be spent, as soon as the wallet knows.
        self.parts.funding.follow()?;
        let mut failures: Vec<(ContractId, String)> = Vec::new();
        for (id, facts) in self.store.all()? {
            if !needs_care(&facts) {
                continue;
            }
            // One bad contract never stops the others.
            let mended = self
                .row(id)
                .and_then(|mut row| self.mend(&mut row, tip, with_refunds));
            if let Err(failure) = mended {
                failures.push((id, failure.to_string()));
            }
        }
        let mut events = Vec::new();
        for (id, facts) in self.store.all()? {
            let was = before.iter().find(|(known, _)| *known == id);
            let has_moved = was.is_none_or(|(_, was)| was.state() != facts.state());
            let failure = failures.iter().find(|(failed, _)| *failed == id);
            if has_moved || failure.is_some() {
                events.push(DlcEvent {
                    id,
                    state: Some(facts.state()),
                    error: failure.map(|(_, text)| text.clone()),
                });
            }
        }
        for (id, failure) in self.store.unreadable()? {
            events.push(DlcEvent {
                id,
                state: None,
                error: Some(failure.to_string()),
            });
        }
        Ok(events)
    }

    fn mend(&self, row: &mut Row, tip: u32, with_refunds: bool) -> BitcoinResult<()> {
        match row.facts.state() {
            ContractState::Signed | ContractState::Broadcast => {
                if let Some(escape) = row.facts.escape_raw.clone() {
                    self.broadcast(&escape)?;
                    return Ok(());
                }
                if row.facts.funding_raw.is_none() {
                    self.look_for_funding(row)?;
                }
                // Once the outcome may be known, only the side that loses would want the funding; a
                // side that has signed a settlement wants it all the same.
                let is_wanted = !self.has_matured(&row.facts) || row.facts.has_claim();
                let handed = if row.facts.funding_raw.is_some() && is_wanted {
                    self.hand_over_funding(row).map(|_| ())
                } else {
                    Ok(())
                };
                self.complain_of_funding(row)?;
                handed
            }
            ContractState::Confirmed => {
                if !row.facts.is_released {
                    self.parts.funding.spent(&self.reason(row))?;
                    row.facts.is_released = true;
                    row.facts.note = None;
                    self.store.update(row)?;
                }
                self.hand_over_ending(row, with_refunds)
            }
            ContractState::Failed => {
                let conflict = row.facts.conflict_height.unwrap_or(u32::MAX);
                let depth = tip.checked_sub(conflict).map_or(0, |above| above + 1);
                if depth >= self.config.final_depth && !row.facts.is_released {
                    self.parts.funding.release(&self.reason(row))?;
                    row.facts.is_released = true;
                    row.facts.note = Some("an input was spent by another transaction".to_owned());
                    self.store.update(row)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Hands over the ending that comes first: a settlement, a closing by agreement, the refund.
    /// What the node refuses gives way to the next one.
    fn hand_over_ending(&self, row: &Row, with_refunds: bool) -> BitcoinResult<()> {
        let closing = row.facts.closing.as_ref();
        if let Some(claim) = closing.filter(|_| row.facts.has_claim()) {
            return self.broadcast(&claim.raw).map(|_| ());
        }
        let refused = match &row.facts.agreed {
            None => Ok(()),
            Some(agreed) => match self.broadcast(&agreed.raw) {
                Err(refusal) if refusal.kind() == ErrorKind::Rejected => Err(refusal),
                other => return other.map(|_| ()),
            },
        };
        // A refund that was taken before: an attestation still comes first.
        if let Some(refund) = closing.filter(|_| with_refunds) {
            match self.broadcast(&refund.raw) {
                Err(refusal) if refusal.kind() == ErrorKind::Rejected => {}
                other => return other.map(|_| ()),
            }
        }
        if with_refunds && self.now() >= row.facts.refund_time.into() {
            return self.refund_if_due(row.id);
        }
        refused
    }

    /// The other side completes the funding, or it was completed before this copy of the store: once
    /// the network has it, this side can hand it over again, too.
    fn look_for_funding(&self, row: &mut Row) -> BitcoinResult<()> {
        let Some(txid) = row.facts.funding_txid else {
            return Ok(());
        };
        match self.parts.node.get_transaction(&txid.to_string()) {
            Ok(found) => {
                let transaction = to_transaction(&found)?;
                row.facts.funding_raw = Some(raw(&transaction));
                row.facts.is_seen = true;
                row.facts.note = None;
                self.store.update(row)
            }
            Err(failure) if failure.kind() == ErrorKind::NotFound => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    /// Says that no block has the funding while the first event comes near, or has come: until one
    /// has, either side can keep it from every block once it knows the outcome.
    fn complain_of_funding(&self, row: &mut Row) -> BitcoinResult<()> {
        let message = if self.has_matured(&row.facts) {
            "no block took the funding before the event: it is not handed over any more, and the \
             side that loses can keep it from a block; `cancel` spends an own coin elsewhere, so \
             that the other side cannot fund only what it wins"
        } else if !self.is_near(row) {
            return Ok(());
        } else if row.facts.role == Role::Offerer && !row.facts.is_seen {
            "the other side has not sent the funding, and the event is near: it can wait for the \
             outcome and fund only if it wins; `cancel` spends an own coin elsewhere first, in a \
             race that it may lose until that is in a block"
        } else {
            "the funding is in no block yet, and the event is near: until it is in one, the other \
             side can replace it once it knows the outcome; `cancel` replaces it first, in a race \
             that it may lose until that is in a block"
        };
        let failure = error(ErrorKind::Rejected, message);
        let note = Some(failure.to_string());
        if row.facts.note != note {
            row.facts.note = note;
            self.store.update(row)?;
        }
        Err(failure)
    }

    /// Whether the first event is as near as a funding must not be missing any more.
    fn is_near(&self, row: &Row) -> bool {
        let margin = u64::from(self.config.funding_margin_s);
        let first = row.facts.first_maturity.map(u64::from);
        first.is_some_and(|first| first <= self.now().saturating_add(margin))
    }

    /// Refunds, unless the chain's median time is behind the clock.
    fn refund_if_due(&self, id: ContractId) -> BitcoinResult<()> {
        match self.take_refund(id) {
            Err(failure)
                if failure
                    .context()
                    .iter()
                    .any(|(name, _)| name == "refund_time") =>
            {
                Ok(())
            }
            other => other.map(|_| ()),
        }
    }
}

fn needs_care(facts: &Facts) -> bool {
    match facts.state() {
        ContractState::Failed => !facts.is_released,
        state => !state.is_final() && matches!(facts.phase, Phase::Signed | Phase::Accepted),
    }
}
