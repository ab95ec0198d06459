//! `StagedFunding`: coins of a wallet without PSBT, by way of a key of the store's own.

mod file;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bitcoin::secp256k1::{All, Message, Secp256k1, SecretKey};
use bitcoin::sighash::{EcdsaSighashType, SighashCache};
use bitcoin::{
    Amount, CompressedPublicKey, Network, OutPoint, Psbt, ScriptBuf, Transaction, Witness, ecdsa,
};
use btc_iface::dlc::BlockIndex;
use btc_iface::{AddressType, BitcoinInterface, BitcoinResult, ErrorKind};

use self::file::{File, Staged};
use super::wallet::{address, not_enough};
use super::{Enough, Funding, FundingCoin, back, to_plain, to_transaction};
use crate::fault::{error, internal, invalid};
use crate::keys::Seed;

/// P2WPKH in and out: no spend back is larger, in vB.
const SPEND_BACK_VB: u64 = 122;

/// A wallet that can pay and make addresses, and nothing more, as the Python one. It pays a P2WPKH
/// key of this store, and that output is the contract's input. What no contract used is staged for
/// the next one, or sent back by [`send_back`](Self::send_back).
pub struct StagedFunding {
    secp: Secp256k1<All>,
    bitcoin: Arc<dyn BitcoinInterface>,
    index: Arc<dyn BlockIndex>,
    network: Network,
    seed: Seed,
    now: Arc<dyn Fn() -> u64 + Send + Sync>,
    file: File,
}

/// Where a coin is.
#[derive(PartialEq, Eq)]
enum Place {
    Mempool,
    Block,
}

impl StagedFunding {
    /// The wallet, the node that says which of its payments are in a block, and the file that says
    /// which keys were paid.
    ///
    /// # Errors
    /// `Internal`: the file cannot be read or written.
    pub fn open(
        bitcoin: Arc<dyn BitcoinInterface>,
        index: Arc<dyn BlockIndex>,
        network: Network,
        seed: Seed,
        path: &Path,
    ) -> BitcoinResult<Self> {
        Ok(Self {
            secp: Secp256k1::new(),
            bitcoin,
            index,
            network,
            seed,
            now: Arc::new(crate::engine::now),
            file: File::open(path)?,
        })
    }

    /// The same with another clock, in Unix seconds: the one of the contracts.
    #[must_use]
    pub fn with_clock(mut self, now: Arc<dyn Fn() -> u64 + Send + Sync>) -> Self {
        self.now = now;
        self
    }

    fn now_ms(&self) -> u64 {
        (self.now)().saturating_mul(1_000)
    }

    fn key(&self, number: u32) -> BitcoinResult<(SecretKey, CompressedPublicKey, ScriptBuf)> {
        let secret = self.seed.staging_key(number)?;
        let public = CompressedPublicKey(secret.public_key(&self.secp));
        Ok((
            secret,
            public,
            ScriptBuf::new_p2wpkh(&public.wpubkey_hash()),
        ))
    }

    /// The coins that are staged and not spent.
    fn staged(&self) -> BitcoinResult<Vec<Staged>> {
        self.file.staged(self.now_ms())
    }

    fn is_in_a_block(&self, staged: &Staged) -> BitcoinResult<bool> {
        Ok(self.place(staged)? == Some(Place::Block))
    }

    /// Where the node has the coin, unspent.
    fn place(&self, staged: &Staged) -> BitcoinResult<Option<Place>> {
        let found = self.index.unspent(staged.coin.outpoint)?;
        Ok(found.map(|found| match found.confirmations {
            0 => Place::Mempool,
            _ => Place::Block,
        }))
    }

    /// The same, once a payment that the network may have lost is handed over again. `None`: the coin
    /// is spent, or its payment never can be; when the node has it again, it counts again.
    fn place_again(&self, staged: &Staged) -> BitcoinResult<Option<Place>> {
        if let Some(place) = self.place(staged)? {
            return Ok(Some(place));
        }
        let payment = to_plain(&staged.coin.previous);
        match self.bitcoin.broadcast_transaction(&payment) {
            Err(refusal) if refusal.kind() == ErrorKind::Rejected => Ok(None),
            Err(failure) => Err(failure),
            // A payment in a block is taken as known: then its output is spent.
            Ok(_) => match self.bitcoin.get_transaction(&payment.txid.to_string()) {
                Ok(found) if found.block_height.is_none() && found.block_hash.is_none() => {
                    Ok(Some(Place::Mempool))
                }
                Ok(_) => self.place(staged),
                Err(failure) if failure.kind() == ErrorKind::NotFound => self.place(staged),
                Err(failure) => Err(failure),
            },
        }
    }

    /// Pays a new key this much. The key is on disk before the payment exists, the payment before
    /// it leaves.
    fn stage(&self, amount: Amount, fee_rate_sat_per_vb: u64) -> BitcoinResult<()> {
        let number = self.file.add()?;
        let (_, _, script) = self.key(number)?;
        let to = address(&script, self.network)?;
        let outputs = vec![(to, amount.to_sat())];
        let paid = self
            .bitcoin
            .create_transaction(outputs, fee_rate_sat_per_vb)?;
        let transaction = to_transaction(&paid)?;
        let vout = transaction
            .output
            .iter()
            .position(|output| output.script_pubkey == script && output.value == amount)
            .and_then(|vout| u32::try_from(vout).ok())
            .ok_or_else(|| internal("the wallet built another payment than it was asked for"))?;
        self.file.pay(number, &transaction, vout)?;
        self.bitcoin.broadcast_transaction(&paid)?;
        Ok(())
    }

    /// Hands staging payments, and what sends coins back, to the network again that may have lost
    /// them.
    ///
    /// # Errors
    /// Those of the store.
    pub fn rebroadcast(&self) -> BitcoinResult<()> {
        for staged in self.staged()? {
            // What fails now is tried again at the next sync, and stops no contract.
            let place = self.place_again(&staged).unwrap_or_default();
            if let (Some(spending), Some(_)) = (&staged.spending, place) {
                // Refused means that the chain or a higher fee decides.
                let _ = self.bitcoin.broadcast_transaction(&to_plain(spending));
            }
        }
        Ok(())
    }

    /// Sends every staged coin that no contract has reserved back to the wallet; returns the
    /// transactions. Until they are in a block, [`rebroadcast`](Self::rebroadcast) sends them again.
    ///
    /// # Errors
    /// Those of the wallet and the node.
    ///
    /// # Effects
    /// Transactions are sent.
    pub fn send_back(&self, fee_rate_sat_per_vb: u64) -> BitcoinResult<Vec<Transaction>> {
        let fee = fee_rate_sat_per_vb.checked_mul(SPEND_BACK_VB);
        let fee = fee.map(Amount::from_sat);
        let fee = fee.ok_or_else(|| invalid("a fee rate that no transaction can have"))?;
        let mut sent = Vec::new();
        for staged in self.staged()? {
            // What was sent back and is unspent all the same is sent back anew, at this rate.
            let is_asked = staged.is_free || staged.spending.is_some();
            if !is_asked || !self.is_in_a_block(&staged)? {
                continue;
            }
            let transaction = self.back(&staged, fee)?;
            let number = staged.number;
            if !self.file.send_back(number, &transaction, self.now_ms())? {
                continue;
            }
            let plain = to_plain(&transaction);
            if let Err(failure) = self.bitcoin.broadcast_transaction(&plain) {
                if failure.kind() == ErrorKind::Rejected {
                    self.file.keep(number, &transaction)?;
                }
                return Err(failure);
            }
            sent.push(transaction);
        }
        Ok(sent)
    }

    fn back(&self, staged: &Staged, fee: Amount) -> BitcoinResult<Transaction> {
        let mut transaction = back(&staged.coin, self.new_script()?, fee)?;
        let witness = self.witness(&transaction, 0, staged)?;
        transaction.input[0].witness = witness;
        Ok(transaction)
    }

    fn witness(
        &self,
        transaction: &Transaction,
        index: usize,
        staged: &Staged,
    ) -> BitcoinResult<Witness> {
        let (mut secret, public, script) = self.key(staged.number)?;
        let output = staged.coin.output()?;
        let hash = SighashCache::new(transaction)
            .p2wpkh_signature_hash(index, &script, output.value, EcdsaSighashType::All)
            .map_err(|cause| internal(cause.to_string()))?;
        let signature = self.secp.sign_ecdsa(&Message::from(hash), &secret);
        secret.non_secure_erase();
        Ok(Witness::p2wpkh(
            &ecdsa::Signature::sighash_all(signature),
            &public.0,
        ))
    }
}

impl Funding for StagedFunding {
    fn follow(&self) -> BitcoinResult<()> {
        // The wallet follows by itself; what was staged may have to be handed over again.
        self.rebroadcast()
    }

    fn new_script(&self) -> BitcoinResult<ScriptBuf> {
        let address = self.bitcoin.generate_address(AddressType::P2wpkh)?;
        Ok(address.script_pubkey)
    }

    fn reserve(
        &self,
        reason: &str,
        until_ms: Option<u64>,
        fee_rate_sat_per_vb: u64,
        enough: Enough<'_>,
    ) -> BitcoinResult<Vec<FundingCoin>> {
        let mut free = self.staged()?;
        free.retain(|staged| staged.is_free);
        free.sort_by_key(|staged| std::cmp::Reverse(staged.coin.output().map(|it| it.value).ok()));
        let mut places = Vec::new();
        for staged in &free {
            places.push(self.place_again(staged)?);
        }
        let choose = |with_waiting: bool| {
            let mut chosen: Vec<FundingCoin> = Vec::new();
            let mut numbers = Vec::new();
            let mut missing = enough(&[]);
            for (staged, place) in free.iter().zip(&places) {
                let fits = match place {
                    Some(Place::Block) => true,
                    Some(Place::Mempool) => with_waiting,
                    None => false,
                };
                if missing.is_err() && fits {
                    chosen.push(staged.coin.clone());
                    numbers.push(staged.number);
                    missing = enough(&chosen);
                }
            }
            (chosen, numbers, missing)
        };
        let (chosen, numbers, missing) = choose(false);
        if missing.is_err() {
            // The other side takes no coin that is in no block: what waits for one is paid for.
            if let (_, _, Err(amount)) = choose(true) {
                // One more input costs more: 69 vB for its outpoint, sequence and witness.
                let input = Amount::from_sat(fee_rate_sat_per_vb.saturating_mul(69));
                let needed = amount
                    .checked_add(input)
                    .ok_or_else(|| not_enough(amount))?;
                self.stage(needed.max(Amount::from_sat(1_000)), fee_rate_sat_per_vb)?;
            }
            let message = "the coin for the contract is paid and waits for its block; call again \
                           after it";
            return Err(error(ErrorKind::Unavailable, message));
        }
        self.file
            .reserve(&numbers, reason, until_ms, self.now_ms())?;
        Ok(chosen)
    }

    fn extend(&self, reason: &str, coins: &[OutPoint], until_ms: Option<u64>) -> BitcoinResult<()> {
        self.file.extend(coins, reason, until_ms, self.now_ms())
    }

    fn release(&self, reason: &str) -> BitcoinResult<()> {
        self.file.release(reason)
    }

    fn endless(&self, prefix: &str) -> BitcoinResult<Vec<String>> {
        self.file.endless(prefix)
    }

    fn spent(&self, reason: &str) -> BitcoinResult<()> {
        self.file.spent(reason)
    }

    fn sign(&self, psbt: &mut Psbt) -> BitcoinResult<()> {
        let staged = self.staged()?;
        let by_outpoint: BTreeMap<OutPoint, &Staged> =
            staged.iter().map(|one| (one.coin.outpoint, one)).collect();
        for index in 0..psbt.inputs.len() {
            let outpoint = psbt.unsigned_tx.input[index].previous_output;
            if let Some(staged) = by_outpoint.get(&outpoint) {
                let witness = self.witness(&psbt.unsigned_tx, index, staged)?;
                psbt.inputs[index].final_script_witness = Some(witness);
            }
        }
        Ok(())
    }

    fn own(&self, coins: &[OutPoint]) -> BitcoinResult<Vec<OutPoint>> {
        let staged = self.staged()?;
        let is_own = |coin: &OutPoint| staged.iter().any(|it| it.coin.outpoint == *coin);
        Ok(coins.iter().copied().filter(is_own).collect())
    }

    fn spend_back(&self, coin: &FundingCoin, fee: Amount) -> BitcoinResult<Transaction> {
        let staged = self.staged()?;
        let held = staged.iter().find(|it| it.coin.outpoint == coin.outpoint);
        let held = held.ok_or_else(|| invalid("not a staged coin"))?;
        // Spent is what a block says: until the escape is stored, nothing may forget the coin.
        self.back(held, fee)
    }
}
