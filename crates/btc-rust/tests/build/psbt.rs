//! PSBTs: from a draft to a transaction by way of other programs, and claims that are not so.

use bitcoin::hashes::Hash;
use bitcoin::{
    OutPoint, Psbt, Script, ScriptBuf, Sequence, Transaction, TxIn, Witness, absolute, transaction,
};
use btc_iface::{AddressType, BitcoinResult, ErrorKind, Network, SnapshotCoin};
use btc_rust::wallet::build::{
    Draft, combine_psbts, finalize_psbt, format_psbt, parse_psbt, sign, sign_psbt,
    to_bitcoin_transaction, to_psbt,
};
use btc_rust::wallet::keys::{Account, Keychain, Keyring};
use proptest::prelude::*;

use crate::samples::{
    address, any_type, coin, coins, extract_psbt, keyring, plan, prevouts, script, signer, snapshot,
};
use crate::verify::verify;

/// The coins as outputs of one transaction, which is the previous transaction of them all.
pub(crate) fn paid(mut coins: Vec<SnapshotCoin>) -> (Vec<SnapshotCoin>, Transaction) {
    let transaction = Transaction {
        version: transaction::Version::TWO,
        lock_time: absolute::LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::new(bitcoin::Txid::hash(b"elsewhere"), 0),
            script_sig: ScriptBuf::new(),
            sequence: Sequence::MAX,
            witness: Witness::new(),
        }],
        output: prevouts(&coins),
    };
    let txid = transaction.compute_txid();
    for (vout, coin) in (0..).zip(&mut coins) {
        coin.outpoint = OutPoint::new(txid, vout);
    }
    (coins, transaction)
}

pub(crate) fn psbt_of(draft: &Draft, previous: &Transaction) -> Psbt {
    to_psbt(draft, keyring(), |_| Ok(Some(previous.clone()))).expect("all is at hand")
}

/// Where the wallet has this script, among the first 50 of each chain.
pub(crate) fn is_mine(wanted: &Script) -> Option<(Keychain, u32)> {
    keyring()
        .keychains()
        .flat_map(|(keychain, _)| (0..50).map(move |index| (keychain, index)))
        .find(|(keychain, index)| {
            *keyring().script(*keychain, *index).expect("a small index") == *wanted
        })
}

pub(crate) fn sign_with_books(psbt: &mut Psbt, books: &[SnapshotCoin]) -> BitcoinResult<usize> {
    let place = |wanted: &Script| {
        let coin = books.iter().find(|coin| script(coin) == *wanted)?;
        Some(((coin.address_type, coin.chain), coin.index))
    };
    let known = |outpoint| {
        let coin = books.iter().position(|coin| coin.outpoint == outpoint)?;
        Some(prevouts(books).swap_remove(coin))
    };
    sign_psbt(psbt, signer(), place, known)
}

/// A payment from one coin of each type, with its PSBT.
pub(crate) fn mixed() -> (Draft, Psbt) {
    let coins = (0..).zip(AddressType::ALL);
    let coins = coins.map(|(number, address_type)| coin(number, 30_000, address_type));
    let (coins, previous) = paid(coins.collect());
    let outputs = [(address(2), 80_000), (address(4), 30_000)];
    let draft = plan(
        keyring(),
        &snapshot(coins, AddressType::P2wpkh),
        &outputs,
        2,
    );
    let draft = draft.expect("enough");
    assert_eq!((draft.inputs.len(), draft.change.is_some()), (4, true));
    let psbt = psbt_of(&draft, &previous);
    (draft, psbt)
}

pub(crate) fn input_of(draft: &Draft, address_type: AddressType) -> usize {
    let mut types = draft.inputs.iter().map(|coin| coin.address_type);
    types
        .position(|it| it == address_type)
        .expect("one of each")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, ..ProptestConfig::default() })]

    #[test]
    fn the_way_over_a_psbt_ends_at_the_same_transaction(
        coins in coins(8),
        rate in 1..20_u64,
        change_type in any_type(),
    ) {
        let mut coins = coins;
        coins.push(coin(1_000, 500_000, change_type));
        let (coins, previous) = paid(coins);
        let outputs = [(address(1), 150_000), (address(4), 50_000)];
        let draft = plan(keyring(), &snapshot(coins, change_type), &outputs, rate).expect("enough");
        let text = format_psbt(&psbt_of(&draft, &previous));
        let mut psbt = parse_psbt(format!("  {text}\n").as_bytes()).expect("its own text");
        prop_assert_eq!(&parse_psbt(&psbt.serialize()).expect("its own bytes"), &psbt);
        prop_assert!(!finalize_psbt(&mut psbt.clone()).expect("a good PSBT"));
        let unsigned = extract_psbt(&psbt, false).expect_err("not signed");
        prop_assert_eq!(unsigned.kind(), ErrorKind::InvalidInput);

        prop_assert_eq!(sign_with_books(&mut psbt, &draft.inputs).expect("own coins"), draft.inputs.len());
        prop_assert!(finalize_psbt(&mut psbt).expect("a good PSBT"));
        prop_assert_eq!(sign_with_books(&mut psbt, &draft.inputs).expect("own coins"), 0);
        let extracted = extract_psbt(&psbt, true).expect("final");
        let signed = sign(&draft, keyring(), signer()).expect("own coins");
        verify(&signed, &prevouts(&draft.inputs));
        prop_assert_eq!(extracted, to_bitcoin_transaction(&signed, draft.fee_sat).expect("a transaction"));
    }

    #[test]
    fn no_bytes_make_it_panic(
        noise in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
        finalized in any::<bool>(),
    ) {
        let (draft, mut psbt) = mixed();
        if finalized {
            sign_with_books(&mut psbt, &draft.inputs).expect("own coins");
            finalize_psbt(&mut psbt).expect("a good PSBT");
        }
        let mut bytes = psbt.serialize();
        for (place, byte) in noise {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(mut spoilt) = parse_psbt(&bytes) {
            let _ = sign_with_books(&mut spoilt, &draft.inputs);
            let _ = finalize_psbt(&mut spoilt);
            let _ = extract_psbt(&spoilt, true);
            let _ = combine_psbts(&mut spoilt.clone(), psbt.clone());
            let _ = combine_psbts(&mut psbt, spoilt);
        }
    }
}

#[test]
fn a_signer_finds_all_it_needs() {
    let (draft, psbt) = mixed();
    let fingerprint = signer().fingerprint();
    for (input, coin) in psbt.inputs.iter().zip(&draft.inputs) {
        let purpose = match coin.address_type {
            AddressType::P2shP2wpkh => 49,
            AddressType::P2wpkh => 84,
            AddressType::P2tr => 86,
            _ => 44,
        };
        let path = format!("{purpose}'/1'/0'/{}/{}", coin.chain.branch(), coin.index);
        let is_taproot = coin.address_type == AddressType::P2tr;
        let (found, at) = if is_taproot {
            let (key, (leaves, origin)) = input.tap_key_origins.first_key_value().expect("a key");
            assert!(leaves.is_empty());
            assert_eq!(input.tap_internal_key, Some(*key));
            origin.clone()
        } else {
            assert_eq!(input.bip32_derivation.len(), 1);
            input
                .bip32_derivation
                .values()
                .next()
                .expect("a key")
                .clone()
        };
        assert_eq!((found, at.to_string()), (fingerprint, path));
        let is_legacy = coin.address_type == AddressType::P2pkh;
        assert_eq!(input.witness_utxo.is_some(), !is_legacy);
        assert_eq!(input.non_witness_utxo.is_some(), !is_taproot);
        let is_nested = coin.address_type == AddressType::P2shP2wpkh;
        assert_eq!(input.redeem_script.is_some(), is_nested);
    }
    let change = draft.change.expect("there is change").vout as usize;
    for (vout, output) in psbt.outputs.iter().enumerate() {
        assert_eq!(output.bip32_derivation.len(), usize::from(vout == change));
    }
}

#[test]
fn a_watched_descriptor_without_origins_makes_a_psbt_too() {
    let strip = |text: String| {
        let (head, tail) = text.split_once('[').expect("an origin");
        let (_, key) = tail.split_once(']').expect("its end");
        format!("{head}{key}")
    };
    let account = signer().accounts().remove(2);
    let watched = Account {
        receive: strip(account.receive),
        change: strip(account.change),
        ..account
    };
    let watched = Keyring::new(Network::Regtest, &[watched]).expect("public descriptors");
    let (coins, previous) = paid(vec![coin(1, 90_000, AddressType::P2wpkh)]);
    let draft = plan(
        &watched,
        &snapshot(coins, AddressType::P2wpkh),
        &[(address(2), 20_000)],
        2,
    )
    .expect("enough");
    let mut psbt = to_psbt(&draft, &watched, |_| Ok(Some(previous.clone()))).expect("at hand");
    let (_, path) = psbt.inputs[0]
        .bip32_derivation
        .values()
        .next()
        .expect("a key");
    assert_eq!(path.to_string(), "1/1");
    assert_eq!(
        sign_with_books(&mut psbt, &draft.inputs).expect("own coin"),
        1
    );
    assert!(finalize_psbt(&mut psbt).expect("a good PSBT"));
}

#[test]
fn previous_transactions_are_looked_up_and_checked() {
    let (draft, _) = mixed();
    let error = to_psbt(&draft, keyring(), |_| Ok(None)).expect_err("P2PKH cannot go without");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let other = paid(vec![coin(9, 1_000, AddressType::P2tr)]).1;
    let error = to_psbt(&draft, keyring(), |_| Ok(Some(other.clone()))).expect_err("another");
    assert_eq!(error.kind(), ErrorKind::Internal);

    let (coins, _) = paid(vec![coin(9, 90_000, AddressType::P2wpkh)]);
    let draft = plan(
        keyring(),
        &snapshot(coins, AddressType::P2tr),
        &[(address(2), 20_000)],
        2,
    );
    let draft = draft.expect("enough");
    let mut psbt = to_psbt(&draft, keyring(), |_| Ok(None)).expect("segwit can go without");
    assert_eq!(
        sign_with_books(&mut psbt, &draft.inputs).expect("known to the wallet"),
        1
    );
}

#[test]
fn inputs_of_others_are_left_to_them() {
    let (draft, psbt) = mixed();
    let (mine, theirs) = draft.inputs.split_at(2);
    let mut first = psbt.clone();
    assert_eq!(sign_with_books(&mut first, mine).expect("some"), 2);
    assert!(!finalize_psbt(&mut first.clone()).expect("a good PSBT"));
    let mut second = psbt.clone();
    assert_eq!(sign_with_books(&mut second, theirs).expect("the others"), 2);
    combine_psbts(&mut first, second).expect("one transaction");
    assert!(finalize_psbt(&mut first).expect("a good PSBT"));
    let extracted = extract_psbt(&first, false).expect("final");
    assert_eq!(
        extracted.wtxid,
        sign(&draft, keyring(), signer())
            .expect("own coins")
            .compute_wtxid()
    );

    let mut silent = psbt;
    silent.inputs[0].witness_utxo = None;
    silent.inputs[0].non_witness_utxo = None;
    let error = sign_with_books(&mut silent, &draft.inputs[1..]).map(|_| ());
    let has_taproot = draft.inputs[1..]
        .iter()
        .any(|it| it.address_type == AddressType::P2tr);
    assert_eq!(
        error.is_err(),
        has_taproot,
        "taproot signs all that is spent"
    );
}
