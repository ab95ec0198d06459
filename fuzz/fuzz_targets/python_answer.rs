//! Fuzzes the border that reads the answers of the Python side.
//!
//! A value that is read means the same when it is written and read again. A refusal names the
//! operation and says something; text that is not JSON is always an invalid response.

#![no_main]

use std::fmt::Debug;

use arbitrary::Arbitrary;
use btc::python::decode_response;
use btc::{BitcoinResult, BitcoinTransaction, ErrorKind, Operation};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

#[derive(Arbitrary, Debug)]
enum Input {
    /// Any bytes as the answer to one of three questions.
    Raw(u8, Vec<u8>),
    /// A transaction in form, with any text where its values go.
    Transaction(Box<Fields>),
    /// An exception in form.
    Exception(String, String, String, Option<String>),
}

#[derive(Arbitrary, Debug)]
struct Fields {
    txid: Hash,
    wtxid: Hash,
    numbers: [i64; 4],
    inputs: Vec<(Hash, u64, String, i64, Vec<String>)>,
    outputs: Vec<(u64, String)>,
    facts: (Option<u64>, Option<Hash>, Option<i64>),
}

#[derive(Arbitrary, Debug)]
enum Hash {
    Bytes([u8; 32]),
    Text(String),
}

fuzz_target!(|input: Input| {
    match input {
        Input::Raw(kind, bytes) => match kind % 3 {
            0 => drop(check::<BitcoinTransaction>(
                Operation::GetTransaction,
                &bytes,
            )),
            1 => drop(check::<Vec<BitcoinTransaction>>(
                Operation::GetBlock,
                &bytes,
            )),
            _ => drop(check::<u32>(Operation::GetBlockHeight, &bytes)),
        },
        Input::Transaction(fields) => {
            let transaction = fields.json();
            let answer = json!({ "ok": transaction }).to_string();
            let read = check::<BitcoinTransaction>(Operation::GetTransaction, answer.as_bytes());
            if let Ok(read) = read {
                let written = serde_json::to_value(&read).expect("a transaction is plain data");
                assert_eq!(lower(&written), lower(&transaction));
            }
        }
        Input::Exception(kind, message, python_type, traceback) => {
            let answer = json!({ "error": {
                "kind": kind, "message": message, "python_type": python_type,
                "traceback": traceback.clone().unwrap_or_default(),
            } });
            let answer = answer.to_string();
            let error = check::<u32>(Operation::GetBlockHeight, answer.as_bytes())
                .expect_err("an exception is never a value");
            let known = ErrorKind::ALL
                .into_iter()
                .find(|known| known.as_str() == kind);
            assert_eq!(error.kind(), known.unwrap_or(ErrorKind::Internal));
            let causes: Vec<_> = error.causes().map(ToString::to_string).collect();
            assert_eq!(causes[0], format!("{python_type}: {message}"));
            assert_eq!(causes[1], traceback.unwrap_or_default());
        }
    }
});

fn check<T>(operation: Operation, bytes: &[u8]) -> BitcoinResult<T>
where
    T: serde::de::DeserializeOwned + serde::Serialize + PartialEq + Debug,
{
    let decoded = decode_response::<T>(operation, bytes);
    match &decoded {
        Ok(value) => {
            let answer = json!({ "ok": value }).to_string();
            let again = decode_response::<T>(operation, answer.as_bytes());
            assert_eq!(again.expect("its own output"), *value);
        }
        Err(error) => {
            assert_eq!(error.operation(), operation);
            assert!(!error.message().is_empty());
            if serde_json::from_slice::<Value>(bytes).is_err() {
                assert_eq!(error.kind(), ErrorKind::InvalidResponse);
            }
        }
    }
    decoded
}

impl Fields {
    fn json(&self) -> Value {
        let [version, lock_time, size, weight] = self.numbers;
        let inputs: Vec<_> = self
            .inputs
            .iter()
            .map(|(txid, vout, script, sequence, witness)| {
                let previous_output = format!("{}:{vout}", txid.text());
                json!({ "previous_output": previous_output, "script_sig": script,
                    "sequence": sequence, "witness": witness })
            })
            .collect();
        let outputs: Vec<_> = self
            .outputs
            .iter()
            .map(|(value_sat, script)| json!({ "value_sat": value_sat, "script_pubkey": script }))
            .collect();
        let (fee_sat, block_hash, block_height) = &self.facts;
        json!({
            "txid": self.txid.text(), "wtxid": self.wtxid.text(), "version": version,
            "lock_time": lock_time, "inputs": inputs, "outputs": outputs, "size": size,
            "weight": weight, "fee_sat": fee_sat, "block_height": block_height,
            "block_hash": block_hash.as_ref().map(Hash::text),
        })
    }
}

impl Hash {
    fn text(&self) -> String {
        match self {
            Self::Bytes(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            Self::Text(text) => text.clone(),
        }
    }
}

/// Hexadecimal may be written in either case.
fn lower(value: &Value) -> String {
    value.to_string().to_lowercase()
}
