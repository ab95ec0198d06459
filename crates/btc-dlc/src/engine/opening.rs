//! What is looked at when a store is opened: its seed, and reservations that nothing needs.

use bitcoin::secp256k1::PublicKey;
use btc_iface::BitcoinResult;
use btc_iface::dlc::{ContractId, Role};

use super::{Dlc, another_seed};
use crate::store::{Phase, Row};

impl Dlc {
    /// Releases what is reserved without an end for a contract that never came to the store. What
    /// has an end may be of a call that is about to store it.
    pub(super) fn release_orphans(&self) -> BitcoinResult<()> {
        let prefix = format!("{}:", self.name);
        for reason in self.parts.funding.endless(&prefix)? {
            let id = reason[prefix.len()..].split(':').next().unwrap_or_default();
            if let Ok(id) = id.parse::<ContractId>()
                && matches!(self.store.get(id), Ok(None))
            {
                self.parts.funding.release(&reason)?;
            }
        }
        Ok(())
    }

    /// Binds the store to its seed at the first opening. A store of old is bound to a seed only if
    /// that makes the key of a contract it has.
    pub(super) fn check_seed(&self) -> BitcoinResult<()> {
        if self.store.seed()?.is_none() {
            for (id, facts) in self.store.all()? {
                let own = self.row(id).and_then(|row| own_key(&row));
                // What was rejected has no own key, and what is damaged says nothing.
                if facts.phase != Phase::Rejected
                    && let Ok(own) = own
                {
                    self.key_of(id, facts.role, &own)?;
                    break;
                }
            }
        }
        if self.store.bind_seed(&self.seed.fingerprint())? {
            return Ok(());
        }
        Err(another_seed())
    }
}

/// The key that the own message of a contract names.
fn own_key(row: &Row) -> BitcoinResult<PublicKey> {
    Ok(match row.facts.role {
        Role::Offerer => Dlc::offer_of(row)?.funding_pubkey,
        Role::Accepter => Dlc::accept_of(row)?.funding_pubkey,
    })
}
