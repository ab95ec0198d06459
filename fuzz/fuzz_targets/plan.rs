//! Fuzzes the planner with coins and payments of any size: nothing panics, and no plan breaks a
//! rule about money.

#![no_main]

use std::sync::LazyLock;

use arbitrary::Arbitrary;
use btc::bitcoin::hashes::Hash;
use btc::bitcoin::{BlockHash, OutPoint, Txid};
use btc::rust::wallet::build::{MAX_MONEY_SAT, dust_limit_sat, plan};
use btc::rust::wallet::keys::{Keyring, Signer};
use btc::{
    AddressType, BlockRef, Chain, FeeRate, Network, PendingTransaction, SnapshotCoin,
    WalletSnapshot,
};
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Arbitrary)]
struct Input {
    height: u32,
    coins: Vec<(u8, u16, u64, u8, bool, u32)>,
    change_type: u8,
    change_index: u32,
    outputs: Vec<(u8, u64)>,
    fee_rate: u64,
    pending: Vec<(u8, bool, u64, u64, Vec<u8>)>,
}

/// No rate is too high.
const ANY_RATE: FeeRate = FeeRate::from_sat_per_kvb(u64::MAX);

static KEYRING: LazyLock<Keyring> = LazyLock::new(|| {
    let words = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon \
                 abandon about";
    let signer = Signer::from_words(Network::Regtest, words, "").expect("right words");
    Keyring::new(Network::Regtest, &signer.accounts()).expect("own output")
});

fn kind(number: u8) -> AddressType {
    AddressType::ALL[usize::from(number) % AddressType::ALL.len()]
}

fuzz_target!(|input: Input| {
    let coins: Vec<_> = input
        .coins
        .iter()
        .map(
            |(txid, vout, value_sat, address_type, is_change, index)| SnapshotCoin {
                outpoint: OutPoint::new(Txid::from_byte_array([*txid; 32]), u32::from(*vout)),
                value_sat: *value_sat,
                address_type: kind(*address_type),
                chain: if *is_change {
                    Chain::Change
                } else {
                    Chain::Receive
                },
                index: *index,
            },
        )
        .collect();
    let outputs: Vec<_> = input
        .outputs
        .iter()
        .map(|(address_type, value_sat)| {
            let address = KEYRING.address((kind(*address_type), Chain::Receive), 0);
            (address.expect("index 0").address, *value_sat)
        })
        .collect();
    let txid = |byte: u8| Txid::from_byte_array([byte; 32]);
    let pending = input.pending.iter();
    let pending: Vec<_> = pending
        .map(
            |(it, is_truc, size_vb, fee_sat, spends)| PendingTransaction {
                txid: txid(*it),
                version: if *is_truc { 3 } else { 2 },
                size_vb: *size_vb,
                fee_sat: *fee_sat,
                spends: spends.iter().map(|it| txid(*it)).collect(),
            },
        )
        .collect();
    let snapshot = WalletSnapshot {
        tip: BlockRef {
            height: input.height,
            hash: BlockHash::all_zeros(),
        },
        coins,
        pending,
        change_type: kind(input.change_type),
        change_index: input.change_index,
    };
    let Ok(draft) = plan(&KEYRING, &snapshot, &outputs, input.fee_rate, ANY_RATE) else {
        return;
    };
    let spent: u64 = draft.inputs.iter().map(|coin| coin.value_sat).sum();
    let paid: u64 = draft
        .transaction
        .output
        .iter()
        .map(|it| it.value.to_sat())
        .sum();
    assert_eq!(spent, paid + draft.fee_sat);
    assert!(spent <= MAX_MONEY_SAT);
    let least = u128::from(draft.weight.div_ceil(4)) * u128::from(input.fee_rate);
    assert!(u128::from(draft.fee_sat) >= least);
    for (output, (_, value_sat)) in draft.transaction.output.iter().zip(&outputs) {
        assert_eq!(output.value.to_sat(), *value_sat);
    }
    for output in &draft.transaction.output {
        assert!(output.value.to_sat() >= dust_limit_sat(&output.script_pubkey));
    }
    let extra = draft.transaction.output.len() - outputs.len();
    assert_eq!(extra, usize::from(draft.change.is_some()));
});
