//! `btc dlc`: discreet log contracts, whose messages pass as files or over standard input and output.

mod oracle;
mod tell;
mod watch;

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use btc::bitcoin::Txid;
use btc::config::Config;
use btc::discreet::{Dlc, DlcConfig, text};
use btc::dlc::{
    Cancellation, ContractId, ContractTerms, DlcInterface as _, DlcMessage, DlcMessageKind,
};
use serde_json::json;

use super::{Done, wallet};
use crate::confirm;
use crate::exit::{Code, Failure};
use crate::flags::{DlcVerb, Format, Out};
use crate::output::{self, Output};

/// No file that is read is longer.
const MAX_BYTES: u64 = 400 << 20;

pub(super) fn run(output: Output, verb: &DlcVerb) -> Done {
    match verb {
        DlcVerb::Oracle(verb) => oracle::run(output, verb),
        DlcVerb::Offer { terms, out } => offer(output, terms, out),
        DlcVerb::Accept { offer, yes, out } => accept(output, offer, *yes, out),
        DlcVerb::Sign { accept, yes, out } => {
            let (dlc, config) = open()?;
            consent(&config, *yes, "sign this contract and its funding")?;
            let sign = dlc.sign(&message(accept)?)?;
            write(output, &sign, out)
        }
        DlcVerb::Finalize { sign, yes } => {
            let (dlc, config) = open()?;
            consent(&config, *yes, "send the funding")?;
            sent(output, dlc.finalize(&message(sign)?)?)
        }
        DlcVerb::Reject {
            message: path,
            reason,
            out,
        } => reject(output, path, reason, out),
        DlcVerb::Cancel { id } => cancel(output, *id),
        DlcVerb::Execute {
            id,
            attestations,
            yes,
        } => {
            let (dlc, config) = open()?;
            consent(&config, *yes, "settle the contract")?;
            let read = attestations.iter().map(|path| digits(path));
            let attestations = read.collect::<Result<Vec<_>, _>>()?;
            sent(output, dlc.execute(*id, &attestations)?)
        }
        DlcVerb::Refund { id, yes } => {
            let (dlc, config) = open()?;
            consent(&config, *yes, "take the refund")?;
            sent(output, dlc.refund(*id)?)
        }
        DlcVerb::Close {
            contract,
            own_sat,
            yes,
            out,
        } => {
            let (dlc, config) = open()?;
            if let Ok(id) = contract.parse() {
                return write(output, &dlc.propose_close(id, *own_sat)?, out);
            }
            consent(&config, *yes, "close the contract")?;
            let close = message(Path::new(contract))?;
            sent(output, dlc.accept_close(&close, *own_sat)?)
        }
        DlcVerb::List => {
            let all = open()?.0.list()?;
            output.show(&all, || tell::list(&all))?;
            Ok(Code::Ok)
        }
        DlcVerb::Show { contract, svg } => show(output, contract, svg.as_deref()),
        DlcVerb::Sync => {
            let events = open()?.0.sync()?;
            output.show(&events, || tell::events(&events))?;
            Ok(Code::Ok)
        }
        DlcVerb::Watch {
            attestations,
            every,
        } => watch::run(output, attestations.as_deref(), *every),
    }
}

/// The contracts of the configured wallet, in a folder beside it, and the configuration.
fn open() -> Result<(Dlc, Config), Failure> {
    let config = wallet::unlocked_configuration()?;
    let folder = folder(&config)?;
    let dlc = btc::connect_dlc(&config, &folder, DlcConfig::default())?;
    Ok((dlc, config))
}

/// The folder of the contracts: the wallet's name with `-contracts` behind it.
fn folder(config: &Config) -> Result<PathBuf, Failure> {
    let wallet = config.wallet.as_ref().map(|wallet| wallet.dir.clone());
    let mut name = wallet
        .ok_or_else(|| usage("set WALLET_DIR to the wallet's folder"))?
        .into_os_string();
    name.push("-contracts");
    Ok(name.into())
}

fn consent(config: &Config, is_granted: bool, what: &str) -> Result<(), Failure> {
    match &config.node {
        Some(node) => confirm::on_mainnet(node.network, is_granted, what),
        None => Ok(()),
    }
}

fn offer(output: Output, path: &Path, out: &Out) -> Done {
    let terms = terms(path)?;
    let (dlc, _) = open()?;
    let offer = dlc.offer(&terms)?;
    write(output, &offer, out)
}

/// The terms of a file. What is no announcement in digits is the name of a file with one, beside the
/// terms.
fn terms(path: &Path) -> Result<ContractTerms, Failure> {
    let data = bytes(path)?;
    let text = std::str::from_utf8(&data).map_err(|_| usage("the terms are not text"))?;
    let mut terms: ContractTerms = if text.trim_start().starts_with('{') {
        serde_json::from_str(text).map_err(|cause| usage(cause.to_string()))?
    } else {
        btc::discreet::text::terms_from_toml(text)?
    };
    let beside = path.parent().unwrap_or(Path::new(""));
    let all = terms.branches.iter_mut();
    for announcement in all.flat_map(|branch| &mut branch.oracles.announcements) {
        if !announcement.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            *announcement = digits(&beside.join(&announcement))?;
        }
    }
    Ok(terms)
}

fn accept(output: Output, path: &Path, yes: bool, out: &Out) -> Done {
    let offer = message(path)?;
    let (dlc, config) = open()?;
    let meaning = dlc.explain(&offer)?;
    if !output.is_json {
        output::note(tell::explanation(&meaning));
    }
    consent(&config, yes, "accept this contract")?;
    write(output, &dlc.accept(&offer)?, out)
}

fn reject(output: Output, path: &Path, reason: &str, out: &Out) -> Done {
    let read = message(path)?;
    let (dlc, _) = open()?;
    if read.kind() == DlcMessageKind::Reject {
        dlc.rejected(&read)?;
        output.show(&json!({"rejected": true}), || {
            "the other side rejected the offer; its coins are free".to_owned()
        })?;
        return Ok(Code::Ok);
    }
    write(output, &dlc.reject(&read, reason)?, out)
}

fn cancel(output: Output, id: ContractId) -> Done {
    let (dlc, _) = open()?;
    let done = dlc.cancel(id)?;
    output.show(&done, || match done {
        Cancellation::Safe => "given up; the coins are free".to_owned(),
        Cancellation::SpentElsewhere { txid } => format!(
            "your signature had left: {txid} spends one of your coins elsewhere\n\
             until it is in a block, the other side can still complete the funding"
        ),
    })?;
    Ok(Code::Ok)
}

fn show(output: Output, contract: &str, svg: Option<&Path>) -> Done {
    let (dlc, _) = open()?;
    let (meaning, contract) = match contract.parse::<ContractId>() {
        Ok(id) => (dlc.show(id)?, Some(dlc.get(id)?)),
        Err(_) => (dlc.explain(&message(Path::new(contract))?)?, None),
    };
    if let Some(path) = svg {
        let curve = meaning
            .outcomes
            .iter()
            .find_map(|lines| btc::discreet::draw::svg(lines));
        let curve = curve.ok_or_else(|| usage("no event of the contract is about a number"))?;
        save(path, curve.as_bytes())?;
    }
    let value = json!({"contract": contract, "meaning": meaning});
    output.show(&value, || {
        let state = contract.as_ref().map(tell::contract).unwrap_or_default();
        format!("{state}{}", tell::explanation(&meaning))
    })?;
    Ok(Code::Ok)
}

fn sent(output: Output, txid: Txid) -> Done {
    output.show(&json!({"txid": txid}), || txid.to_string())?;
    Ok(Code::Ok)
}

/// Writes a message to the file, or to standard output.
fn write(output: Output, message: &DlcMessage, out: &Out) -> Done {
    let text = match out.format {
        Format::Hex => text::to_hex(message),
        Format::Json => text::to_json(message)?,
    };
    match &out.out {
        Some(path) => {
            save(path, format!("{text}\n").as_bytes())?;
            let value = json!({"kind": message.kind(), "file": path});
            output.show(&value, || {
                format!("the message `{}` is in {}", message.kind(), path.display())
            })?;
        }
        None => output::print(format!("{text}\n").as_bytes())?,
    }
    Ok(Code::Ok)
}

fn message(path: &Path) -> Result<DlcMessage, Failure> {
    Ok(text::read(&bytes(path)?)?)
}

/// Hexadecimal digits in a file.
fn digits(path: &Path) -> Result<String, Failure> {
    let data = bytes(path)?;
    let text = std::str::from_utf8(&data)
        .map_err(|_| usage(format!("`{}` does not hold digits", path.display())))?;
    Ok(text.trim().to_owned())
}

fn bytes(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut data = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin().take(MAX_BYTES).read_to_end(&mut data)
    } else {
        fs::File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_end(&mut data))
    };
    read.map_err(|cause| usage(format!("`{}` cannot be read: {cause}", path.display())))?;
    Ok(data)
}

fn save(path: &Path, data: &[u8]) -> Result<(), Failure> {
    fs::write(path, data).map_err(|cause| {
        let message = format!("`{}` cannot be written: {cause}", path.display());
        Failure::Other(Code::Failed, message)
    })
}

fn usage(message: impl Into<String>) -> Failure {
    Failure::Other(Code::Usage, message.into())
}
