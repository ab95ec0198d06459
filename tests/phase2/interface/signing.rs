//! Signing, with another signer in between, and what is not signed.

use super::{Desk, foreign, pay, text};
use bitcoin::Amount;
use btc::rust::wallet::folder::{self, NewWallet, Origin};
use btc::rust::wallet::keys::Account;
use btc::{AddressType, ErrorKind, Network, WalletInterface};
use btc_tests::{Outcome, failure};

pub(super) fn an_external_signer(desk: &mut Desk<'_, '_>) -> Outcome {
    // The same wallet, watched without its words.
    let (file, _) = folder::Folder::peek(desk.folder.path())?;
    let dir = desk.folder.home().join("watching");
    let accounts: Vec<Account> = file.accounts.clone();
    folder::create(
        &dir,
        &NewWallet {
            network: Network::Regtest,
            birthday: file.birthday,
            gap_limit: file.gap_limit,
            change_type: file.change_type,
            origin: Origin::WatchOnly {
                accounts,
                fingerprint: None,
            },
        },
    )?;
    let variables = [("WALLET_DIR", dir.to_str().ok_or("a plain path")?)];
    let watching = btc::connect_wallet(&desk.folder.config(&desk.node, &variables))?;
    watching.sync()?;
    assert_eq!(watching.balance()?, desk.wallet.balance()?);
    let mut psbt = watching.create_psbt(&pay(&[(foreign(9), 1_700_000)], 2))?;
    assert_eq!(psbt.inputs.len(), 4, "all types");
    failure(
        watching.sign_psbt(&mut psbt),
        ErrorKind::Unsupported,
        "watch-only",
    );
    failure(
        watching.create_transaction(vec![(text(&foreign(9)), 5_000)], 2),
        ErrorKind::Unsupported,
        "watch-only",
    );
    assert!(!watching.finalize_psbt(&mut psbt.clone())?);
    failure(
        watching.extract_psbt(&psbt, false),
        ErrorKind::InvalidInput,
        "not signed",
    );
    // Travels as text to the signer and back.
    let mut signed: bitcoin::Psbt = psbt.to_string().parse()?;
    assert_eq!(desk.wallet.sign_psbt(&mut signed)?, 4);
    let mut signed: bitcoin::Psbt = signed.to_string().parse()?;
    assert!(watching.finalize_psbt(&mut signed)?);
    let transaction = watching.extract_psbt(&signed, false)?;
    let txid = watching.broadcast_transaction(&transaction)?;
    desk.entry(txid)?;
    Ok(())
}

pub(super) fn a_forged_psbt(desk: &mut Desk<'_, '_>) -> Outcome {
    let good = desk
        .wallet
        .create_psbt(&pay(&[(foreign(10), 1_700_000)], 2))?;
    // Each claims that a coin is worth more, which hides a fee.
    for index in 0..good.inputs.len() {
        let mut forged = good.clone();
        if let Some(output) = &mut forged.inputs[index].witness_utxo {
            output.value += Amount::from_sat(100_000);
        } else if let Some(previous) = &mut forged.inputs[index].non_witness_utxo {
            previous.output[0].value += Amount::from_sat(100_000);
        }
        failure(
            desk.wallet.sign_psbt(&mut forged),
            ErrorKind::InvalidInput,
            "a wrong value",
        );
    }
    let mut loose = good.clone();
    loose.inputs[0].sighash_type = Some(bitcoin::sighash::EcdsaSighashType::None.into());
    failure(
        desk.wallet.sign_psbt(&mut loose),
        ErrorKind::InvalidInput,
        "SIGHASH_NONE",
    );
    Ok(())
}

pub(super) fn messages(desk: &mut Desk<'_, '_>) -> Outcome {
    use btc::rust::wallet::message::verify;
    for address_type in AddressType::ALL {
        let address = desk.wallet.generate_address(address_type)?.address;
        let signed = desk.wallet.sign_message(&address, "ich war hier")?;
        let check = |text: &str| verify(&address, text, &signed.signature, Network::Regtest);
        assert!(check("ich war hier")?.is_valid(), "{address_type}");
        assert!(!check("ich war dort")?.is_valid(), "{address_type}");
    }
    failure(
        desk.wallet.sign_message(&text(&foreign(13)), "x"),
        ErrorKind::NotFound,
        "not ours",
    );
    Ok(())
}
