//! `btc sign-message`: signs a message with the key of an address, or checks a signature.

use std::io::Read;

use btc::rust::wallet::message::{self, Proof, Verdict};
use serde_json::{Value, json};

use super::{any_network, configuration, open_unlocked};
use crate::exit::{Code, Failure};
use crate::flags::SignMessage;
use crate::output::Output;
use crate::verbs::Done;

/// Longer messages are for files with a digest of their own.
const MAX_MESSAGE_BYTES: u64 = 1 << 20;

pub(super) fn run(output: Output, options: &SignMessage) -> Done {
    let text = if options.message == "-" {
        let mut text = String::new();
        std::io::stdin()
            .take(MAX_MESSAGE_BYTES)
            .read_to_string(&mut text)
            .map_err(|cause| {
                Failure::Other(
                    Code::Usage,
                    format!("standard input cannot be read: {cause}"),
                )
            })?;
        text
    } else {
        options.message.clone()
    };
    if let Some(signature) = &options.verify {
        let network = any_network()?;
        let verdict = message::verify(&options.address, &text, signature, network)?;
        output.show(&as_json(&verdict), || as_text(&verdict))?;
        return Ok(if verdict.is_valid() {
            Code::Ok
        } else {
            Code::Failed
        });
    }
    let wallet = open_unlocked(&configuration()?)?;
    let signed = wallet.sign_message_in(&options.address, &text, options.form)?;
    output.show(&signed, || signed.signature.clone())?;
    Ok(Code::Ok)
}

fn as_json(verdict: &Verdict) -> Value {
    let none = |state: &str| json!({ "is_valid": false, "state": state });
    match verdict {
        Verdict::Valid(proof) => json!({
            "is_valid": true,
            "state": "valid",
            "form": proof.form,
            "lock_time": proof.lock_time,
            "sequence": proof.sequence,
            "funds": proof.funds,
        }),
        Verdict::AnotherForm(form) => {
            let mut value = none("another_form");
            value["form"] = json!(form);
            value
        }
        Verdict::Inconclusive => none("inconclusive"),
        Verdict::Invalid => none("invalid"),
    }
}

fn as_text(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Valid(proof) => valid_text(proof),
        Verdict::AnotherForm(form) => format!(
            "another form: the address's key signed this message, but as {form}, which BIP322 does \
             not have for this address. Ask for the form that it has"
        ),
        Verdict::Inconclusive => {
            "inconclusive: the address's script cannot be judged here, or the signature is too large"
                .to_owned()
        }
        Verdict::Invalid => "NOT valid".to_owned(),
    }
}

fn valid_text(proof: &Proof) -> String {
    let lock = if proof.lock_time > 0 || proof.sequence > 0 {
        let (time, age) = (proof.lock_time, proof.sequence);
        format!(" at time {time} and age {age} (lock time and sequence, BIP322)")
    } else {
        String::new()
    };
    let mut lines = vec![format!("valid{lock}")];
    if !proof.funds.is_empty() {
        let said =
            "signed with these outputs too; whether they exist and are unspent is not checked";
        lines.push(said.to_owned());
        lines.extend(proof.funds.iter().map(|outpoint| format!("  {outpoint}")));
    }
    lines.join("\n")
}
