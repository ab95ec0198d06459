//! Labels as text: one JSON object a line.

use btc_iface::{BitcoinResult, Label};

use super::{canonical, kind_of};
use crate::wallet::fault;

/// Reads labels as BIP329 writes them, one JSON object a line. Types that BIP329 does not know
/// yet and further fields are passed over; nothing is truncated.
///
/// # Errors
/// `InvalidInput`: a line that is not a label; the message has its number.
pub fn parse_jsonl(text: &str) -> BitcoinResult<Vec<Label>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = (1..).zip(text.lines());
    lines
        .filter(|(_, line)| !line.trim().is_empty())
        .filter_map(|(number, line)| parse_line(line, number).transpose())
        .collect()
}

/// Writes labels as BIP329 does, one JSON object a line.
pub fn format_jsonl(labels: &[Label]) -> String {
    labels.iter().map(format_line).collect()
}

fn format_line(label: &Label) -> String {
    serde_json::to_string(label).expect("plain data with text keys") + "\n"
}

fn parse_line(line: &str, number: usize) -> BitcoinResult<Option<Label>> {
    let wrong = |what: &str| fault::invalid(format!("line {number} of the labels {what}"));
    let mut value: serde_json::Value = serde_json::from_str(line)
        .map_err(|cause| wrong("is not JSON; give one object a line").with_source(cause))?;
    let Some(name) = value.get("type").and_then(serde_json::Value::as_str) else {
        return Err(wrong("has no type; BIP329 asks for `type` and `ref`"));
    };
    if kind_of(name).is_none() {
        return Ok(None);
    }
    // Until 2025 BIP329's own example had the truth as a text.
    if let Some(spendable) = value.get_mut("spendable") {
        match spendable.as_str() {
            Some("true") => *spendable = true.into(),
            Some("false") => *spendable = false.into(),
            _ => {}
        }
    }
    let mut label: Label = serde_json::from_value(value)
        .map_err(|cause| wrong("is not a label of BIP329").with_source(cause))?;
    label.reference = canonical(label.kind, &label.reference)
        .map_err(|cause| wrong(&format!("is wrong: {}", cause.message())))?;
    Ok(Some(label))
}

/// BIP329's own example, with what later versions of it add.
#[cfg(test)]
pub(super) const EXAMPLE: &str = r#"{ "type": "tx", "ref": "f91d0a8a78462bc59398f2c5d7a84fcff491c26ba54c4833478b202796c8aafd", "label": "Transaction", "origin": "wpkh([d34db33f/84'/0'/0'])", "height": 800000, "fee": 1000 }
{ "type": "addr", "ref": "bc1q34aq5drpuwy3wgl9lhup9892qp6svr8ldzyy7c", "label": "Address" }
{ "type": "pubkey", "ref": "0283409659355b6d1cc3c32decd5d561abaac86c37a353b52895a5e6c196d6f448", "label": "Public Key" }

{ "type": "input", "ref": "f91d0a8a78462bc59398f2c5d7a84fcff491c26ba54c4833478b202796c8aafd:0", "label": "Input" }
{ "type": "spscan", "ref": "whatever", "label": "A type that is not ours" }
{ "type": "output", "ref": "f91d0a8a78462bc59398f2c5d7a84fcff491c26ba54c4833478b202796c8aafd:1", "label": "Output", "spendable": false }
{ "type": "xpub", "ref": "xpub661MyMwAqRbcFtXgS5sYJABqqG9YLmC4Q1Rdap9gSE8NqtwybGhePY2gZ29ESFjqJoCu1Rupje8YtGqsefD265TMg7usUDFdp6W1EGMcet8", "label": "Extended Public Key" }
"#;

#[cfg(test)]
mod tests {
    use super::*;
    use btc_iface::{ErrorKind, LabelKind};
    use proptest::prelude::*;

    #[test]
    fn a_wrong_line_is_named() {
        for (line, said) in [
            ("nonsense", "is not JSON"),
            ("[]", "has no type"),
            (r#"{"ref": "x", "label": "y"}"#, "has no type"),
            (r#"{"type": "tx", "label": "y"}"#, "not a label"),
            (r#"{"type": "tx", "ref": "f9"}"#, "not a txid"),
            (r#"{"type": "addr", "ref": " "}"#, "empty"),
            (r#"{"type": "addr", "ref": "a", "label": 1}"#, "not a label"),
            (
                r#"{"type": "output", "ref": "f91d0a8a78462bc59398f2c5d7a84fcff491c26ba54c4833478b202796c8aafd:1", "spendable": "no"}"#,
                "not a label",
            ),
        ] {
            let error = parse_jsonl(&format!("{EXAMPLE}{line}\n")).expect_err(line);
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{line}");
            let message = error.message();
            assert!(message.starts_with("line 9 of the labels"), "{message}");
            assert!(message.contains(said), "{line}: {message}");
        }
    }

    #[test]
    fn spendable_may_be_a_text() {
        let output = "f91d0a8a78462bc59398f2c5d7a84fcff491c26ba54c4833478b202796c8aafd:1";
        let read = |spendable: &str| {
            let line = format!(
                r#"{{"label":"rent","ref":"{output}","spendable":{spendable},"type":"output"}}"#
            );
            parse_jsonl(&line).map(|labels| labels[0].spendable)
        };
        for (written, expected) in [
            ("true", Some(true)),
            ("false", Some(false)),
            ("\"true\"", Some(true)),
            ("\"false\"", Some(false)),
            ("null", None),
        ] {
            assert_eq!(read(written).expect(written), expected, "{written}");
        }
        for wrong in ["\"True\"", "\"\"", "\"1\"", "0", "[]"] {
            let error = read(wrong).expect_err(wrong);
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{wrong}");
        }
    }

    fn labels() -> impl Strategy<Value = Vec<Label>> {
        let place = || ("[0-9a-f]{64}", any::<u32>()).prop_map(|(id, n)| format!("{id}:{n}"));
        let key = prop_oneof![
            "[0-9a-f]{64}".prop_map(|id| (LabelKind::Tx, id)),
            "[a-z0-9]{1,40}".prop_map(|text| (LabelKind::Addr, text)),
            "0[23][0-9a-f]{64}".prop_map(|key| (LabelKind::Pubkey, key)),
            place().prop_map(|place| (LabelKind::Input, place)),
            place().prop_map(|place| (LabelKind::Output, place)),
            "xpub[a-zA-Z0-9]{1,100}".prop_map(|key| (LabelKind::Xpub, key)),
        ];
        let label = (
            key,
            any::<Option<String>>(),
            any::<Option<String>>(),
            any::<Option<bool>>(),
        );
        let label = label.prop_map(|((kind, reference), label, origin, spendable)| Label {
            kind,
            reference,
            label,
            origin,
            spendable,
        });
        proptest::collection::vec(label, 0..8)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_written_is_read_back(labels in labels()) {
            let text = format_jsonl(&labels);
            prop_assert_eq!(text.lines().count(), labels.len());
            prop_assert_eq!(parse_jsonl(&text).expect("own output"), labels);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "(\\PC|\n|\\{|\"type\":\"tx\"|\\}){0,60}") {
            let _ = parse_jsonl(&text);
        }
    }
}
