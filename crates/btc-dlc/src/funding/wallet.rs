//! `WalletFunding`: coins of a wallet that offers `WalletInterface`.

use std::collections::BTreeSet;
use std::sync::Arc;

use bitcoin::{Address, Amount, OutPoint, Psbt, ScriptBuf, Transaction};
use btc_iface::{
    AddressType, BitcoinInterface, BitcoinResult, Coin, CoinState, ErrorKind, FeeRate,
    TransactionRequest, WalletInterface,
};

use super::{Enough, Funding, FundingCoin, back, previous, to_transaction};
use crate::fault::{error, internal};

/// How often coins are chosen again after another caller was faster.
const ATTEMPTS: u32 = 10;

/// A wallet with PSBT and reservations, as the Rust one.
pub struct WalletFunding {
    wallet: Arc<dyn WalletInterface>,
    bitcoin: Arc<dyn BitcoinInterface>,
}

impl WalletFunding {
    /// The wallet, and the eight operations over the same wallet.
    pub fn new(wallet: Arc<dyn WalletInterface>, bitcoin: Arc<dyn BitcoinInterface>) -> Self {
        Self { wallet, bitcoin }
    }

    fn coin(&self, coin: &Coin) -> BitcoinResult<FundingCoin> {
        let redeem_script = match coin.address_type {
            AddressType::P2shP2wpkh => self.redeem_script(coin)?,
            _ => ScriptBuf::new(),
        };
        Ok(FundingCoin {
            outpoint: coin.outpoint,
            previous: previous(&*self.bitcoin, coin.outpoint, coin.block)?,
            max_witness_len: match coin.address_type {
                // A count, a length, a signature with its hash type.
                AddressType::P2tr => 67,
                // A count, and lengths with a signature and a key.
                _ => 108,
            },
            redeem_script,
        })
    }

    /// The witness program behind a nested address: a preview of spending the coin names it.
    fn redeem_script(&self, coin: &Coin) -> BitcoinResult<ScriptBuf> {
        let request = TransactionRequest {
            drain_to: Some(coin.address.clone()),
            fee_rate: FeeRate::from_sat_per_vb(1),
            coins: vec![coin.outpoint],
            only_coins: true,
            allow_high_fee: true,
            ..TransactionRequest::default()
        };
        let psbt = self.wallet.preview(&request)?;
        let input = psbt.inputs.first().and_then(|it| it.redeem_script.clone());
        input.ok_or_else(|| internal("the wallet does not name a nested coin's program"))
    }

    fn choose(
        &self,
        enough: Enough<'_>,
        taken: &BTreeSet<OutPoint>,
    ) -> BitcoinResult<Vec<FundingCoin>> {
        let mut chosen = Vec::new();
        let mut missing = enough(&chosen);
        for coin in self.wallet.unspent()? {
            if missing.is_ok() {
                break;
            }
            let fits = matches!(
                coin.address_type,
                AddressType::P2wpkh | AddressType::P2shP2wpkh | AddressType::P2tr
            );
            let is_free = coin.reserved_for.is_none() && !taken.contains(&coin.outpoint);
            if fits && is_free && coin.state == CoinState::Confirmed {
                chosen.push(self.coin(&coin)?);
                missing = enough(&chosen);
            }
        }
        missing.map(|()| chosen).map_err(not_enough)
    }
}

pub(super) fn not_enough(missing: Amount) -> btc_iface::BitcoinError {
    let message = "not enough confirmed coins for the collateral and its fees; receive more, or \
                   wait for those that are reserved";
    error(ErrorKind::Rejected, message).with_context("missing_sat", missing.to_sat())
}

impl Funding for WalletFunding {
    fn follow(&self) -> BitcoinResult<()> {
        self.wallet.sync().map(|_| ())
    }

    fn new_script(&self) -> BitcoinResult<ScriptBuf> {
        let address = self.bitcoin.generate_address(AddressType::P2wpkh)?;
        Ok(address.script_pubkey)
    }

    fn reserve(
        &self,
        reason: &str,
        until_ms: Option<u64>,
        _: u64,
        enough: Enough<'_>,
    ) -> BitcoinResult<Vec<FundingCoin>> {
        let mut last = None;
        let mut taken = BTreeSet::new();
        for _ in 0..ATTEMPTS {
            let chosen = self.choose(enough, &taken)?;
            let outpoints: Vec<OutPoint> = chosen.iter().map(|coin| coin.outpoint).collect();
            if outpoints.is_empty() {
                return Ok(chosen);
            }
            match self.wallet.hold(&outpoints, reason, until_ms) {
                Ok(()) => return Ok(chosen),
                // Another caller was faster; all of them or none are reserved. The coin is named
                // by the refusal, if the wallet still shows it as free.
                Err(refusal) if refusal.kind() == ErrorKind::InvalidInput => {
                    let coins = refusal.context().iter().filter(|(name, _)| name == "coin");
                    taken.extend(coins.filter_map(|(_, coin)| coin.parse::<OutPoint>().ok()));
                    last = Some(refusal);
                }
                Err(other) => return Err(other),
            }
        }
        Err(last.unwrap_or_else(|| internal("no coin could be reserved")))
    }

    fn extend(&self, reason: &str, coins: &[OutPoint], until_ms: Option<u64>) -> BitcoinResult<()> {
        if coins.is_empty() {
            return Ok(());
        }
        self.wallet.hold(coins, reason, until_ms)
    }

    fn release(&self, reason: &str) -> BitcoinResult<()> {
        self.wallet.release_hold(reason).map(|_| ())
    }

    fn endless(&self, _: &str) -> BitcoinResult<Vec<String>> {
        // Every reservation here has an end until its contract is stored.
        Ok(Vec::new())
    }

    fn spent(&self, reason: &str) -> BitcoinResult<()> {
        // The wallet sees for itself that they are spent.
        self.release(reason)
    }

    fn sign(&self, psbt: &mut Psbt) -> BitcoinResult<()> {
        self.wallet.sign_psbt(psbt)?;
        self.wallet.finalize_psbt(psbt)?;
        Ok(())
    }

    fn own(&self, coins: &[OutPoint]) -> BitcoinResult<Vec<OutPoint>> {
        let unspent = self.wallet.unspent()?;
        let own: BTreeSet<OutPoint> = unspent.into_iter().map(|coin| coin.outpoint).collect();
        Ok(coins
            .iter()
            .copied()
            .filter(|coin| own.contains(coin))
            .collect())
    }

    fn spend_back(&self, coin: &FundingCoin, fee: Amount) -> BitcoinResult<Transaction> {
        // Built here: the wallet does not choose a coin that the mempool spends.
        let unsigned = back(coin, self.new_script()?, fee)?;
        let psbt = Psbt::from_unsigned_tx(unsigned);
        let mut psbt = psbt.map_err(|cause| internal(cause.to_string()))?;
        psbt.inputs[0].witness_utxo = Some(coin.output()?.clone());
        psbt.inputs[0].non_witness_utxo = Some(coin.previous.clone());
        if !coin.redeem_script.is_empty() {
            psbt.inputs[0].redeem_script = Some(coin.redeem_script.clone());
        }
        self.sign(&mut psbt)?;
        to_transaction(&self.wallet.extract_psbt(&psbt, true)?)
    }
}

/// The address of a script, for wallets that pay to text only.
pub(super) fn address(script: &ScriptBuf, network: bitcoin::Network) -> BitcoinResult<String> {
    Address::from_script(script, network)
        .map(|address| address.to_string())
        .map_err(|cause| internal(cause.to_string()))
}
