//! `btc address`: gives out, lists and checks addresses.

use std::collections::HashMap;

use btc::{AddressType, Label, LabelKind, WalletInterface};
use serde_json::json;

use super::{Hand, configuration, follow, open, remark};
use crate::exit::Code;
use crate::flags::AddressVerb;
use crate::output::Output;
use crate::tame;
use crate::verbs::Done;

pub(super) fn run(output: Output, verb: &AddressVerb) -> Done {
    match verb {
        AddressVerb::New {
            address_type,
            label,
        } => new(output, *address_type, label.as_deref()),
        AddressVerb::List { address_type } => list(output, *address_type),
        AddressVerb::Verify { address } => verify(output, address),
    }
}

fn new(output: Output, address_type: AddressType, label: Option<&str>) -> Done {
    let config = configuration()?;
    let (address, full) = match Hand::take(&config, false)? {
        Hand::Rust(wallet) => {
            // With a bar, since nobody knows yet which addresses were used.
            if wallet.info().tip.is_none() {
                follow(&wallet)?;
            }
            (wallet.generate_address(address_type)?, Some(wallet))
        }
        Hand::Plain(bitcoin) => (bitcoin.generate_address(address_type)?, None),
    };
    match (label, &full) {
        (Some(label), Some(wallet)) => {
            wallet.import_labels(&[Label {
                kind: LabelKind::Addr,
                reference: address.address.clone(),
                label: Some(label.to_owned()),
                origin: None,
                spendable: None,
            }])?;
        }
        (Some(_), None) => remark(output, "only the Rust wallet keeps labels; none was stored"),
        (None, _) => {}
    }
    output.show(&address, || address.address.clone())?;
    Ok(Code::Ok)
}

fn list(output: Output, only: Option<AddressType>) -> Done {
    let wallet = open(&configuration()?)?;
    let types = only.map_or(AddressType::ALL.to_vec(), |only| vec![only]);
    let labels: HashMap<String, String> = wallet
        .labels()?
        .into_iter()
        .filter(|label| label.kind == LabelKind::Addr)
        .filter_map(|label| Some((label.reference, label.label?)))
        .collect();
    let mut all = Vec::new();
    for address_type in types {
        all.extend(wallet.addresses(address_type)?);
    }
    let rows: Vec<_> = all
        .iter()
        .map(|(address, is_used)| {
            let mut row = json!(address);
            row["is_used"] = json!(is_used);
            row["label"] = json!(labels.get(&address.address));
            row
        })
        .collect();
    output.show(&rows, || {
        if all.is_empty() {
            return "no address was given out yet; `btc address new` does".to_owned();
        }
        all.iter()
            .map(|(address, is_used)| {
                let kind = address.address_type.as_str();
                let index = address.index.unwrap_or_default();
                let used = if *is_used { "used" } else { "unused" };
                let label = labels.get(&address.address);
                let label =
                    label.map_or(String::new(), |label| format!("  {}", tame::inline(label)));
                format!(
                    "{kind:<11}  {index:>5}  {used:<6}  {}{label}\n",
                    address.address
                )
            })
            .collect()
    })?;
    Ok(Code::Ok)
}

fn verify(output: Output, text: &str) -> Done {
    let wallet = open(&configuration()?)?;
    let found = wallet.verify_address(text)?;
    output.show(
        &json!({"is_mine": found.is_some(), "address": found}),
        || match &found {
            Some(address) => format!(
                "the wallet's own, {} at index {}",
                address.address_type,
                address.index.unwrap_or_default()
            ),
            None => "NOT the wallet's, or beyond the addresses it watches".to_owned(),
        },
    )?;
    Ok(if found.is_some() {
        Code::Ok
    } else {
        Code::Failed
    })
}
