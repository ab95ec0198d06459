//! PSBTs: from a draft to a transaction by way of other programs, and claims that are not so.

use bitcoin::consensus::encode::serialize;
use bitcoin::hashes::Hash;
use bitcoin::psbt::PsbtSighashType;
use bitcoin::{
    Amount, EcdsaSighashType, OutPoint, Psbt, Script, ScriptBuf, Sequence, TapNodeHash,
    TapSighashType, Transaction, TxIn, TxOut, Witness, absolute, transaction,
};
use btc_iface::{AddressType, BitcoinResult, Chain, ErrorKind, Network, SnapshotCoin};
use btc_rust::wallet::build::{
    Draft, combine_psbts, extract_psbt, finalize_psbt, format_psbt, parse_psbt, plan, sign,
    sign_psbt, to_bitcoin_transaction, to_psbt,
};
use btc_rust::wallet::keys::{Account, Keychain, Keyring};
use proptest::prelude::*;

use crate::samples::{address, any_type, coin, coins, keyring, prevouts, script, signer, snapshot};
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

fn psbt_of(draft: &Draft, previous: &Transaction) -> Psbt {
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

fn sign_with_books(psbt: &mut Psbt, books: &[SnapshotCoin]) -> BitcoinResult<usize> {
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
fn mixed() -> (Draft, Psbt) {
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

fn input_of(draft: &Draft, address_type: AddressType) -> usize {
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
fn false_claims_are_not_signed() {
    let (draft, good) = mixed();
    let [legacy, nested, segwit, taproot] = AddressType::ALL.map(|it| input_of(&draft, it));
    let refuse = |said: &str, spoil: &dyn Fn(&mut Psbt)| {
        let mut psbt = good.clone();
        spoil(&mut psbt);
        let before = psbt.clone();
        let error = sign_with_books(&mut psbt, &draft.inputs).expect_err(said);
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(error.message().contains(said), "{error}");
        assert_eq!(psbt, before, "{said}: nothing is signed");
    };
    let lie = |psbt: &mut Psbt, index: usize| {
        let spent = psbt.inputs[index].witness_utxo.as_mut().expect("segwit");
        spent.value = Amount::from_sat(29_000);
    };
    refuse("another amount or script than its previous", &|psbt| {
        lie(psbt, segwit)
    });
    refuse("than the wallet knows", &|psbt| lie(psbt, taproot));
    refuse("than the wallet knows", &|psbt| {
        psbt.inputs[segwit].non_witness_utxo = None;
        lie(psbt, segwit);
    });
    refuse("another previous transaction", &|psbt| {
        let previous = psbt.inputs[legacy]
            .non_witness_utxo
            .as_mut()
            .expect("there");
        previous.output[0].value = Amount::from_sat(29_000);
    });
    refuse("does not exist", &|psbt| {
        psbt.unsigned_tx.input[legacy].previous_output.vout = 17;
    });
    refuse("redeem script", &|psbt| {
        psbt.inputs[nested].redeem_script = Some(ScriptBuf::new());
    });
    refuse("redeem script", &|psbt| {
        psbt.inputs[segwit].redeem_script = psbt.inputs[nested].redeem_script.clone();
    });
    refuse("witness script", &|psbt| {
        psbt.inputs[segwit].witness_script = Some(ScriptBuf::new());
    });
    refuse("taproot key", &|psbt| {
        let (key, _) = signer()
            .key((AddressType::P2tr, Chain::Receive), 49)
            .expect("a small index")
            .x_only_public_key(&bitcoin::secp256k1::Secp256k1::new());
        psbt.inputs[taproot].tap_internal_key = Some(key);
    });
    refuse("script tree", &|psbt| {
        psbt.inputs[taproot].tap_merkle_root = Some(TapNodeHash::all_zeros());
    });
    for open in [
        EcdsaSighashType::None,
        EcdsaSighashType::Single,
        EcdsaSighashType::AllPlusAnyoneCanPay,
    ] {
        refuse("leaves parts", &|psbt| {
            psbt.inputs[segwit].sighash_type = Some(open.into())
        });
        refuse("leaves parts", &|psbt| {
            psbt.inputs[legacy].sighash_type = Some(open.into())
        });
    }
    for open in [
        TapSighashType::None,
        TapSighashType::Single,
        TapSighashType::AllPlusAnyoneCanPay,
    ] {
        refuse("leaves parts", &|psbt| {
            psbt.inputs[taproot].sighash_type = Some(open.into())
        });
    }
    refuse("leaves parts", &|psbt| {
        psbt.inputs[segwit].sighash_type = Some(PsbtSighashType::from_u32(0x42));
    });
    refuse("does not fit", &|psbt| psbt.inputs.truncate(3));
    refuse("version 2", &|psbt| psbt.version = 2);
}

#[test]
fn a_coin_unknown_to_the_wallet_must_prove_its_amount() {
    let (draft, mut psbt) = mixed();
    assert_eq!(
        sign_psbt(&mut psbt.clone(), signer(), is_mine, |_| None).expect("proven"),
        4
    );
    let segwit = input_of(&draft, AddressType::P2wpkh);
    psbt.inputs[segwit].non_witness_utxo = None;
    let error = sign_psbt(&mut psbt, signer(), is_mine, |_| None).expect_err("only its word");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(
        error.message().contains("add the previous transaction"),
        "{error}"
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

#[test]
fn taproot_may_be_asked_to_say_all() {
    let (draft, mut psbt) = mixed();
    let taproot = input_of(&draft, AddressType::P2tr);
    psbt.inputs[taproot].sighash_type = Some(TapSighashType::All.into());
    sign_with_books(&mut psbt, &draft.inputs).expect("own coins");
    let signature = psbt.inputs[taproot].tap_key_sig.expect("signed");
    assert_eq!(signature.sighash_type, TapSighashType::All);
    assert!(finalize_psbt(&mut psbt).expect("verified"));
}

#[test]
fn a_wrong_signature_is_not_made_final() {
    let (draft, mut psbt) = mixed();
    sign_with_books(&mut psbt, &draft.inputs).expect("own coins");
    let taproot = input_of(&draft, AddressType::P2tr);
    psbt.unsigned_tx.output[0].value = Amount::from_sat(79_999);
    assert!(!finalize_psbt(&mut psbt).expect("a good PSBT"));
    assert!(psbt.inputs[taproot].final_script_witness.is_none());
}

#[test]
fn only_psbts_of_one_transaction_combine() {
    let (_, mut psbt) = mixed();
    let mut other = psbt.clone();
    other.unsigned_tx.output[0].value = Amount::from_sat(1);
    let error = combine_psbts(&mut psbt, other).expect_err("another transaction");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);

    let text = signer().accounts().remove(0).receive;
    let xpub = text
        .split(']')
        .nth(1)
        .and_then(|it| it.split('/').next())
        .expect("a key");
    let xpub: bitcoin::bip32::Xpub = xpub.parse().expect("its own text");
    let with = |path: &str| {
        let mut it = psbt.clone();
        it.xpub.insert(
            xpub,
            (signer().fingerprint(), path.parse().expect("a path")),
        );
        it
    };
    let error = combine_psbts(&mut with("m/44'/1'/0'"), with("m/7'")).expect_err("two origins");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    combine_psbts(&mut with("m/7'"), with("m/7'")).expect("one origin");
}

#[test]
fn nothing_out_of_proportion_is_extracted() {
    let coins = vec![
        coin(1, 30_000, AddressType::P2wpkh),
        coin(2, 30_000, AddressType::P2tr),
    ];
    let (coins, previous) = paid(coins);
    let extract = |value: u64, rate: u64| {
        let draft = plan(
            keyring(),
            &snapshot(coins.clone(), AddressType::P2tr),
            &[(address(2), value)],
            rate,
        )
        .expect("enough");
        let mut psbt = psbt_of(&draft, &previous);
        sign_with_books(&mut psbt, &draft.inputs).expect("own coins");
        assert!(finalize_psbt(&mut psbt).expect("a good PSBT"));
        psbt
    };
    extract_psbt(&extract(50_000, 2), false).expect("a common fee");
    let high = extract(50_000, 40);
    let error = extract_psbt(&high, false).expect_err("more than a tenth");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let fee = extract_psbt(&high, true)
        .expect("allowed")
        .fee_sat
        .expect("known");
    assert!(fee > 6_000);

    let mut lost = extract(50_000, 2);
    lost.inputs[0].witness_utxo = None;
    lost.inputs[0].non_witness_utxo = None;
    assert!(extract_psbt(&lost, true).is_err());
    let mut poor = extract(50_000, 2);
    for input in &mut poor.inputs {
        input.non_witness_utxo = None;
        input.witness_utxo = Some(TxOut {
            value: Amount::from_sat(1),
            script_pubkey: ScriptBuf::new(),
        });
    }
    assert!(extract_psbt(&poor, true).is_err());
    for input in &mut poor.inputs {
        input.witness_utxo = Some(TxOut {
            value: Amount::MAX,
            script_pubkey: ScriptBuf::new(),
        });
    }
    assert!(extract_psbt(&poor, true).is_err());
}

#[test]
fn what_is_no_psbt_is_refused() {
    let (draft, _) = mixed();
    let signed = sign(&draft, keyring(), signer()).expect("own coins");
    for bytes in [
        &b""[..],
        b"cHNidP8=",
        b"psbt\xff",
        b"\xff\xfe",
        &serialize(&signed),
    ] {
        let error = parse_psbt(bytes).expect_err("no PSBT");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
}
