//! A lying Electrum server: it stands before an honest one, and changes answers.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use bitcoin::Txid;
use bitcoin::block::Header;
use bitcoin::consensus::encode::{deserialize, serialize_hex};
use bitcoin::hex::FromHex as _;
use btc_regtest::ElectrumServer;
use btc_regtest::electrum::script_hash;
use serde_json::{Value, json};

use super::forge::{Lies, Swallow};

/// Stands before the server; says what `lies` hold at the time. Returns its URL.
pub(crate) fn liar(honest: &ElectrumServer, lies: Arc<Mutex<Lies>>) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("bound");
    let honest = honest.url().replace("tcp://", "");
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let (honest, lies) = (honest.clone(), Arc::clone(&lies));
            std::thread::spawn(move || serve(&client, &honest, &lies));
        }
    });
    format!("tcp://{address}")
}

/// Ends with either connection.
fn serve(client: &TcpStream, honest: &str, lies: &Mutex<Lies>) -> Option<()> {
    let server = TcpStream::connect(honest).ok()?;
    for stream in [client, &server] {
        stream.set_nodelay(true).ok()?;
    }
    let mut answers = BufReader::new(&server).lines();
    for request in BufReader::new(client).lines() {
        let text = request.ok()?;
        let request: Value = serde_json::from_str(&text).ok()?;
        if let Some(told) = swallow(lies, &request) {
            let mut answer = told;
            answer["id"] = request["id"].clone();
            let mut client = client;
            client.write_all(format!("{answer}\n").as_bytes()).ok()?;
            continue;
        }
        (&server).write_all(format!("{text}\n").as_bytes()).ok()?;
        let mut answer = loop {
            let line = answers.next()?.ok()?;
            let answer: Value = serde_json::from_str(&line).ok()?;
            if answer["id"] == request["id"] {
                break answer;
            }
        };
        let lies = lies.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let method = request["method"].as_str()?;
        if let Some(lie) = tell(&lies, method, &request["params"], &answer["result"]) {
            answer = json!({"jsonrpc": "2.0", "id": request["id"], "result": lie});
        }
        let mut client = client;
        client.write_all(format!("{answer}\n").as_bytes()).ok()?;
    }
    Some(())
}

/// The answer to a transaction that is handed over, if the server keeps such to itself.
fn swallow(lies: &Mutex<Lies>, request: &Value) -> Option<Value> {
    let lies = lies.lock().unwrap_or_else(PoisonError::into_inner);
    if request["method"] != "blockchain.transaction.broadcast" {
        return None;
    }
    if lies.swallows? == Swallow::AsKnown {
        return Some(json!({"error": {"code": 1, "message": "txn-already-in-mempool"}}));
    }
    let bytes = Vec::from_hex(request["params"][0].as_str()?).ok()?;
    let transaction: bitcoin::Transaction = deserialize(&bytes).ok()?;
    Some(json!({"result": transaction.compute_txid()}))
}

/// The answer instead of the honest one, if it is another.
fn tell(lies: &Lies, method: &str, params: &Value, honest: &Value) -> Option<Value> {
    let height = || u32::try_from(params[0].as_u64()?).ok();
    let txid = || -> Option<Txid> { params[0].as_str()?.parse().ok() };
    match method {
        "blockchain.headers.subscribe" => {
            let (height, header) = lies.tip?;
            Some(json!({"height": height, "hex": serialize_hex(&header)}))
        }
        "blockchain.block.header" => Some(json!(serialize_hex(lies.headers.get(&height()?)?))),
        "blockchain.block.headers" => {
            let bytes = Vec::from_hex(honest["hex"].as_str()?).ok()?;
            let (honest, _) = bytes.as_chunks::<80>();
            let mut told = String::new();
            let mut count = 0;
            while count < params[1].as_u64()? {
                let at = usize::try_from(count).ok()?;
                let true_header = honest.get(at).and_then(|bytes| deserialize(bytes).ok());
                let height = height()? + u32::try_from(count).ok()?;
                let Some(header): Option<Header> =
                    lies.headers.get(&height).copied().or(true_header)
                else {
                    break;
                };
                told += &serialize_hex(&header);
                count += 1;
            }
            Some(json!({"hex": told, "count": count, "max": 2016}))
        }
        "blockchain.scripthash.get_history" if !lies.hidden.is_empty() => {
            let is_told = |entry: &&Value| {
                let txid = entry["tx_hash"].as_str().and_then(|it| it.parse().ok());
                let is_hidden = txid.is_some_and(|txid: Txid| lies.hidden.contains(&txid));
                entry["height"].as_i64() > Some(0) || !is_hidden
            };
            Some(honest.as_array()?.iter().filter(is_told).cloned().collect())
        }
        "blockchain.scripthash.get_history" => {
            let mut histories = lies.histories.iter();
            let asked = |script: &bitcoin::ScriptBuf| params[0] == script_hash(script).as_str();
            let (_, history) = histories.find(|(script, _)| asked(script))?;
            let entry = |(txid, height): &(Txid, u32)| json!({"tx_hash": txid, "height": height});
            Some(history.iter().map(entry).collect())
        }
        "blockchain.transaction.get" => {
            let transaction = lies.transactions.get(&txid()?)?;
            Some(json!(serialize_hex(transaction)))
        }
        "blockchain.transaction.get_merkle" => {
            let (merkle, position) = lies.proofs.get(&txid()?)?;
            Some(json!({"merkle": merkle, "pos": position, "block_height": params[1]}))
        }
        _ => None,
    }
}
