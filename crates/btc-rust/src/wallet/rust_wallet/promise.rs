//! Making good on a preview: what was shown is what is reserved.

use bitcoin::{OutPoint, Psbt, Txid};
use btc_iface::{BitcoinError, BitcoinResult, Chain, ErrorKind, Operation};

use super::{RESERVATION_MS, RustWallet};
use crate::wallet::reservations;

impl RustWallet {
    /// Reserves the coins and the change index of a transaction that was previewed, for 10
    /// minutes under this txid, which is that of the signed transaction. A coin that an
    /// unconfirmed transaction of the wallet spends goes over to the one that replaces it.
    ///
    /// # Errors
    /// `InvalidInput`: a coin was reserved or the change index promised since; preview it again.
    ///
    /// # Effects
    /// Coins and the change index are reserved, on disk.
    pub fn reserve(&self, psbt: &Psbt, txid: Txid) -> BitcoinResult<()> {
        let mut ledger = self.ledger();
        let coins: Vec<OutPoint> = psbt
            .unsigned_tx
            .input
            .iter()
            .map(|input| input.previous_output)
            .collect();
        let change: Vec<_> = psbt
            .unsigned_tx
            .output
            .iter()
            .filter_map(|output| ledger.index_of(&output.script_pubkey))
            .filter(|((_, chain), _)| *chain == Chain::Change)
            .collect();
        let view = ledger.view();
        let now_ms = reservations::now_ms();
        let mut reservations = self.reservations();
        let booking = reservations.begin(now_ms)?;
        for coin in &coins {
            let is_unspent = view.coins.iter().any(|it| it.outpoint == *coin);
            if !is_unspent {
                booking.release(*coin)?;
            }
        }
        booking.reserve(&coins, now_ms.saturating_add(RESERVATION_MS), txid)?;
        for (keychain, index) in &change {
            let is_promised = *index < booking.next_index(*keychain)?;
            if is_promised && !ledger.is_used(*keychain, *index) {
                let message = "the change address was promised to another transaction since; \
                               build this one again";
                return Err(BitcoinError::new(
                    ErrorKind::InvalidInput,
                    Operation::Wallet,
                    message,
                ));
            }
            booking.set_next(*keychain, index + 1)?;
        }
        booking.commit()?;
        drop(reservations);
        for (keychain, index) in change {
            ledger.set_next(keychain, index + 1)?;
        }
        Ok(())
    }

    /// Releases what is reserved for a transaction that is not sent; returns how many coins.
    /// Locks stay.
    ///
    /// # Errors
    /// Those of the reservations.
    pub fn release(&self, txid: Txid) -> BitcoinResult<usize> {
        self.reservations().release_for(txid)
    }
}
