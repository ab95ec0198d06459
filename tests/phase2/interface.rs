//! `WalletInterface` of the Rust wallet: what goes beyond the nine operations, on a real node.

use std::sync::Arc;

use bitcoin::{Amount, OutPoint, ScriptBuf, Txid};
use btc::rust::wallet::RustWallet;
use btc::rust::wallet::folder::{self, NewWallet, Origin};
use btc::rust::wallet::keys::Account;
use btc::{
    AddressType, CoinSelection, CoinState, ErrorKind, Label, LabelKind, Network, NodeConfig,
    Recipient, TransactionRequest, WalletInterface,
};
use btc_regtest::Chain;
use btc_tests::{Outcome, WalletFolder, failure};
use serde_json::{Value, json};

/// A case with a wallet that has four coins of [`VALUE_SAT`], one of each type.
pub(crate) type Case = fn(&mut Desk<'_, '_>) -> Outcome;

pub(crate) const CASES: &[(&str, Case)] = &[
    ("every_selection_pays_exactly", every_selection),
    ("data_and_several_recipients", data_and_recipients),
    ("coin_control", coin_control),
    ("a_drain_leaves_nothing", a_drain),
    ("a_fee_out_of_proportion_needs_consent", high_fees),
    ("a_preview_reserves_nothing", a_preview),
    ("a_replacement_pays_more", a_replacement),
    ("a_child_pays_for_its_parent", a_child),
    ("an_external_signer_signs", an_external_signer),
    ("a_forged_psbt_is_not_signed", a_forged_psbt),
    ("coins_are_locked_and_unlocked", locks),
    ("labels_travel", labels),
    ("history_adds_up", history),
    ("addresses_are_recognised", addresses),
    ("messages_are_signed", messages),
];

const VALUE_SAT: u64 = 500_000;

/// What a case works with.
pub(crate) struct Desk<'a, 'n> {
    chain: &'a mut Chain<'n>,
    node: NodeConfig,
    folder: WalletFolder,
    wallet: Arc<RustWallet>,
}

/// Runs a case on this chain.
pub(crate) fn run(chain: &mut Chain<'_>, node: NodeConfig, case: Case) -> Outcome {
    let folder = WalletFolder::random(chain.height())?;
    let wallet = btc::connect_wallet(&folder.config(&node, &[]))?;
    let mut outputs = Vec::new();
    for address_type in AddressType::ALL {
        let script = wallet.generate_address(address_type)?.script_pubkey;
        outputs.push((script, Amount::from_sat(VALUE_SAT)));
    }
    chain.pay(&outputs, 2)?;
    chain.mine(1)?;
    wallet.sync()?;
    case(&mut Desk {
        chain,
        node,
        folder,
        wallet,
    })
}

impl Desk<'_, '_> {
    fn coins(&self) -> btc::BitcoinResult<Vec<btc::Coin>> {
        self.wallet.unspent()
    }

    /// Signs, finalises, sends; returns the txid.
    fn complete(&self, mut psbt: bitcoin::Psbt) -> btc::BitcoinResult<Txid> {
        self.wallet.sign_psbt(&mut psbt)?;
        assert!(self.wallet.finalize_psbt(&mut psbt)?, "all inputs are ours");
        let transaction = self.wallet.extract_psbt(&psbt, true)?;
        self.wallet.broadcast_transaction(&transaction)
    }

    /// What the node says of a transaction in its mempool.
    fn entry(&self, txid: Txid) -> Result<Value, btc_regtest::NodeError> {
        self.chain.node().call("getmempoolentry", &[json!(txid)])
    }
}

fn every_selection(desk: &mut Desk<'_, '_>) -> Outcome {
    for (round, selection) in (1..).zip(CoinSelection::ALL) {
        let request = TransactionRequest {
            selection: Some(selection),
            ..pay(&[(foreign(round), 120_000)], 3)
        };
        let psbt = desk.wallet.create_psbt(&request)?;
        let fee_sat = psbt.fee()?.to_sat();
        let paid = psbt.unsigned_tx.output.iter();
        let exact = paid.filter(|output| {
            output.script_pubkey == foreign(round) && output.value == Amount::from_sat(120_000)
        });
        assert_eq!(exact.count(), 1, "{selection}");
        let txid = desk.complete(psbt)?;
        let entry = desk.entry(txid)?;
        let vsize = entry["vsize"].as_u64().ok_or("no vsize")?;
        assert!(
            fee_sat >= 3 * vsize,
            "{selection}: {fee_sat} for {vsize} vB"
        );
        desk.chain.mine(1)?;
        desk.wallet.sync()?;
    }
    Ok(())
}

fn data_and_recipients(desk: &mut Desk<'_, '_>) -> Outcome {
    let request = TransactionRequest {
        data: Some(b"proof".to_vec()),
        selection: Some(CoinSelection::LargestFirst),
        ..pay(
            &[
                (foreign(1), 10_000),
                (foreign(2), 20_000),
                (foreign(1), 30_000),
            ],
            2,
        )
    };
    let psbt = desk.wallet.create_psbt(&request)?;
    let outputs = &psbt.unsigned_tx.output;
    assert_eq!(outputs.len(), 5, "three recipients, data, change");
    let data = outputs
        .iter()
        .find(|output| output.script_pubkey.is_op_return());
    let data = data.ok_or("no data")?;
    assert_eq!(data.value, Amount::ZERO);
    assert!(data.script_pubkey.as_bytes().ends_with(b"proof"));
    desk.complete(psbt)?;
    let too_long = TransactionRequest {
        data: Some(vec![0; 81]),
        ..pay(&[(foreign(1), 10_000)], 2)
    };
    failure(
        desk.wallet.preview(&too_long),
        ErrorKind::InvalidInput,
        "81 bytes",
    );
    Ok(())
}

fn coin_control(desk: &mut Desk<'_, '_>) -> Outcome {
    let coins = desk.coins()?;
    let (named, avoided) = (coins[3].outpoint, coins[0].outpoint);
    let request = TransactionRequest {
        coins: vec![named],
        avoid: vec![avoided],
        ..pay(&[(foreign(3), 700_000)], 2)
    };
    let psbt = desk.wallet.create_psbt(&request)?;
    let spent: Vec<_> = psbt
        .unsigned_tx
        .input
        .iter()
        .map(|it| it.previous_output)
        .collect();
    assert!(
        spent.contains(&named) && !spent.contains(&avoided),
        "{spent:?}"
    );
    let only = TransactionRequest {
        coins: vec![avoided],
        only_coins: true,
        ..pay(&[(foreign(3), 700_000)], 2)
    };
    failure(
        desk.wallet.preview(&only),
        ErrorKind::Rejected,
        "one coin is not enough",
    );
    let foreign_coin = TransactionRequest {
        coins: vec![OutPoint::null()],
        ..pay(&[(foreign(3), 1_000)], 2)
    };
    failure(
        desk.wallet.preview(&foreign_coin),
        ErrorKind::InvalidInput,
        "not ours",
    );
    let reserved = TransactionRequest {
        coins: vec![named],
        ..pay(&[(foreign(3), 1_000)], 2)
    };
    failure(
        desk.wallet.preview(&reserved),
        ErrorKind::InvalidInput,
        "reserved above",
    );
    Ok(())
}

fn a_drain(desk: &mut Desk<'_, '_>) -> Outcome {
    let request = TransactionRequest {
        drain_to: Some(text(&foreign(4))),
        fee_rate_sat_per_vb: 2,
        ..TransactionRequest::default()
    };
    let psbt = desk.wallet.create_psbt(&request)?;
    assert_eq!(psbt.unsigned_tx.output.len(), 1);
    assert_eq!(psbt.unsigned_tx.input.len(), 4);
    desk.complete(psbt)?;
    assert_eq!(desk.wallet.balance()?.spendable_sat(), 0);
    desk.chain.mine(1)?;
    desk.wallet.sync()?;
    assert!(desk.coins()?.is_empty());
    Ok(())
}

fn high_fees(desk: &mut Desk<'_, '_>) -> Outcome {
    let tenth = pay(&[(foreign(5), 2_000)], 5);
    failure(
        desk.wallet.preview(&tenth),
        ErrorKind::InvalidInput,
        "more than a tenth",
    );
    let rate = pay(&[(foreign(5), 400_000)], 1_001);
    failure(
        desk.wallet.preview(&rate),
        ErrorKind::InvalidInput,
        "1001 sat/vB",
    );
    for request in [tenth, rate] {
        let consent = TransactionRequest {
            allow_high_fee: true,
            ..request
        };
        desk.wallet.preview(&consent)?;
    }
    Ok(())
}

fn a_preview(desk: &mut Desk<'_, '_>) -> Outcome {
    let request = pay(&[(foreign(6), 1_900_000)], 2);
    for _ in 0..3 {
        desk.wallet.preview(&request)?;
    }
    assert!(desk.coins()?.iter().all(|coin| coin.reserved_for.is_none()));
    desk.wallet.create_psbt(&request)?;
    failure(
        desk.wallet.preview(&request),
        ErrorKind::Rejected,
        "all is reserved",
    );
    Ok(())
}

fn a_replacement(desk: &mut Desk<'_, '_>) -> Outcome {
    let psbt = desk.wallet.create_psbt(&pay(&[(foreign(7), 200_000)], 2))?;
    let first_fee_sat = psbt.fee()?.to_sat();
    let first = desk.complete(psbt)?;
    failure(
        desk.wallet.bump_fee(first, 2),
        ErrorKind::InvalidInput,
        "the same rate",
    );
    let bumped = desk.wallet.bump_fee(first, 9)?;
    let fee_sat = bumped.fee()?.to_sat();
    assert!(
        fee_sat > 3 * first_fee_sat,
        "{fee_sat} after {first_fee_sat}"
    );
    let pays = |output: &bitcoin::TxOut| output.script_pubkey == foreign(7);
    assert_eq!(
        bumped
            .unsigned_tx
            .output
            .iter()
            .filter(|it| pays(it))
            .count(),
        1
    );
    let second = desk.complete(bumped)?;
    assert!(
        desk.entry(first).is_err(),
        "the first is gone from the mempool"
    );
    desk.entry(second)?;
    desk.wallet.sync()?;
    let left_sat = 4 * VALUE_SAT - 200_000 - fee_sat;
    assert_eq!(desk.wallet.balance()?.spendable_sat(), left_sat);
    desk.chain.mine(1)?;
    desk.wallet.sync()?;
    assert_eq!(desk.wallet.balance()?.confirmed_sat, left_sat);
    failure(
        desk.wallet.bump_fee(second, 20),
        ErrorKind::InvalidInput,
        "confirmed",
    );
    failure(
        desk.wallet.bump_fee(first, 20),
        ErrorKind::InvalidInput,
        "replaced",
    );
    let nobody: Txid = "00".repeat(32).parse()?;
    failure(
        desk.wallet.bump_fee(nobody, 20),
        ErrorKind::NotFound,
        "unknown",
    );
    Ok(())
}

fn a_child(desk: &mut Desk<'_, '_>) -> Outcome {
    // Our own payment with change.
    let psbt = desk.wallet.create_psbt(&pay(&[(foreign(8), 200_000)], 1))?;
    let parent = desk.complete(psbt)?;
    let child = desk.wallet.accelerate(parent, 12)?;
    let child = desk.complete(child)?;
    let entry = desk.entry(child)?;
    let size_vb = entry["ancestorsize"].as_u64().ok_or("no ancestorsize")?;
    let fees = entry["fees"]["ancestor"]
        .as_f64()
        .ok_or("no ancestor fees")?;
    let fees_sat = Amount::from_str_in(&format!("{fees:.8}"), bitcoin::Denomination::Bitcoin)?;
    assert!(
        (12 * size_vb..13 * size_vb).contains(&fees_sat.to_sat()),
        "{entry}"
    );
    desk.chain.mine(1)?;
    desk.wallet.sync()?;
    failure(
        desk.wallet.accelerate(parent, 50),
        ErrorKind::InvalidInput,
        "confirmed",
    );
    Ok(())
}

fn an_external_signer(desk: &mut Desk<'_, '_>) -> Outcome {
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

fn a_forged_psbt(desk: &mut Desk<'_, '_>) -> Outcome {
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

fn locks(desk: &mut Desk<'_, '_>) -> Outcome {
    let coins = desk.coins()?;
    for coin in &coins[1..] {
        desk.wallet.lock(coin.outpoint)?;
    }
    let all = pay(&[(foreign(11), 600_000)], 2);
    failure(
        desk.wallet.preview(&all),
        ErrorKind::Rejected,
        "three of four are locked",
    );
    let shown = desk.coins()?;
    let locked = shown
        .iter()
        .filter(|coin| coin.reserved_for.as_deref() == Some("locked"));
    assert_eq!(locked.count(), 3);
    assert!(desk.wallet.unlock(coins[1].outpoint)?);
    assert!(!desk.wallet.unlock(coins[1].outpoint)?);
    desk.wallet.preview(&all)?;
    failure(
        desk.wallet.lock(OutPoint::null()),
        ErrorKind::NotFound,
        "not ours",
    );
    // Locked is still owned.
    assert_eq!(desk.wallet.balance()?.confirmed_sat, 4 * VALUE_SAT);
    Ok(())
}

fn labels(desk: &mut Desk<'_, '_>) -> Outcome {
    let coins = desk.coins()?;
    let label = |kind, reference: String, text: &str| Label {
        kind,
        reference,
        label: Some(text.to_owned()),
        origin: None,
        spendable: None,
    };
    let all = [
        label(
            LabelKind::Tx,
            coins[0].outpoint.txid.to_string(),
            "salary ☂",
        ),
        label(LabelKind::Addr, coins[1].address.clone(), "from Bob"),
        Label {
            spendable: Some(false),
            ..label(LabelKind::Output, coins[2].outpoint.to_string(), "keep")
        },
    ];
    assert_eq!(
        desk.wallet.import_labels(&all)?,
        4,
        "three texts and a lock"
    );
    assert_eq!(desk.wallet.import_labels(&all)?, 0, "nothing new");
    assert_eq!(desk.wallet.history()?[0].label.as_deref(), Some("salary ☂"));
    let shown = desk.coins()?;
    let find = |outpoint| shown.iter().find(|coin| coin.outpoint == outpoint);
    let second = find(coins[1].outpoint).ok_or("there")?;
    assert_eq!(second.label.as_deref(), Some("from Bob"));
    let third = find(coins[2].outpoint).ok_or("there")?;
    assert_eq!(third.reserved_for.as_deref(), Some("locked"));
    // Out of one wallet and into its restored twin.
    let twin = desk.folder.again(0)?;
    let twin = btc::connect_wallet(&twin.config(&desk.node, &[]))?;
    twin.sync()?;
    twin.import_labels(&desk.wallet.labels()?)?;
    assert_eq!(twin.labels()?, desk.wallet.labels()?);
    Ok(())
}

fn history(desk: &mut Desk<'_, '_>) -> Outcome {
    for round in 0..3 {
        let psbt = desk
            .wallet
            .create_psbt(&pay(&[(foreign(round), 30_000)], 2))?;
        desk.complete(psbt)?;
        if round == 1 {
            desk.chain.mine(1)?;
            desk.wallet.sync()?;
        }
    }
    desk.wallet.sync()?;
    let entries = desk.wallet.history()?;
    assert_eq!(entries.len(), 4);
    assert_eq!(entries[0].block, None, "unconfirmed first");
    let net_sat: i128 = entries.iter().map(btc::HistoryEntry::net_sat).sum();
    assert_eq!(net_sat, i128::from(desk.wallet.balance()?.spendable_sat()));
    let spends = entries.iter().filter(|entry| entry.sent_sat > 0);
    for entry in spends {
        let fee_sat = entry.fee_sat.ok_or("every input is ours")?;
        assert_eq!(entry.sent_sat, entry.received_sat + 30_000 + fee_sat);
    }
    let pending = desk.coins()?;
    assert!(
        pending
            .iter()
            .any(|coin| coin.state == CoinState::TrustedPending)
    );
    Ok(())
}

fn addresses(desk: &mut Desk<'_, '_>) -> Outcome {
    for address_type in AddressType::ALL {
        let new = desk.wallet.generate_address(address_type)?;
        let listed = desk.wallet.addresses(address_type)?;
        assert_eq!(listed.len(), 2);
        assert!(listed[0].1 && !listed[1].1, "the first was paid");
        assert_eq!(listed[1].0, new);
        assert_eq!(desk.wallet.verify_address(&new.address)?, Some(new));
    }
    assert_eq!(desk.wallet.verify_address(&text(&foreign(12)))?, None);
    for wrong in ["nonsense", "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu"] {
        failure(
            desk.wallet.verify_address(wrong),
            ErrorKind::InvalidInput,
            wrong,
        );
    }
    Ok(())
}

fn messages(desk: &mut Desk<'_, '_>) -> Outcome {
    use btc::rust::wallet::message::verify;
    for address_type in AddressType::ALL {
        let address = desk.wallet.generate_address(address_type)?.address;
        let signed = desk.wallet.sign_message(&address, "ich war hier")?;
        let check = |text: &str| verify(&address, text, &signed.signature, Network::Regtest);
        assert!(check("ich war hier")?, "{address_type}");
        assert!(!check("ich war dort")?, "{address_type}");
    }
    failure(
        desk.wallet.sign_message(&text(&foreign(13)), "x"),
        ErrorKind::NotFound,
        "not ours",
    );
    Ok(())
}

fn pay(recipients: &[(ScriptBuf, u64)], fee_rate_sat_per_vb: u64) -> TransactionRequest {
    TransactionRequest {
        recipients: recipients
            .iter()
            .map(|(script, value_sat)| Recipient {
                address: text(script),
                value_sat: *value_sat,
            })
            .collect(),
        fee_rate_sat_per_vb,
        ..TransactionRequest::default()
    }
}

fn foreign(number: u8) -> ScriptBuf {
    use bitcoin::hashes::Hash;
    ScriptBuf::new_p2wpkh(&bitcoin::WPubkeyHash::from_byte_array([number; 20]))
}

fn text(script: &ScriptBuf) -> String {
    bitcoin::Address::from_script(script, bitcoin::Network::Regtest)
        .expect("a script with an address")
        .to_string()
}
