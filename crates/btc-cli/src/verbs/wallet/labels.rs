//! `btc labels`: what people call their transactions, addresses and coins (BIP329).

use std::fs;
use std::io::Read;
use std::path::Path;

use btc::WalletInterface;
use btc::rust::wallet::labels::{format_jsonl, parse_jsonl};
use serde_json::json;

use super::{configuration, open};
use crate::exit::{Code, Failure};
use crate::flags::LabelsVerb;
use crate::output::{self, Output};
use crate::verbs::Done;

/// More labels than people write.
const MAX_LABEL_BYTES: u64 = 256 << 20;

pub(super) fn run(output: Output, verb: &LabelsVerb) -> Done {
    match verb {
        LabelsVerb::Export => export(output),
        LabelsVerb::Import { file } => import(output, file),
    }
}

/// One JSON object a line, as BIP329 wants it; a list with `--json`.
fn export(output: Output) -> Done {
    let all = open(&configuration()?)?.labels()?;
    if output.is_json {
        output.show(&all, String::new)?;
    } else {
        output::print(format_jsonl(&all).as_bytes())?;
    }
    Ok(Code::Ok)
}

fn import(output: Output, file: &Path) -> Done {
    let config = configuration()?;
    let mut text = String::new();
    let read = if file.as_os_str() == "-" {
        std::io::stdin()
            .take(MAX_LABEL_BYTES)
            .read_to_string(&mut text)
    } else {
        fs::File::open(file).and_then(|file| file.take(MAX_LABEL_BYTES).read_to_string(&mut text))
    };
    read.map_err(|cause| {
        let message = format!("the labels in `{}` cannot be read: {cause}", file.display());
        Failure::Other(Code::Usage, message)
    })?;
    let labels = parse_jsonl(&text)?;
    let changed = open(&config)?.import_labels(&labels)?;
    output.show(&json!({"read": labels.len(), "changed": changed}), || {
        format!("read {}, changed {changed}", labels.len())
    })?;
    Ok(Code::Ok)
}
