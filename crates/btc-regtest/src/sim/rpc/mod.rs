//! The methods that a simulated node answers, and their parameters.

mod blocks;
mod mempool;
mod send;

use bitcoin::Txid;
use serde_json::Value;

pub(super) use self::send::hand_over;
use super::json::{Answer, RpcError, answer, code};
use super::world::World;

/// Answers a call.
pub(super) fn call(world: &mut World, method: &str, params: &[Value]) -> Answer {
    let params = Params(params);
    match method {
        "estimatesmartfee" => mempool::estimate_smart_fee(world, &params),
        "getbestblockhash" => answer(world.blocks.tip().hash),
        "getblock" => blocks::block(world, &params),
        "getblockchaininfo" => blocks::chain_info(world),
        "getblockcount" => answer(world.blocks.height()),
        "getblockfilter" => blocks::filter(world, &params),
        "getblockhash" => blocks::hash(world, &params),
        "getblockheader" => blocks::header(world, &params),
        "getindexinfo" => blocks::index_info(world, &params),
        "getmempoolancestors" => mempool::relatives(world, &params, mempool::Side::Ancestors),
        "getmempooldescendants" => mempool::relatives(world, &params, mempool::Side::Descendants),
        "getmempoolcluster" => mempool::cluster(world, &params),
        "getmempoolentry" => mempool::entry(world, &params),
        "getmempoolinfo" => mempool::info(world),
        "getnetworkinfo" => mempool::network_info(world),
        "getpeerinfo" => answer([0_u8; 0]),
        "getrawmempool" => mempool::raw_mempool(world, &params),
        "getrawtransaction" => mempool::raw_transaction(world, &params),
        "gettxout" => blocks::tx_out(world, &params),
        "gettxspendingprevout" => mempool::spending(world, &params),
        "sendrawtransaction" => send::send(world, &params),
        "submitpackage" => send::submit_package(world, &params),
        "testmempoolaccept" => send::test(world, &params),
        "uptime" => answer(world.now_secs - world.started_secs),
        _ => Err(RpcError::new(code::METHOD_NOT_FOUND, "Method not found")),
    }
}

/// The parameters of a call, by position.
struct Params<'p>(&'p [Value]);

impl Params<'_> {
    fn get(&self, at: usize) -> Option<&Value> {
        self.0.get(at).filter(|value| !value.is_null())
    }

    fn needed(&self, at: usize, name: &str, expected: &str) -> Result<&Value, RpcError> {
        let value = self.get(at).unwrap_or(&Value::Null);
        let is_fitting = match expected {
            "string" => value.is_string(),
            "number" => value.is_number(),
            "array" => value.is_array(),
            _ => true,
        };
        if is_fitting {
            return Ok(value);
        }
        // A needed parameter that is absent brings up the method's help.
        if self.0.len() <= at {
            return Err(RpcError::new(code::MISC, format!("{name} is needed")));
        }
        Err(wrong_type(at, name, value, expected))
    }

    fn text(&self, at: usize, name: &str) -> Result<&str, RpcError> {
        let value = self.needed(at, name, "string")?;
        Ok(value.as_str().unwrap_or_default())
    }

    fn number(&self, at: usize, name: &str) -> Result<i64, RpcError> {
        let value = self.needed(at, name, "number")?;
        value
            .as_i64()
            .ok_or_else(|| RpcError::new(code::MISC, "JSON integer out of range"))
    }

    fn texts(&self, at: usize, name: &str) -> Result<Vec<&str>, RpcError> {
        let value = self.needed(at, name, "array")?;
        let items = value.as_array().into_iter().flatten();
        items
            .map(|item| {
                item.as_str().ok_or_else(|| {
                    let message = format!(
                        "JSON value of type {} is not of expected type string",
                        type_name(item)
                    );
                    RpcError::new(code::TYPE, message)
                })
            })
            .collect()
    }

    fn flag(&self, at: usize, name: &str, default: bool) -> Result<bool, RpcError> {
        match self.get(at) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Err(wrong_type(at, name, other, "bool")),
        }
    }

    /// A number, or a flag that stands for 0 and 1.
    fn verbosity(&self, at: usize, default: i64) -> Result<i64, RpcError> {
        match self.get(at) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(i64::from(*flag)),
            Some(value) => value.as_i64().ok_or_else(|| {
                let name = type_name(value);
                let message = format!("JSON value of type {name} is not of expected type number");
                RpcError::new(code::TYPE, message)
            }),
        }
    }

    fn txid(&self, at: usize, name: &str) -> Result<Txid, RpcError> {
        let text = self.hash(at, name)?;
        Ok(text.parse().expect("64 hexadecimal digits are a txid"))
    }

    /// 64 hexadecimal digits.
    fn hash(&self, at: usize, name: &str) -> Result<&str, RpcError> {
        const DIGITS: usize = 64;
        let text = self.text(at, name)?;
        if text.len() == DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(text);
        }
        let message = if text.len() == DIGITS {
            format!("{name} must be hexadecimal string (not '{text}')")
        } else {
            let length = text.len();
            format!("{name} must be of length {DIGITS} (not {length}, for '{text}')")
        };
        Err(RpcError::new(code::INVALID_PARAMETER, message))
    }
}

fn wrong_type(at: usize, name: &str, value: &Value, expected: &str) -> RpcError {
    let found = type_name(value);
    let message = format!(
        "Wrong type passed:\n{{\n    \"Position {} ({name})\": \"JSON value of type {found} is not \
         of expected type {expected}\"\n}}",
        at + 1
    );
    RpcError::new(code::TYPE, message)
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
