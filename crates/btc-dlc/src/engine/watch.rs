//! What a watcher does in each round: which contracts an attestation settles, and settling them.

use bitcoin::Txid;
use btc_iface::dlc::{ContractId, ContractState, DlcInterface as _};
use btc_iface::{BitcoinResult, ErrorKind};

use super::Dlc;

impl Dlc {
    /// The contracts that an attestation would settle: their funding is in a block, no settlement is
    /// signed, and no closing by agreement is on its way.
    ///
    /// # Errors
    /// Those of the store.
    ///
    /// # Effects
    /// A closing by agreement is sent again: what the node refuses is not on its way.
    pub fn awaits_attestation(&self) -> BitcoinResult<Vec<ContractId>> {
        let mut waiting = Vec::new();
        for (id, facts) in self.store.all()? {
            if facts.state() != ContractState::Confirmed || facts.has_claim() {
                continue;
            }
            let is_refused = match &facts.agreed {
                None => true,
                Some(agreed) => self
                    .broadcast(&agreed.raw)
                    .is_err_and(|refusal| refusal.kind() == ErrorKind::Rejected),
            };
            if is_refused {
                waiting.push(id);
            }
        }
        Ok(waiting)
    }

    /// Settles what these attestations decide; what belongs to no contract, cannot be read or is
    /// forged is passed over. Each contract that one belongs to is in the answer, with what came of
    /// it, and so is each that cannot be read: one that fails never stops the others.
    ///
    /// # Errors
    /// Those of the store as a whole.
    ///
    /// # Effects
    /// Those of [`execute`](btc_iface::dlc::DlcInterface::execute), and of
    /// [`awaits_attestation`](Self::awaits_attestation).
    pub fn settle_attested(
        &self,
        attestations: &[String],
    ) -> BitcoinResult<Vec<(ContractId, BitcoinResult<Txid>)>> {
        let mut settled = Vec::new();
        for id in self.awaits_attestation()? {
            match self.belonging(id, attestations) {
                Ok(own) if own.is_empty() => {}
                Ok(own) => settled.push((id, self.execute(id, &own))),
                Err(failure) => settled.push((id, Err(failure))),
            }
        }
        Ok(settled)
    }
}
