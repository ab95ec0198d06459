//! `btc address`: gives out, lists and checks addresses.

use btc::{AddressType, Label, LabelKind, WalletInterface};
use serde_json::json;

use super::{Hand, configuration, open, remark};
use crate::exit::Code;
use crate::flags::AddressVerb;
use crate::output::Output;
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
        Hand::Rust(wallet) => (wallet.generate_address(address_type)?, Some(wallet)),
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
    let mut all = Vec::new();
    for address_type in types {
        all.extend(wallet.addresses(address_type)?);
    }
    let rows: Vec<_> = all
        .iter()
        .map(|(address, is_used)| json!({"address": address, "is_used": is_used}))
        .collect();
    output.show(&rows, || {
        all.iter()
            .map(|(address, is_used)| {
                let index = address.index.unwrap_or_default();
                let used = if *is_used { "used" } else { "unused" };
                format!(
                    "{:<11} {index:>5}  {used:<6}  {}\n",
                    address.address_type, address.address
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
                "the wallet's, {} at index {}",
                address.address_type,
                address.index.unwrap_or_default()
            ),
            None => "not the wallet's, or beyond the addresses it watches".to_owned(),
        },
    )?;
    Ok(if found.is_some() {
        Code::Ok
    } else {
        Code::Failed
    })
}
