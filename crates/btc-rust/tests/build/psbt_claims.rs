//! PSBTs that claim what is not so, ask for too much, or do not belong together.

use bitcoin::consensus::encode::serialize;
use bitcoin::hashes::Hash;
use bitcoin::psbt::PsbtSighashType;
use bitcoin::{Amount, EcdsaSighashType, Psbt, ScriptBuf, TapNodeHash, TapSighashType, TxOut};
use btc_iface::{AddressType, Chain, ErrorKind};
use btc_rust::wallet::build::{combine_psbts, finalize_psbt, parse_psbt, sign, sign_psbt};

use crate::psbt::{input_of, is_mine, mixed, paid, psbt_of, sign_with_books};
use crate::samples::{address, coin, extract_psbt, keyring, plan, signer, snapshot};

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
        lie(psbt, segwit);
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
            psbt.inputs[segwit].sighash_type = Some(open.into());
        });
        refuse("leaves parts", &|psbt| {
            psbt.inputs[legacy].sighash_type = Some(open.into());
        });
    }
    for open in [
        TapSighashType::None,
        TapSighashType::Single,
        TapSighashType::AllPlusAnyoneCanPay,
    ] {
        refuse("leaves parts", &|psbt| {
            psbt.inputs[taproot].sighash_type = Some(open.into());
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
