//! A wallet from known words, and coins of every type for it.

use std::sync::LazyLock;

use bitcoin::hashes::Hash;
use bitcoin::{Amount, BlockHash, OutPoint, ScriptBuf, TxOut, Txid};
use btc_iface::{
    AddressType, BitcoinError, BitcoinResult, BitcoinTransaction, BlockRef, Chain, FeeRate,
    Network, SnapshotCoin, WalletSnapshot,
};
use btc_rust::wallet::build::{self, Draft};
use btc_rust::wallet::keys::{Keyring, Signer};
use proptest::prelude::*;

pub(crate) const WORDS: &str = "abandon abandon abandon abandon abandon abandon abandon abandon abandon \
                         abandon abandon about";

pub(crate) const TIP_HEIGHT: u32 = 210;

pub(crate) static WALLET: LazyLock<(Keyring, Signer)> = LazyLock::new(|| {
    let signer = Signer::from_words(Network::Regtest, WORDS, "").expect("right words");
    let keyring = Keyring::new(Network::Regtest, &signer.accounts()).expect("own output");
    (keyring, signer)
});

pub(crate) fn keyring() -> &'static Keyring {
    &WALLET.0
}

pub(crate) fn signer() -> &'static Signer {
    &WALLET.1
}

/// The coin with this number; no two share an output.
pub(crate) fn coin(number: u32, value_sat: u64, address_type: AddressType) -> SnapshotCoin {
    SnapshotCoin {
        outpoint: OutPoint {
            txid: Txid::hash(&(number / 3).to_le_bytes()),
            vout: number % 3,
        },
        value_sat,
        address_type,
        chain: Chain::ALL[number as usize % 2],
        index: number % 50,
    }
}

pub(crate) fn script(coin: &SnapshotCoin) -> ScriptBuf {
    keyring()
        .script((coin.address_type, coin.chain), coin.index)
        .expect("a small index")
}

/// What the coins are as outputs.
pub(crate) fn prevouts(coins: &[SnapshotCoin]) -> Vec<TxOut> {
    coins
        .iter()
        .map(|coin| TxOut {
            value: Amount::from_sat(coin.value_sat),
            script_pubkey: script(coin),
        })
        .collect()
}

pub(crate) fn snapshot(coins: Vec<SnapshotCoin>, change_type: AddressType) -> WalletSnapshot {
    WalletSnapshot {
        tip: BlockRef {
            height: TIP_HEIGHT,
            hash: BlockHash::all_zeros(),
        },
        coins,
        pending: Vec::new(),
        change_type,
        change_index: 7,
    }
}

/// The highest rate there is: no rate is refused for being high.
pub(crate) const ANY_RATE: FeeRate = FeeRate::from_sat_per_kvb(u64::MAX);

/// Plans at any rate.
pub(crate) fn plan(
    keyring: &Keyring,
    snapshot: &WalletSnapshot,
    outputs: &[(String, u64)],
    fee_rate: u64,
) -> BitcoinResult<Draft> {
    build::plan(keyring, snapshot, outputs, fee_rate, ANY_RATE)
}

pub(crate) fn extract_psbt(
    psbt: &bitcoin::Psbt,
    allow_high_fee: bool,
) -> BitcoinResult<BitcoinTransaction> {
    build::extract_psbt(psbt, build::DEFAULT_MAX_FEE_RATE, allow_high_fee)
}

/// A rate in whole sat/vB.
pub(crate) const fn per_vb(sat_per_vb: u64) -> FeeRate {
    FeeRate::from_sat_per_vb(sat_per_vb)
}

/// A regtest address to pay to, of one of six kinds.
pub(crate) fn address(number: u32) -> String {
    let hash = bitcoin::hashes::hash160::Hash::hash(&number.to_le_bytes()).to_byte_array();
    let key = bitcoin::hashes::sha256::Hash::hash(&number.to_le_bytes()).to_byte_array();
    let script = match number % 6 {
        0 => ScriptBuf::new_p2pkh(&bitcoin::PubkeyHash::from_byte_array(hash)),
        1 => ScriptBuf::new_p2sh(&bitcoin::ScriptHash::from_byte_array(hash)),
        2 => ScriptBuf::new_p2wpkh(&bitcoin::WPubkeyHash::from_byte_array(hash)),
        3 => ScriptBuf::new_p2wsh(&bitcoin::WScriptHash::from_byte_array(key)),
        4 => ScriptBuf::from_bytes([&[0x51, 0x20], &key[..]].concat()),
        _ => ScriptBuf::from_bytes([&[0x52, 0x10], &key[..16]].concat()),
    };
    bitcoin::Address::from_script(&script, Network::Regtest)
        .expect("each has an address")
        .to_string()
}

/// What `missing_sat` says.
pub(crate) fn missing_sat(error: &BitcoinError) -> u128 {
    let (_, text) = error
        .context()
        .iter()
        .find(|(name, _)| name == "missing_sat")
        .expect("the amount that is missing");
    text.parse().expect("a whole number")
}

pub(crate) fn sum_in(draft: &Draft) -> u64 {
    draft.inputs.iter().map(|coin| coin.value_sat).sum()
}

pub(crate) fn sum_out(draft: &Draft) -> u64 {
    draft
        .transaction
        .output
        .iter()
        .map(|output| output.value.to_sat())
        .sum()
}

pub(crate) fn any_type() -> impl Strategy<Value = AddressType> {
    prop::sample::select(AddressType::ALL.to_vec())
}

/// Coins as wallets have them: many alike, some tiny, in no order.
pub(crate) fn coins(most: usize) -> impl Strategy<Value = Vec<SnapshotCoin>> {
    let value = prop_oneof![
        1 => 1..1_000_u64,
        4 => 1_000..200_000_u64,
        2 => Just(50_000_u64),
        1 => 200_000..5_000_000_000_u64,
    ];
    prop::collection::vec((value, any_type()), 1..=most)
        .prop_map(|pairs| {
            (0..)
                .zip(pairs)
                .map(|(number, (value, address_type))| coin(number, value, address_type))
                .collect::<Vec<_>>()
        })
        .prop_shuffle()
}

/// One to four recipients.
pub(crate) fn outputs() -> impl Strategy<Value = Vec<(String, u64)>> {
    let value = prop_oneof![546..100_000_u64, 100_000..1_000_000_u64];
    prop::collection::vec((0..1_000_u32, value), 1..=4).prop_map(|pairs| {
        pairs
            .into_iter()
            .map(|(number, value)| (address(number), value))
            .collect()
    })
}
