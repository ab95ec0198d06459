//! `btc wallet info`, `sync`, `export`: what the wallet is and knows.

use btc::WalletInterface;
use btc::rust::wallet::{keys, secret};
use btc::types::network;
use serde_json::json;

use super::{Done, configuration, follow, is_unreachable, open, remark};
use crate::amount::grouped;
use crate::exit::{Code, Failure};
use crate::output::{Output, fields};

pub(super) fn info(output: Output) -> Done {
    let config = configuration()?;
    let wallet = open(&config)?;
    let info = wallet.info();
    let dir = &config.wallet.as_ref().expect("checked when loaded").dir;
    let protection = match (info.is_watch_only, secret::is_encrypted(dir)) {
        (true, _) => "none",
        (false, true) => "encrypted",
        (false, false) => "plain",
    };
    let mut value = json!(info);
    value["dir"] = json!(dir);
    value["secret"] = json!(protection);
    output.show(&value, || {
        fields(&[
            ("folder", dir.display().to_string()),
            ("network", network::name(info.network).to_owned()),
            (
                "fingerprint",
                info.fingerprint
                    .clone()
                    .unwrap_or_else(|| "unknown".to_owned()),
            ),
            (
                "kind",
                match protection {
                    "none" => "watch-only",
                    "encrypted" => "from words, encrypted with a passphrase",
                    _ => "from words, which are NOT encrypted",
                }
                .to_owned(),
            ),
            (
                "types",
                info.address_types
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(", "),
            ),
            (
                "birthday",
                format!("height {}", grouped(u64::from(info.birthday))),
            ),
            (
                "followed to",
                info.tip.map_or_else(
                    || "not yet".to_owned(),
                    |tip| format!("height {}, {}", grouped(u64::from(tip.height)), tip.hash),
                ),
            ),
            ("source", info.source.to_owned()),
        ])
    })?;
    Ok(Code::Ok)
}

pub(super) fn sync(output: Output) -> Done {
    let wallet = open(&configuration()?)?;
    let height = follow(&wallet).inspect_err(|failure| {
        if let Failure::Bitcoin(error) = failure
            && is_unreachable(error)
        {
            remark(
                output,
                "what was followed so far is kept; the next sync goes on from there",
            );
        }
    })?;
    output.show(&json!({ "height": height }), || {
        format!("at height {}", grouped(u64::from(height)))
    })?;
    Ok(Code::Ok)
}

pub(super) fn export(output: Output) -> Done {
    let descriptors = open(&configuration()?)?.descriptors()?;
    let rows: Vec<_> = descriptors
        .iter()
        .map(|(address_type, receive, change)| {
            json!({
                "address_type": address_type, "receive": receive, "change": change,
                "both": keys::both_chains(receive, change),
            })
        })
        .collect();
    // What `btc wallet create --watch` and Bitcoin Core's `importdescriptors` read.
    output.show(&rows, || {
        let lines = descriptors.iter().map(|(_, receive, change)| {
            keys::both_chains(receive, change).unwrap_or_else(|| format!("{receive}\n{change}"))
        });
        lines.map(|line| line + "\n").collect()
    })?;
    Ok(Code::Ok)
}
