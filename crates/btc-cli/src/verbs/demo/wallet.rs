//! A life of a wallet for the demonstration: paid, paying, a fee raised, restored from its words.

use std::path::Path;

use btc::bitcoin::hashes::Hash;
use btc::bitcoin::{Address, Amount, ScriptBuf, WPubkeyHash};
use btc::config::{WalletSettings, WalletSource};
use btc::rust::wallet::folder::{self, NewWallet, Origin, RESTORE_GAP_LIMIT};
use btc::rust::wallet::keys::words_from_entropy;
use btc::rust::wallet::secret::Protection;
use btc::shadow::parity::Random;
use btc::{
    AddressType, BitcoinImplementationType, BitcoinInterface, CoinSelection, Config, FeeRate,
    Network, Secret, WalletInterface,
};
use btc_regtest::Chain;
use serde::Serialize;

use crate::exit::{Code, Failure};

/// What strangers pay the wallet on an address of each type, in satoshi.
const RECEIVED_SAT: u64 = 2_000_000;
const PAID_SAT: [u64; 3] = [150_000, 700_000, 2_500_000];
const FEE_RATE: u64 = 2;
const RAISED_FEE_RATE: u64 = 20;

/// What became of the wallet's money.
#[derive(Serialize)]
pub(super) struct Life {
    /// The txid of a payment, and of the one with a higher fee that replaced it.
    pub(super) replaced: String,
    pub(super) replacement: String,
    pub(super) fee_sat: u64,
    pub(super) raised_fee_sat: u64,
    /// What the running wallet owns at the end, in satoshi.
    pub(super) running_sat: u64,
    /// What a wallet restored from its words finds, by Rust and by Python, in satoshi.
    pub(super) restored_by_rust_sat: u64,
    pub(super) restored_by_python_sat: u64,
}

impl Life {
    /// Whether the restored wallets are the running one.
    pub(super) fn is_well(&self) -> bool {
        self.running_sat == self.restored_by_rust_sat
            && self.running_sat == self.restored_by_python_sat
    }

    pub(super) fn to_text(&self) -> String {
        format!(
            "a payment of {} sat fee was replaced by one of {} sat\n          {} by {}\n\
             running   {} sat\nrestored  {} sat by Rust, {} sat by Python, from the words alone\n",
            self.fee_sat,
            self.raised_fee_sat,
            self.replaced,
            self.replacement,
            self.running_sat,
            self.restored_by_rust_sat,
            self.restored_by_python_sat,
        )
    }
}

/// Makes a wallet in this folder, of words that the seed gives.
pub(super) fn make(dir: &Path, birthday: u32, seed: u64) -> Result<WalletSettings, Failure> {
    let entropy: [u8; 16] = Random::new(seed).bytes();
    let new = NewWallet {
        network: Network::Regtest,
        birthday,
        gap_limit: RESTORE_GAP_LIMIT,
        change_type: AddressType::P2wpkh,
        origin: Origin::Words {
            words: words_from_entropy(&entropy)?,
            bip39_passphrase: Secret::new(String::new()),
            protection: Protection::PlainRegtestOnly,
        },
    };
    folder::create(dir, &new)?;
    Ok(WalletSettings {
        dir: dir.to_owned(),
        passphrase: None,
        selection: Some(CoinSelection::LargestFirst),
        source: WalletSource::Core,
        max_fee_rate: None,
    })
}

/// The wallet's three operations and the broadcast of what it builds, each compared by the
/// decorator that stands behind the interface.
pub(super) fn live(bitcoin: &dyn BitcoinInterface, chain: &mut Chain<'_>) -> Result<(), Failure> {
    let mut outputs = Vec::new();
    for address_type in AddressType::ALL {
        let address = bitcoin.generate_address(address_type)?;
        outputs.push((address.script_pubkey, Amount::from_sat(RECEIVED_SAT)));
    }
    chain.pay(&outputs, FEE_RATE)?;
    bitcoin.get_balance()?;
    chain.mine(1)?;
    bitcoin.get_balance()?;
    for value_sat in PAID_SAT {
        let paid = bitcoin.create_transaction(vec![(stranger(), value_sat)], FEE_RATE)?;
        bitcoin.broadcast_transaction(&paid)?;
        bitcoin.get_balance()?;
    }
    // More than there is.
    let _ = bitcoin.create_transaction(vec![(stranger(), 100 * RECEIVED_SAT)], FEE_RATE);
    chain.mine(1)?;
    bitcoin.get_balance()?;
    Ok(())
}

/// Raises a fee, then restores the wallet in another folder, with each implementation.
pub(super) fn raise_and_restore(
    config: &Config,
    chain: &mut Chain<'_>,
    home: &Path,
    birthday: u32,
    seed: u64,
) -> Result<Life, Failure> {
    let wallet = btc::connect_wallet(config)?;
    wallet.sync()?;
    let paid = wallet.create_transaction(vec![(stranger(), PAID_SAT[0])], FEE_RATE)?;
    wallet.broadcast_transaction(&paid)?;
    let mut psbt = wallet.bump_fee(paid.txid, FeeRate::from_sat_per_vb(RAISED_FEE_RATE), &[])?;
    if !wallet.finalize_psbt(&mut psbt)? {
        let message = "the replacement is not signed".to_owned();
        return Err(Failure::Other(Code::Failed, message));
    }
    let raised = wallet.extract_psbt(&psbt, false)?;
    wallet.broadcast_transaction(&raised)?;
    chain.mine(1)?;
    wallet.sync()?;
    let running_sat = wallet.balance()?.spendable_sat();
    drop(wallet);
    let restored = |name: &str, implementation| -> Result<u64, Failure> {
        let settings = make(&home.join(name), birthday, seed)?;
        let mut config = config.clone();
        (config.wallet, config.shadow) = (Some(settings), None);
        Ok(btc::connect_to(&config, implementation)?.get_balance()?)
    };
    Ok(Life {
        replaced: paid.txid.to_string(),
        replacement: raised.txid.to_string(),
        fee_sat: paid.fee_sat.unwrap_or_default(),
        raised_fee_sat: raised.fee_sat.unwrap_or_default(),
        running_sat,
        restored_by_rust_sat: restored("restored-by-rust", BitcoinImplementationType::Rust)?,
        restored_by_python_sat: restored("restored-by-python", BitcoinImplementationType::Python)?,
    })
}

/// The address of someone who is paid.
fn stranger() -> String {
    let script = ScriptBuf::new_p2wpkh(&WPubkeyHash::from_byte_array([7; 20]));
    Address::from_script(&script, Network::Regtest)
        .expect("a witness program has an address")
        .to_string()
}
