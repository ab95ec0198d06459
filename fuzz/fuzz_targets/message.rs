//! Fuzzes the judging of signed messages: whatever claims to be a signature by an address whose
//! key signed nothing is judged without a panic, and never as its signature.

#![no_main]

use arbitrary::Arbitrary;
use bitcoin::base64::Engine as _;
use bitcoin::base64::engine::general_purpose::STANDARD;
use bitcoin::consensus::encode::serialize;
use bitcoin::{OutPoint, Transaction, TxIn, TxOut, Witness, absolute, transaction};
use btc::Network;
use btc::rust::wallet::message::{Verdict, verify};
use libfuzzer_sys::fuzz_target;

/// One of each kind that is judged, and one of a later witness version: published examples of
/// BIP322, BIP341 and BIP350.
const ADDRESSES: [&str; 7] = [
    "13vU5PUSuArDXJdCWZvUFEbgJ2wcmtSJWn",
    "32Utb7Seg6EXq7UesMNJXhQ1gdohYNyzQ9",
    "3Nye4j1GUFqCEBR3do2KEFZAs9oLe8NZ6X",
    "bc1qqthe0hz8klx90e7stf6shclhsvqd5ly96pn53v",
    "bc1qw6g0rgrpuxvj4edkwtvzpmt3c5m08mhp8nuk3mrk4erufvlczp5ssdscjd",
    "bc1pcquvhrqv0q68t4m0hfq6tpn006qrskyc7yrqnp2uyrf2emg3wynsdjyk38",
    "bc1zw508d6qejxtdg4y5r3zarvaryvaxxpcs",
];
const PREFIXES: [&str; 4] = ["", "smp", "ful", "pof"];
/// Nothing was ever signed with it.
const MESSAGE: &str = "a message of the fuzz target";

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    address: u8,
    prefix: u8,
    /// Of a transaction that spends the message, or bytes as they are.
    is_spend: bool,
    version: i32,
    lock_time: u32,
    script_sig: &'a [u8],
    items: Vec<&'a [u8]>,
    bytes: &'a [u8],
}

fn spend(input: &Input<'_>, address: &str) -> Vec<u8> {
    let address: bitcoin::Address<_> = address.parse().expect("published");
    let spent = bip322::create_to_spend(&address.assume_checked(), MESSAGE).expect("an address");
    serialize(&Transaction {
        version: transaction::Version(input.version),
        lock_time: absolute::LockTime::from_consensus(input.lock_time),
        input: vec![TxIn {
            previous_output: OutPoint::new(spent.compute_txid(), 0),
            script_sig: input.script_sig.to_vec().into(),
            witness: Witness::from_slice(&input.items),
            ..TxIn::default()
        }],
        output: vec![TxOut {
            value: bitcoin::Amount::ZERO,
            script_pubkey: vec![0x6a].into(),
        }],
    })
}

fuzz_target!(|input: Input<'_>| {
    let address = ADDRESSES[usize::from(input.address) % ADDRESSES.len()];
    let prefix = PREFIXES[usize::from(input.prefix) % PREFIXES.len()];
    let bytes = if input.is_spend {
        spend(&input, address)
    } else {
        input.bytes.to_vec()
    };
    let signature = format!("{prefix}{}", STANDARD.encode(bytes));
    let verdict = verify(address, MESSAGE, &signature, Network::Bitcoin).expect("an address");
    assert!(
        matches!(verdict, Verdict::Invalid | Verdict::Inconclusive),
        "{verdict:?}"
    );
});
