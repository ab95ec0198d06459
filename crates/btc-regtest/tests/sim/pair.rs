//! `Pair`: a simulated node and Bitcoin Core with the same chain, asked the same.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Mutex;

use bitcoin::base64::Engine as _;
use bitcoin::base64::engine::general_purpose::STANDARD as BASE64;
use bitcoin::consensus::encode;
use bitcoin::{Transaction, Txid};
use btc_regtest::sim::{Deed, OpenCoin, SimBuilder, SimNode, coins};
use btc_regtest::{Node, NodeBuilder};
use serde_json::{Value, json};

/// An answer: the result, or code and message.
pub(crate) type Said = Result<Value, (i64, String)>;

/// Both nodes.
pub(crate) struct Pair {
    pub(crate) sim: SimNode,
    pub(crate) core: Node,
    /// How many deeds Core has seen.
    mirrored: Mutex<usize>,
}

/// The kinds of calls and answers that were compared in this process.
static SEEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// What was compared so far.
pub(crate) fn seen() -> BTreeSet<String> {
    SEEN.lock().unwrap().clone()
}

/// Notes a kind of call.
pub(crate) fn note(kind: String) {
    SEEN.lock().unwrap().insert(kind);
}

/// Core as the program that `BITCOIND_EXE` names, if it does.
pub(crate) fn builder() -> NodeBuilder {
    match std::env::var_os("BITCOIND_EXE") {
        Some(exe) => Node::builder().exe(exe),
        None => Node::builder(),
    }
}

impl Pair {
    pub(crate) fn start() -> Self {
        Self::with(SimNode::builder(), builder())
    }

    /// Starts both, and gives Core the blocks that the simulated node begins with.
    pub(crate) fn with(sim: SimBuilder, core: NodeBuilder) -> Self {
        let sim = sim.start().expect("a simulated node");
        let core = core.block_filters(true).start().expect("Bitcoin Core");
        let pair = Self {
            sim,
            core,
            mirrored: Mutex::new(0),
        };
        pair.set_clock();
        for placed in pair.sim.blocks_from(1) {
            pair.submit_block(&encode::serialize_hex(&placed.block));
        }
        pair.assert_same_state();
        pair
    }

    fn set_clock(&self) {
        let now = json!(self.sim.now_secs());
        let _: Value = self.core.call("setmocktime", &[now]).expect("a clock");
    }

    fn submit_block(&self, hex: &str) {
        let said: Value = self
            .core
            .call("submitblock", &[json!(hex)])
            .expect("Core reads the block");
        let is_fine = said.is_null() || said == "inconclusive" || said == "duplicate";
        assert!(is_fine, "Core refuses a block: {said}");
    }

    /// Does to Core what was done to the simulated node since; transactions that were sent over
    /// RPC are left to [`same`](Self::same).
    pub(crate) fn mirror(&self) {
        let mut mirrored = self.mirrored.lock().unwrap();
        let journal = self.sim.journal();
        for deed in &journal[*mirrored..] {
            match deed {
                Deed::Clock(_) => self.set_clock(),
                Deed::Block(block) => self.submit_block(&encode::serialize_hex(&**block)),
                Deed::Sent(transaction, refusal) => {
                    self.send_to_core(transaction, refusal.as_ref());
                }
                Deed::Invalidated(hash) => {
                    let _: Value = self.core.call("invalidateblock", &[json!(hash)]).unwrap();
                }
                Deed::Reconsidered(hash) => {
                    let _: Value = self.core.call("reconsiderblock", &[json!(hash)]).unwrap();
                }
                other => panic!("not mirrored: {other:?}"),
            }
        }
        *mirrored = journal.len();
    }

    fn send_to_core(&self, transaction: &Transaction, refusal: Option<&(i32, String)>) {
        let hex = encode::serialize_hex(transaction);
        let params = [json!(hex), json!(0), json!("21000000")];
        let said = said(self.core.call::<Value>("sendrawtransaction", &params));
        let ours = match refusal {
            None => Ok(json!(transaction.compute_txid())),
            Some((code, message)) => Err((i64::from(*code), message.clone())),
        };
        assert_eq!(ours, said, "the judgement on {transaction:#?}");
    }

    /// Calls both and compares: what the simulated node says, Core says too.
    #[track_caller]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "the callers write the parameters as literals"
    )]
    pub(crate) fn same(&self, method: &str, params: Value) -> Said {
        let params = params.as_array().cloned().expect("parameters in a list");
        let ours = self.ask_sim(method, &params);
        let theirs = said(self.core.call::<Value>(method, &params));
        let what = format!("{method} {params:?}");
        match (&ours, &theirs) {
            (Ok(ours), Ok(theirs)) => assert_within(&what, ours, theirs),
            _ => assert_eq!(ours, theirs, "{what}"),
        }
        let kind = match &ours {
            Ok(_) => method.to_owned(),
            Err((code, _)) => format!("{method}: {code}"),
        };
        note(kind);
        // What was sent here was sent there as well.
        let mut mirrored = self.mirrored.lock().unwrap();
        if matches!(method, "sendrawtransaction" | "submitpackage") {
            *mirrored = self.sim.journal().len();
        }
        ours
    }

    /// The same over REST: status and bytes.
    #[track_caller]
    pub(crate) fn same_rest(&self, path: &str) -> (u16, Vec<u8>) {
        let ours = get(&self.sim.rpc_url(), path);
        let theirs = get(&self.core.rpc_url(), path);
        assert_eq!(ours, theirs, "{path}");
        let kind = path.split('/').nth(2).unwrap_or_default();
        note(format!("REST {kind}: {}", ours.0));
        ours
    }

    /// The same as raw JSON-RPC: the HTTP status and the members of the answer.
    #[track_caller]
    pub(crate) fn same_raw(&self, body: &Value) {
        let ours = post(&self.sim.rpc_url(), &login(&self.sim.cookie_file()), body);
        let cookie = self.core.cookie_file().expect("Core has a cookie");
        let theirs = post(&self.core.rpc_url(), &login(&cookie), body);
        assert_eq!(ours, theirs, "{body}");
        note(format!("raw: {}", ours.0));
    }

    pub(crate) fn ask_sim(&self, method: &str, params: &[Value]) -> Said {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let login = login(&self.sim.cookie_file());
        let (status, answer) = post(&self.sim.rpc_url(), &login, &body);
        assert_eq!(status, 200, "{method}: {answer}");
        match answer.get("error").filter(|error| !error.is_null()) {
            None => Ok(answer["result"].clone()),
            Some(error) => Err((
                error["code"].as_i64().expect("a code"),
                error["message"].as_str().expect("a message").to_owned(),
            )),
        }
    }

    /// That both have the same tip and the same mempool, entry by entry.
    #[track_caller]
    pub(crate) fn assert_same_state(&self) {
        self.same("getbestblockhash", json!([])).unwrap();
        self.same("getrawmempool", json!([true])).unwrap();
        let count = |said: Value| said.as_object().map(serde_json::Map::len);
        let theirs: Value = self.core.call("getrawmempool", &[json!(true)]).unwrap();
        assert_eq!(count(theirs), Some(self.sim.mempool().len()));
    }

    /// A coin of its own for each test part.
    pub(crate) fn coin(&self) -> OpenCoin {
        let coins = self.sim.open_coins();
        *coins.first().expect("a mature reward")
    }

    /// Sends to both; they must agree.
    #[track_caller]
    pub(crate) fn send(&self, transaction: &Transaction) -> Said {
        self.same(
            "sendrawtransaction",
            json!([encode::serialize_hex(transaction)]),
        )
    }

    /// Sends to both, and both take it.
    #[track_caller]
    pub(crate) fn taken(&self, transaction: &Transaction) -> Txid {
        self.send(transaction).expect("it is taken");
        transaction.compute_txid()
    }

    /// Mines the mempool on the simulated node and hands the block to Core.
    pub(crate) fn mine(&self) {
        self.sim.mine(coins::script(0)).unwrap();
        self.mirror();
        self.assert_same_state();
    }
}

/// A call of Core's client.
pub(crate) fn said(result: Result<Value, btc_regtest::NodeError>) -> Said {
    result.map_err(|error| {
        let code = error.rpc_code().expect("an error of Core's");
        let message = error.rpc_message().unwrap_or_default().to_owned();
        (i64::from(code), message)
    })
}

/// Members that this node makes up, or that depend on memory and on the build.
const FREE: [&str; 1] = ["mempool_sequence"];

/// That `ours` is in `theirs`: each member, whatever there is beyond. Lists are sets.
#[track_caller]
pub(crate) fn assert_within(at: &str, ours: &Value, theirs: &Value) {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(all)) => {
            for (name, value) in ours {
                if FREE.contains(&name.as_str()) {
                    continue;
                }
                let Some(other) = all.get(name) else {
                    panic!("{at}: Core has no {name}: {theirs}");
                };
                assert_within(&format!("{at}.{name}"), value, other);
            }
        }
        (Value::Array(ours), Value::Array(theirs)) => {
            let sorted = |list: &Vec<Value>| {
                let mut list: Vec<String> = list.iter().map(Value::to_string).collect();
                list.sort();
                list
            };
            if ours.iter().any(Value::is_object) {
                assert_eq!(ours.len(), theirs.len(), "{at}");
                for (number, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
                    assert_within(&format!("{at}[{number}]"), ours, theirs);
                }
            } else {
                assert_eq!(sorted(ours), sorted(theirs), "{at}");
            }
        }
        _ => assert_eq!(ours, theirs, "{at}"),
    }
}

pub(crate) fn login(cookie: &PathBuf) -> String {
    let pair = std::fs::read_to_string(cookie).expect("a cookie");
    format!("Basic {}", BASE64.encode(pair.trim()))
}

pub(crate) fn post(url: &str, login: &str, body: &Value) -> (u16, Value) {
    let body = body.to_string();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: node\r\nAuthorization: {login}\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    let (status, bytes) = exchange(url, &(head + &body)).expect("an answer");
    let answer = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    (status, answer)
}

pub(crate) fn get(url: &str, path: &str) -> (u16, Vec<u8>) {
    let head = format!("GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n");
    exchange(url, &head).expect("an answer")
}

/// None: the connection was closed without an answer.
pub(crate) fn exchange(url: &str, request: &str) -> Option<(u16, Vec<u8>)> {
    let authority = url.strip_prefix("http://").expect("a url");
    let mut stream = TcpStream::connect(authority).expect("a connection");
    stream.write_all(request.as_bytes()).ok()?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let status = line.split_whitespace().nth(1)?.parse().ok()?;
    let mut length = 0;
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((status, body))
}
