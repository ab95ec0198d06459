//! Fuzzes the texts that people bring from other wallets: words, descriptors, addresses,
//! signatures. Nothing panics, and a descriptor that reads gives addresses.

#![no_main]

use btc::rust::wallet::build::parse_address;
use btc::rust::wallet::keys::{Keyring, parse_words, watch_account};
use btc::rust::wallet::message::verify;
use btc::{Chain, ErrorKind, Network};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (bool, &str, &str)| {
    let (is_mainnet, text, other) = input;
    let network = if is_mainnet {
        Network::Bitcoin
    } else {
        Network::Regtest
    };
    if let Err(error) = parse_words(text) {
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
    let _ = verify(text, "message", other, network);
    if let Ok(script) = parse_address(network, text) {
        assert!(!script.is_empty());
    }
    let Ok(account) = watch_account(network, text) else {
        return;
    };
    let address_type = account.address_type;
    let keyring = Keyring::new(network, &[account]).expect("checked when it was read");
    for chain in Chain::ALL {
        let address = keyring.address((address_type, chain), 0).expect("index 0");
        let script = parse_address(network, &address.address).expect("own output");
        assert_eq!(script, address.script_pubkey);
    }
});
