//! Lines to calls: our own, and those of a log that others wrote.

use std::collections::BTreeMap;

use btc_iface::rust_bitcoin::consensus::encode;
use btc_iface::rust_bitcoin::{Transaction, Txid};
use btc_iface::{BitcoinResult, ErrorKind, Operation};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::call::{Call, RecordedCall};
use super::error;

/// What a line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A call was made.
    Call(RecordedCall),
    /// So many calls were made here that could not be recorded.
    Lost(u64),
}

/// The names of methods: those of the interface, and others that stand for them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Methods(BTreeMap<String, Operation>);

/// Bitcoin Core's names.
const CORE: [(&str, Operation); 5] = [
    ("getrawtransaction", Operation::GetTransaction),
    ("getblock", Operation::GetBlock),
    ("getblockcount", Operation::GetBlockHeight),
    ("estimatesmartfee", Operation::EstimateFee),
    ("sendrawtransaction", Operation::BroadcastTransaction),
];

impl Methods {
    /// The interface's names and those of Bitcoin Core's RPC: `getrawtransaction`, `getblock`,
    /// `getblockcount`, `estimatesmartfee`, `sendrawtransaction`.
    pub fn of_core() -> Self {
        let names = CORE.map(|(name, operation)| (name.to_owned(), operation));
        Self(names.into_iter().collect())
    }

    /// Adds names, as in `gettx=get_transaction,blockcount=get_block_height`.
    ///
    /// # Errors
    /// `InvalidInput`: not such a list, or no such operation.
    pub fn with(mut self, list: &str) -> BitcoinResult<Self> {
        let parts = list.split(',').map(str::trim);
        for part in parts.filter(|part| !part.is_empty()) {
            let pair = part.split_once('=').map(|(a, b)| (a.trim(), b.trim()));
            let known = pair
                .filter(|(name, _)| !name.is_empty())
                .and_then(|(name, ours)| Some((name, operation(ours)?)));
            let Some((name, operation)) = known else {
                let message = "not a name with its operation; write getblock=get_block";
                return Err(error(ErrorKind::InvalidInput, message).with_context("map", part));
            };
            self.0.insert(name.to_owned(), operation);
        }
        Ok(self)
    }
}

/// The operation of this name.
fn operation(name: &str) -> Option<Operation> {
    let mut calls = Operation::CALLS.into_iter();
    calls.find(|operation| operation.as_str() == name)
}

#[derive(Deserialize)]
struct Raw {
    method: Option<String>,
    #[serde(default, alias = "params", alias = "args")]
    arguments: Value,
    time_ms: Option<u64>,
    key: Option<String>,
    lost_calls: Option<u64>,
}

impl Entry {
    /// Reads a line, with or without its end.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(line: &[u8], methods: &Methods) -> Result<Self, String> {
        let raw: Raw = serde_json::from_slice(line.trim_ascii()).map_err(|cause| {
            // It may repeat what it did not expect.
            format!(
                "not a recorded call: {}",
                beginning(&cause.to_string(), 160)
            )
        })?;
        let Some(method) = raw.method else {
            let lost = raw.lost_calls.ok_or("it names no method")?;
            return Ok(Self::Lost(lost));
        };
        let own = operation(&method);
        let operation = own
            .or_else(|| methods.0.get(&method).copied())
            .ok_or_else(|| format!("`{}` is no method that is known", shown(&method)))?;
        // Methods of others may take more than ours.
        let arguments = Arguments::new(raw.arguments, own.is_some())?;
        Ok(Self::Call(RecordedCall {
            call: call(operation, arguments)?,
            time_ms: raw.time_ms,
            key: raw.key,
        }))
    }
}

fn call(operation: Operation, mut arguments: Arguments) -> Result<Call, String> {
    let call = match operation {
        Operation::GetTransaction => Call::GetTransaction {
            txid: arguments.text(&["txid"])?,
        },
        Operation::GetBlock => Call::GetBlock {
            hash: arguments.text(&["hash", "blockhash", "block_hash"])?,
        },
        Operation::GetBlockHeight => Call::GetBlockHeight,
        Operation::GenerateAddress => Call::GenerateAddress {
            address_type: arguments
                .text(&["address_type"])?
                .parse()
                .map_err(|_| "no such address type; use p2pkh, p2sh-p2wpkh, p2wpkh or p2tr")?,
        },
        Operation::CreateTransaction => Call::CreateTransaction {
            outputs: outputs(arguments.take(&["outputs"])?)?,
            fee_rate_sat_per_vb: arguments.number(&["fee_rate", "fee_rate_sat_per_vb"])?,
        },
        Operation::BroadcastTransaction => Call::BroadcastTransaction {
            txid: sent(&arguments.take(&["transaction", "txid", "hexstring", "hex"])?)?,
        },
        Operation::GetBalance => Call::GetBalance,
        Operation::EstimateFee => {
            let target = arguments.number(&["target_blocks", "conf_target"])?;
            let target_blocks = u8::try_from(target).map_err(|_| {
                format!("a target of {target} blocks does not fit; 255 is the most")
            })?;
            Call::EstimateFee { target_blocks }
        }
        _ => return Err(format!("`{operation}` is no operation of the interface")),
    };
    arguments.end()?;
    Ok(call)
}

/// What a call is made with: a list by position, or an object by name.
struct Arguments {
    values: Values,
    is_strict: bool,
}

enum Values {
    List(std::vec::IntoIter<Value>),
    Named(Map<String, Value>),
}

impl Arguments {
    fn new(value: Value, is_strict: bool) -> Result<Self, String> {
        let values = match value {
            Value::Null => Values::List(Vec::new().into_iter()),
            Value::Array(list) => Values::List(list.into_iter()),
            Value::Object(named) => Values::Named(named),
            _ => return Err("the arguments are neither a list nor an object".to_owned()),
        };
        Ok(Self { values, is_strict })
    }

    /// The next argument, by position or by one of its names.
    fn take(&mut self, names: &[&str]) -> Result<Value, String> {
        let found = match &mut self.values {
            Values::List(list) => list.next(),
            Values::Named(values) => names.iter().find_map(|name| values.remove(*name)),
        };
        let name = names.first().copied().unwrap_or_default();
        found.ok_or_else(|| format!("the argument `{name}` is missing"))
    }

    fn text(&mut self, names: &[&str]) -> Result<String, String> {
        match self.take(names)? {
            Value::String(text) => Ok(text),
            other => Err(format!("{} is no text", shown(&other.to_string()))),
        }
    }

    fn number(&mut self, names: &[&str]) -> Result<u64, String> {
        number(&self.take(names)?)
    }

    /// That nothing is left which would have meant something.
    fn end(self) -> Result<(), String> {
        match self.values {
            Values::List(list) if self.is_strict && list.len() > 0 => {
                Err("there are more arguments than the method takes".to_owned())
            }
            _ => Ok(()),
        }
    }
}

fn number(value: &Value) -> Result<u64, String> {
    value
        .as_u64()
        .ok_or_else(|| format!("{} is no whole number that fits", shown(&value.to_string())))
}

/// `[[address, satoshi], …]`, `[{"address": …, "value_sat": …}, …]` or `{address: satoshi, …}`.
fn outputs(value: Value) -> Result<Vec<(String, u64)>, String> {
    let wrong = || "an output is an address with an amount in satoshi".to_owned();
    match value {
        Value::Object(by_address) => by_address
            .into_iter()
            .map(|(address, value)| Ok((address, number(&value)?)))
            .collect(),
        Value::Array(list) => list
            .into_iter()
            .map(|output| {
                let (address, value) = match output {
                    Value::Array(pair) => {
                        let [address, value] = <[Value; 2]>::try_from(pair).map_err(|_| wrong())?;
                        (address, value)
                    }
                    Value::Object(mut named) => (
                        named.remove("address").ok_or_else(wrong)?,
                        named.remove("value_sat").ok_or_else(wrong)?,
                    ),
                    _ => return Err(wrong()),
                };
                let Value::String(address) = address else {
                    return Err(wrong());
                };
                Ok((address, number(&value)?))
            })
            .collect(),
        _ => Err("the outputs are neither a list nor an object".to_owned()),
    }
}

/// The txid of what was sent: as such, or of a transaction in hexadecimal or with its fields.
fn sent(value: &Value) -> Result<Txid, String> {
    let text = match value {
        Value::String(text) => text,
        Value::Object(fields) => match fields.get("txid") {
            Some(Value::String(txid)) => txid,
            _ => return Err("the transaction has no txid".to_owned()),
        },
        _ => return Err("the transaction is neither a text nor an object".to_owned()),
    };
    if let Ok(txid) = text.parse() {
        return Ok(txid);
    }
    encode::deserialize_hex::<Transaction>(text)
        .map(|transaction| transaction.compute_txid())
        .map_err(|_| "the text is neither a txid nor a transaction in hexadecimal".to_owned())
}

/// A value that may be anything, for a message.
fn shown(text: &str) -> String {
    beginning(text, 40)
}

/// The beginning of a text, without control characters.
fn beginning(text: &str, max_chars: usize) -> String {
    let mut shown: String = text
        .chars()
        .take(max_chars)
        .map(|c| if c.is_control() { '?' } else { c })
        .collect();
    if text.chars().nth(max_chars).is_some() {
        shown.push('…');
    }
    shown
}
