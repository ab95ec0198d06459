//! `btc wallet info`, `sync`, `export`, `labels`: what the wallet is and knows.

use std::fs;
use std::io::Read;
use std::path::Path;

use btc::WalletInterface;
use btc::rust::wallet::labels;
use btc::types::network;
use serde_json::json;

use super::{Done, configuration, follow, is_unreachable, open, remark};
use crate::amount::grouped;
use crate::exit::{Code, Failure};
use crate::output::{self, Output, fields};

/// More labels than people write.
const MAX_LABEL_BYTES: u64 = 256 << 20;

pub(super) fn info(output: Output) -> Done {
    let config = configuration()?;
    let wallet = open(&config)?;
    let info = wallet.info();
    output.show(&info, || {
        fields(&[
            ("network", network::name(info.network).to_owned()),
            (
                "fingerprint",
                info.fingerprint
                    .clone()
                    .unwrap_or_else(|| "unknown".to_owned()),
            ),
            (
                "kind",
                if info.is_watch_only {
                    "watch-only".to_owned()
                } else {
                    "from words".to_owned()
                },
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
            json!({"address_type": address_type, "receive": receive, "change": change})
        })
        .collect();
    output.show(&rows, || {
        descriptors
            .iter()
            .map(|(_, receive, change)| format!("{receive}\n{change}\n"))
            .collect()
    })?;
    Ok(Code::Ok)
}

pub(super) fn labels(output: Output) -> Done {
    let all = open(&configuration()?)?.labels()?;
    if output.is_json {
        output.show(&all, String::new)?;
    } else {
        output::print(labels::format_jsonl(&all).as_bytes())?;
    }
    Ok(Code::Ok)
}

pub(super) fn import_labels(output: Output, file: &Path) -> Done {
    let mut text = String::new();
    let read = if file.as_os_str() == "-" {
        std::io::stdin()
            .take(MAX_LABEL_BYTES)
            .read_to_string(&mut text)
    } else {
        fs::File::open(file).and_then(|file| file.take(MAX_LABEL_BYTES).read_to_string(&mut text))
    };
    read.map_err(|cause| {
        Failure::Other(Code::Usage, format!("the labels cannot be read: {cause}"))
    })?;
    let labels = labels::parse_jsonl(&text)?;
    let changed = open(&configuration()?)?.import_labels(&labels)?;
    output.show(&json!({"read": labels.len(), "changed": changed}), || {
        format!("{} labels read, {changed} changed something", labels.len())
    })?;
    Ok(Code::Ok)
}
