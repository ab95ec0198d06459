//! `btc send` and `btc bump`: pays, and raises the fee of what is not confirmed.

use btc::bitcoin::hex::FromHex;
use btc::bitcoin::{Address, Psbt, Transaction};
use btc::rust::wallet::RustWallet;
use btc::{
    BitcoinInterface, Config, Label, LabelKind, Network, TransactionRequest, WalletInterface,
};
use serde_json::{Value, json};

use super::{Hand, configuration, follow, network, open_unlocked, remark};
use crate::amount::{grouped, show_sat};
use crate::confirm;
use crate::exit::{Code, Failure};
use crate::flags::{Bump, Payment, Send};
use crate::output::Output;
use crate::verbs::Done;

/// The blocks within which a payment should confirm when no fee rate is given.
const DEFAULT_TARGET_BLOCKS: u8 = 6;

pub(super) fn send(output: Output, options: &Send) -> Done {
    let config = configuration()?;
    let network = network(&config)?;
    match Hand::take(&config, !options.dry_run)? {
        Hand::Rust(wallet) => send_fully(output, options, &config, &wallet, network),
        Hand::Plain(bitcoin) => send_plainly(output, options, &*bitcoin, network),
    }
}

fn send_fully(
    output: Output,
    options: &Send,
    config: &Config,
    wallet: &RustWallet,
    network: Network,
) -> Done {
    follow(wallet)?;
    let request = request(&options.payment, config)?;
    let preview = wallet.preview(&request)?;
    if options.dry_run {
        return show(output, &preview, network, false, &preview.to_string());
    }
    let summary = text(&preview, network);
    confirm::on_mainnet(network, options.yes, &format!("{summary}send this"))?;
    let mut psbt = wallet.create_psbt(&request)?;
    let transaction = complete(wallet, &mut psbt, options.payment.allow_high_fee)?;
    let txid = wallet.broadcast_transaction(&transaction)?.to_string();
    if let Some(label) = &options.label {
        wallet.import_labels(&[Label {
            kind: LabelKind::Tx,
            reference: txid.clone(),
            label: Some(label.clone()),
            origin: None,
            spendable: None,
        }])?;
    }
    show(output, &psbt, network, true, &txid)
}

/// Through the nine operations: what Python offers, and what shadow mode compares.
fn send_plainly(
    output: Output,
    options: &Send,
    bitcoin: &dyn BitcoinInterface,
    network: Network,
) -> Done {
    let payment = &options.payment;
    let is_plain = payment.drain_to.is_none()
        && payment.data.is_none()
        && payment.coins.is_empty()
        && payment.avoid.is_empty()
        && payment.selection.is_none()
        && !options.dry_run;
    if !is_plain {
        return Err(usage(
            "only the Rust wallet can do that; set USE_RUST_BITCOIN=true and SHADOW_MODE=false"
                .to_owned(),
        ));
    }
    let fee_rate = match payment.fee_rate {
        Some(fee_rate) => fee_rate,
        None => bitcoin.estimate_fee(DEFAULT_TARGET_BLOCKS)?,
    };
    let outputs: Vec<_> = payment
        .recipients
        .iter()
        .map(|recipient| (recipient.address.clone(), recipient.value_sat))
        .collect();
    confirm::on_mainnet(network, options.yes, "send this payment")?;
    let transaction = bitcoin.create_transaction(outputs, fee_rate)?;
    let txid = bitcoin.broadcast_transaction(&transaction)?;
    if options.label.is_some() {
        remark(output, "only the Rust wallet keeps labels; none was stored");
    }
    let value = json!({"txid": txid, "fee_sat": transaction.fee_sat, "is_sent": true});
    output.show(&value, || txid.clone())?;
    Ok(Code::Ok)
}

pub(super) fn bump(output: Output, options: &Bump) -> Done {
    let config = configuration()?;
    let network = network(&config)?;
    let wallet = open_unlocked(&config)?;
    follow(&wallet)?;
    let mut psbt = if options.child {
        wallet.accelerate(options.txid, options.fee_rate)?
    } else {
        wallet.bump_fee(options.txid, options.fee_rate)?
    };
    if options.dry_run {
        let shown = show(output, &psbt, network, false, &psbt.to_string());
        release(&wallet, &psbt)?;
        return shown;
    }
    let summary = text(&psbt, network);
    if let Err(refused) = confirm::on_mainnet(network, options.yes, &format!("{summary}send this"))
    {
        release(&wallet, &psbt)?;
        return Err(refused);
    }
    let transaction = complete(&wallet, &mut psbt, true)?;
    let txid = wallet.broadcast_transaction(&transaction)?.to_string();
    show(output, &psbt, network, true, &txid)
}

/// What the options ask for, with the fee rate filled in.
pub(super) fn request(payment: &Payment, config: &Config) -> Result<TransactionRequest, Failure> {
    if payment.recipients.is_empty() && payment.drain_to.is_none() {
        return Err(usage(
            "nobody is paid; give address=amount, or --drain-to".to_owned(),
        ));
    }
    let data = payment
        .data
        .as_deref()
        .map(Vec::from_hex)
        .transpose()
        .map_err(|cause| usage(format!("--data is not hexadecimal: {cause}")))?;
    let fee_rate_sat_per_vb = match payment.fee_rate {
        Some(fee_rate) => fee_rate,
        None => btc::connect_to(
            &Config {
                wallet: None,
                ..config.clone()
            },
            btc::BitcoinImplementationType::Rust,
        )?
        .estimate_fee(DEFAULT_TARGET_BLOCKS)?,
    };
    Ok(TransactionRequest {
        recipients: payment.recipients.clone(),
        data,
        drain_to: payment.drain_to.clone(),
        fee_rate_sat_per_vb,
        coins: payment.coins.clone(),
        only_coins: payment.only_coins,
        avoid: payment.avoid.clone(),
        selection: payment.selection,
        allow_high_fee: payment.allow_high_fee,
    })
}

/// Signs, finalises and extracts.
fn complete(
    wallet: &RustWallet,
    psbt: &mut Psbt,
    allow_high_fee: bool,
) -> Result<btc::BitcoinTransaction, Failure> {
    wallet.sign_psbt(psbt)?;
    if !wallet.finalize_psbt(psbt)? {
        return Err(usage(
            "the wallet cannot sign every input; use `btc psbt` with another signer".to_owned(),
        ));
    }
    Ok(wallet.extract_psbt(psbt, allow_high_fee)?)
}

/// Gives back what a transaction that is not sent has reserved.
fn release(wallet: &RustWallet, psbt: &Psbt) -> Result<(), Failure> {
    for input in &psbt.unsigned_tx.input {
        wallet.unlock(input.previous_output)?;
    }
    Ok(())
}

fn show(output: Output, psbt: &Psbt, network: Network, is_sent: bool, last: &str) -> Done {
    let mut value = describe(psbt, network);
    value["is_sent"] = json!(is_sent);
    if !is_sent {
        value["psbt"] = json!(psbt.to_string());
    }
    let text = text(psbt, network);
    output.show(&value, || format!("{text}{last}"))?;
    Ok(Code::Ok)
}

/// What a PSBT does, for JSON.
pub(super) fn describe(psbt: &Psbt, network: Network) -> Value {
    let transaction = &psbt.unsigned_tx;
    let outputs: Vec<_> = transaction
        .output
        .iter()
        .zip(&psbt.outputs)
        .map(|(output, map)| {
            json!({
                "value_sat": output.value.to_sat(),
                "script_pubkey": output.script_pubkey,
                "address": address(&output.script_pubkey, network),
                "is_change": is_own(map),
            })
        })
        .collect();
    json!({
        "txid": transaction.compute_txid(),
        "fee_sat": psbt.fee().ok().map(btc::bitcoin::Amount::to_sat),
        "inputs": transaction.input.iter().map(|input| input.previous_output).collect::<Vec<_>>(),
        "outputs": outputs,
    })
}

/// What a PSBT does, for people.
pub(super) fn text(psbt: &Psbt, network: Network) -> String {
    let transaction: &Transaction = &psbt.unsigned_tx;
    let count = transaction.input.len();
    let plural = if count == 1 { "" } else { "s" };
    let outputs: String = transaction
        .output
        .iter()
        .zip(&psbt.outputs)
        .map(|(output, map)| {
            let to = address(&output.script_pubkey, network)
                .unwrap_or_else(|| format!("script {:x}", output.script_pubkey));
            let what = if is_own(map) { "change" } else { "pays" };
            format!("{what:<6} {}  to {to}\n", show_sat(output.value.to_sat()))
        })
        .collect();
    let fee = psbt.fee().map_or(String::new(), |fee| {
        format!("fee    {} sat\n", grouped(fee.to_sat()))
    });
    format!("spends {count} coin{plural}\n{outputs}{fee}")
}

/// Whether the wallet has put its keys on an output.
fn is_own(map: &btc::bitcoin::psbt::Output) -> bool {
    !map.bip32_derivation.is_empty() || !map.tap_key_origins.is_empty()
}

fn address(script: &btc::bitcoin::Script, network: Network) -> Option<String> {
    Address::from_script(script, network)
        .ok()
        .map(|address| address.to_string())
}

fn usage(message: String) -> Failure {
    Failure::Other(Code::Usage, message)
}
