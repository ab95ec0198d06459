//! `btc send`: pays.

use btc::bitcoin::hex::FromHex;
use btc::bitcoin::{Psbt, Txid};
use btc::rust::wallet::RustWallet;
use btc::{
    BitcoinError, BitcoinImplementationType, BitcoinInterface, BitcoinTransaction, Coin, CoinState,
    Config, ErrorKind, FeeRate, Label, LabelKind, Network, Operation, TransactionRequest,
    WalletInterface,
};
use serde_json::json;

use super::summary::Summary;
use super::{Hand, configuration, follow, network, outcome, plain};
use crate::confirm;
use crate::exit::{Code, Failure};
use crate::flags::{Payment, Send};
use crate::output::{self, Output};
use crate::verbs::Done;

/// The blocks within which a payment should confirm when no fee rate is given.
const DEFAULT_TARGET_BLOCKS: u8 = 6;

/// What is being asked for when consent is.
pub(super) const SENDING: &str = "send this";

pub(super) fn send(output: Output, options: &Send) -> Done {
    let config = configuration()?;
    let network = network(&config)?;
    check_payment(&options.payment)?;
    if !options.dry_run {
        confirm::can_be_given(network, options.yes, SENDING)?;
    }
    match Hand::take(&config, !options.dry_run)? {
        Hand::Rust(wallet) => {
            follow(&wallet)?;
            let request = request(&options.payment, &config)?;
            let psbt = preview(&wallet, &request)?;
            let consent = Consent {
                replaces: &[],
                is_dry_run: options.dry_run,
                is_granted: options.yes,
                allows_high_fee: options.payment.allow_high_fee,
                label: options.label.as_deref(),
            };
            conclude(output, &wallet, network, psbt, &consent)
        }
        Hand::Plain(bitcoin) => plain::send(output, options, &config, &*bitcoin, network),
    }
}

/// How far a transaction may go.
pub(super) struct Consent<'a> {
    /// The payments that it replaces.
    pub(super) replaces: &'a [Txid],
    pub(super) is_dry_run: bool,
    pub(super) is_granted: bool,
    pub(super) allows_high_fee: bool,
    pub(super) label: Option<&'a str>,
}

/// Signs what was previewed, shows it, asks where that is needed, reserves its coins and sends it.
/// What is shown is what is sent, and until then nothing is reserved.
pub(super) fn conclude(
    output: Output,
    wallet: &RustWallet,
    network: Network,
    mut psbt: Psbt,
    consent: &Consent<'_>,
) -> Done {
    let summary = Summary::of_psbt(&psbt, network, Some(wallet));
    if consent.is_dry_run {
        let mut value = summary.to_json();
        value["is_sent"] = json!(false);
        value["psbt"] = json!(psbt.to_string());
        output.show(&value, || {
            format!(
                "{}a dry run: nothing was reserved or sent",
                summary.to_text()
            )
        })?;
        return Ok(Code::Ok);
    }
    let transaction = complete(wallet, &mut psbt, consent.allows_high_fee)?;
    let summary = summary.signed(&transaction);
    announce(output, network, consent.is_granted, &summary)?;
    wallet.reserve(&psbt, consent.replaces)?;
    if let Err(error) = wallet.broadcast_transaction(&transaction) {
        if error.kind() == ErrorKind::Rejected
            && let Err(cause) = wallet.release(&psbt.unsigned_tx)
        {
            // Why it was refused is what the caller must hear.
            output::note(format!(
                "remark: the coins stay reserved for 10 minutes: {cause}"
            ));
        }
        return Err(outcome::of_broadcast(error, transaction.txid).into());
    }
    outcome::sent(output, &summary, transaction.txid);
    if let Some(label) = consent.label {
        let labelled = wallet.import_labels(&[Label {
            kind: LabelKind::Tx,
            reference: transaction.txid.to_string(),
            label: Some(label.to_owned()),
            origin: None,
            spendable: None,
        }]);
        if let Err(error) = labelled {
            outcome::remark(format!("its label was not written: {error}"));
        }
    }
    Ok(Code::Ok)
}

/// Shows what is about to be sent, and asks on mainnet.
pub(super) fn announce(
    output: Output,
    network: Network,
    is_granted: bool,
    summary: &Summary,
) -> Result<(), Failure> {
    if !output.is_json || confirm::is_needed(network, is_granted) {
        output::note(summary.to_text().trim_end());
    }
    confirm::on_mainnet(network, is_granted, SENDING)
}

/// What the options ask for, with the fee rate filled in.
pub(super) fn request(payment: &Payment, config: &Config) -> Result<TransactionRequest, Failure> {
    check_payment(payment)?;
    let data = payment
        .data
        .as_deref()
        .map(Vec::from_hex)
        .transpose()
        .map_err(|_| usage("--data is not hexadecimal, two digits a byte".to_owned()))?;
    let fee_rate = if let Some(fee_rate) = payment.fee_rate {
        fee_rate
    } else {
        let mut plain = config.clone();
        plain.wallet = None;
        let bitcoin = btc::connect_to(&plain, BitcoinImplementationType::Rust);
        FeeRate::from_sat_per_vb(estimated(&*bitcoin.map_err(without_rate)?)?)
    };
    Ok(TransactionRequest {
        recipients: payment.recipients.clone(),
        data,
        drain_to: payment.drain_to.clone(),
        fee_rate,
        coins: payment.coins.clone(),
        only_coins: payment.only_coins,
        avoid: payment.avoid.clone(),
        selection: payment.selection,
        allow_high_fee: payment.allow_high_fee,
    })
}

/// Builds without reserving. Where coins are missing, says which the wallet holds back.
pub(super) fn preview(
    wallet: &RustWallet,
    request: &TransactionRequest,
) -> Result<Psbt, BitcoinError> {
    wallet.preview(request).map_err(|error| {
        let is_missing = error
            .context()
            .iter()
            .any(|(name, _)| name == "missing_sat");
        let coins = wallet.unspent().unwrap_or_default();
        if !is_missing {
            return error;
        }
        let is_held = |coin: &&Coin| coin.reserved_for.is_some();
        let is_early = |coin: &&Coin| {
            let early = [CoinState::UntrustedPending, CoinState::Immature];
            early.contains(&coin.state) && !is_held(coin)
        };
        let held_sat: u64 = coins.iter().filter(is_held).map(|it| it.value_sat).sum();
        let early_sat: u64 = coins.iter().filter(is_early).map(|it| it.value_sat).sum();
        [
            ("reserved_or_locked_sat", held_sat),
            ("pending_or_immature_sat", early_sat),
        ]
        .into_iter()
        .filter(|(_, value_sat)| *value_sat > 0)
        .fold(error, |error, (name, sat)| error.with_context(name, sat))
    })
}

fn check_payment(payment: &Payment) -> Result<(), Failure> {
    if payment.recipients.is_empty() && payment.drain_to.is_none() && payment.data.is_none() {
        return Err(usage(
            "nobody is paid; give ADDRESS=AMOUNT, as in bcrt1…=1500sat, or --drain-to ADDRESS"
                .to_owned(),
        ));
    }
    Ok(())
}

pub(super) fn estimated(bitcoin: &dyn BitcoinInterface) -> Result<u64, Failure> {
    bitcoin
        .estimate_fee(DEFAULT_TARGET_BLOCKS)
        .map_err(without_rate)
}

fn without_rate(cause: BitcoinError) -> Failure {
    let message = "no fee rate can be estimated; give one with --fee-rate";
    BitcoinError::new(cause.kind(), Operation::EstimateFee, message)
        .with_source(cause)
        .into()
}

/// Signs, finalises and extracts, in memory alone.
fn complete(
    wallet: &RustWallet,
    psbt: &mut Psbt,
    allow_high_fee: bool,
) -> Result<BitcoinTransaction, Failure> {
    if wallet.info().is_watch_only {
        let message = "the wallet is watch-only; make a PSBT with `btc psbt create` or `btc psbt \
                       bump`, and have it signed elsewhere";
        return Err(BitcoinError::new(ErrorKind::Unsupported, Operation::Wallet, message).into());
    }
    wallet.sign_psbt(psbt)?;
    if !wallet.finalize_psbt(psbt)? {
        return Err(usage(
            "the wallet cannot sign every input; use `btc psbt` with another signer".to_owned(),
        ));
    }
    Ok(wallet.extract_psbt(psbt, allow_high_fee)?)
}

pub(super) fn usage(message: String) -> Failure {
    Failure::Other(Code::Usage, message)
}
