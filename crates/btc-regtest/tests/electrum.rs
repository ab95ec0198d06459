//! The private Electrum server: it knows what its node knows, follows it, and ends with its owner.

use std::env;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use bitcoin::consensus::encode::{deserialize_hex, serialize_hex};
use bitcoin::hashes::Hash;
use bitcoin::{
    Amount, Block, BlockHash, Network, OutPoint, Script, ScriptBuf, Sequence, Transaction, TxIn,
    TxMerkleNode, TxOut, Txid, Witness, absolute, transaction,
};
use btc_regtest::electrum::script_hash;
use btc_regtest::{Chain, ElectrumServer, Node, NodeBuilder, NodeError, Plan, RpcAuth};
use serde_json::{Value, json};

type Failure = Box<dyn std::error::Error>;
type Outcome = Result<(), Failure>;

const HISTORY: &str = "blockchain.scripthash.get_history";
const FEE: Amount = Amount::from_sat(1_000);

fn builder() -> NodeBuilder {
    let builder = Node::builder().spender_index(true);
    match env::var_os("BITCOIND_EXE") {
        Some(exe) => builder.exe(exe),
        None => builder,
    }
}

/// Fails in words: without `cargo xtask setup` there is no server, and nothing is skipped.
fn serve(node: &Node) -> Result<ElectrumServer, String> {
    ElectrumServer::start(node).map_err(|error| error.to_string())
}

/// The witness script `OP_TRUE`: coins behind it are spent without a signature.
fn anyone() -> ScriptBuf {
    ScriptBuf::from_bytes(vec![0x51])
}

fn mine(node: &Node, blocks: u32) -> Result<Vec<BlockHash>, Failure> {
    let script = anyone().to_p2wsh();
    let address = bitcoin::Address::from_script(&script, Network::Regtest)?;
    Ok(node.call(
        "generatetoaddress",
        &[json!(blocks), json!(address.to_string())],
    )?)
}

/// A node with one coin that may be spent.
fn node_with_coin() -> Result<(Node, OutPoint), Failure> {
    let node = builder().start()?;
    let first = *mine(&node, 101)?.first().ok_or("mined")?;
    let hex: String = node.call("getblock", &[json!(first), json!(0)])?;
    let block: Block = deserialize_hex(&hex)?;
    let txid = block.txdata.first().ok_or("a coinbase")?.compute_txid();
    Ok((node, OutPoint::new(txid, 0)))
}

fn spend(coin: OutPoint, value: Amount, script_pubkey: ScriptBuf) -> Transaction {
    Transaction {
        version: transaction::Version::TWO,
        lock_time: absolute::LockTime::ZERO,
        input: vec![TxIn {
            previous_output: coin,
            script_sig: ScriptBuf::new(),
            sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
            witness: Witness::from_slice(&[anyone().as_bytes()]),
        }],
        output: vec![TxOut {
            value: value - FEE,
            script_pubkey,
        }],
    }
}

fn send(node: &Node, tx: &Transaction) -> Result<Txid, NodeError> {
    node.call("sendrawtransaction", &[json!(serialize_hex(tx))])
}

/// A script that nobody has used: a key hash of one repeated byte.
fn payee(byte: u8) -> ScriptBuf {
    ScriptBuf::new_p2wpkh(&bitcoin::WPubkeyHash::from_byte_array([byte; 20]))
}

/// Transaction and height of each entry; 0 is unconfirmed, -1 with an unconfirmed parent.
fn history(server: &ElectrumServer, script: &Script) -> Result<Vec<(Txid, i64)>, Failure> {
    let entries: Vec<Value> = server.call(HISTORY, &[json!(script_hash(script))])?;
    let entry = |entry: &Value| -> Result<_, Failure> {
        let txid = entry["tx_hash"].as_str().ok_or("a txid")?.parse()?;
        Ok((txid, entry["height"].as_i64().ok_or("a height")?))
    };
    entries.iter().map(entry).collect()
}

fn height(server: &ElectrumServer) -> Result<Option<u64>, NodeError> {
    let tip: Value = server.call("blockchain.headers.subscribe", &[])?;
    Ok(tip["height"].as_u64())
}

fn eventually(what: &str, check: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(15);
    while !check() {
        assert!(Instant::now() < deadline, "still not so after 15 s: {what}");
        sleep(Duration::from_millis(10));
    }
}

/// Signal 0 asks whether a process is there.
fn alive(pid: u32) -> bool {
    let done = Command::new("sh")
        .args(["-c", &format!("kill -0 {pid} 2>&-")])
        .status();
    done.is_ok_and(|status| status.success())
}

/// The directory of a server, as its process sees it.
fn directory(pid: u32) -> std::io::Result<PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/cwd"))
}

#[test]
fn a_payment_is_seen_unconfirmed_and_confirmed() -> Outcome {
    let (node, coin) = node_with_coin()?;
    let begun = Instant::now();
    let server = serve(&node)?;
    println!("started in {:?}", begun.elapsed());
    assert_eq!(height(&server)?, Some(101));
    assert_eq!(history(&server, &anyone().to_p2wsh())?.len(), 101);

    let script = payee(1);
    assert_eq!(history(&server, &script)?, []);
    let tx = spend(coin, Amount::from_int_btc(50), script.clone());
    let txid = send(&node, &tx)?;
    server.wait_for_transaction(&script, txid)?;
    assert_eq!(history(&server, &script)?, [(txid, 0)]);

    mine(&node, 1)?;
    server.wait_for_tip(&node)?;
    assert_eq!(history(&server, &script)?, [(txid, 102)]);
    let hex: String = server.call("blockchain.transaction.get", &[json!(txid)])?;
    assert_eq!(hex, serialize_hex(&tx));

    let begun = Instant::now();
    let pid = server.pid().ok_or("no pid")?;
    let data = directory(pid)?;
    drop(server);
    println!("dropped in {:?}", begun.elapsed());
    assert!(!alive(pid));
    assert!(!data.parent().ok_or("no parent")?.exists(), "{data:?}");
    Ok(())
}

#[test]
fn the_chain_can_be_proved_with_its_answers() -> Outcome {
    let node = builder().start()?;
    Chain::new(&node, 1)?.build(&Plan::small(), &mut |_| {})?;
    let server = serve(&node)?;
    let best: BlockHash = node.call("getbestblockhash", &[])?;
    let hex: String = node.call("getblock", &[json!(best), json!(0)])?;
    let block: Block = deserialize_hex(&hex)?;
    let top = height(&server)?.ok_or("a height")?;

    let headers: Value = server.call("blockchain.block.headers", &[json!(top - 1), json!(2)])?;
    let expected = serialize_hex(&block.header);
    assert!(
        headers["hex"]
            .as_str()
            .is_some_and(|hex| hex.ends_with(&expected)),
        "{headers}"
    );
    for (position, tx) in block.txdata.iter().enumerate() {
        let txid = tx.compute_txid();
        let params = [json!(txid), json!(top)];
        let proof: Value = server.call("blockchain.transaction.get_merkle", &params)?;
        assert_eq!(proof["pos"], position);
        let siblings: Vec<TxMerkleNode> = serde_json::from_value(proof["merkle"].clone())?;
        let mut index = position;
        let root = siblings.iter().fold(txid.to_byte_array(), |hash, sibling| {
            let sibling = sibling.to_byte_array();
            let (left, right) = if index % 2 == 0 {
                (hash, sibling)
            } else {
                (sibling, hash)
            };
            index /= 2;
            TxMerkleNode::hash(&[left, right].concat()).to_byte_array()
        });
        assert_eq!(root, block.header.merkle_root.to_byte_array());
    }
    Ok(())
}

#[test]
fn a_broadcast_reaches_the_node() -> Outcome {
    let (node, coin) = node_with_coin()?;
    let server = serve(&node)?;
    let script = payee(2);
    let tx = spend(coin, Amount::from_int_btc(50), script.clone());
    let method = "blockchain.transaction.broadcast";
    let txid: Txid = server.call(method, &[json!(serialize_hex(&tx))])?;
    assert_eq!(txid, tx.compute_txid());
    assert_eq!(node.call::<Vec<Txid>>("getrawmempool", &[])?, [txid]);
    server.wait_for_transaction(&script, txid)?;

    let greedy = spend(coin, Amount::from_int_btc(60), script);
    let error = server.call::<Txid>(method, &[json!(serialize_hex(&greedy))]);
    assert!(
        matches!(&error, Err(NodeError::Electrum { reason, .. }) if reason.contains("bad-txns")),
        "{error:?}"
    );
    Ok(())
}

#[test]
fn a_reorganisation_is_followed() -> Outcome {
    let (node, coin) = node_with_coin()?;
    let server = serve(&node)?;
    let script = payee(3);
    let txid = send(
        &node,
        &spend(coin, Amount::from_int_btc(50), script.clone()),
    )?;
    mine(&node, 2)?;
    server.wait_for_tip(&node)?;
    assert_eq!(history(&server, &script)?, [(txid, 102)]);

    let mut chain = Chain::new(&node, 1)?;
    chain.reorg_empty(2)?;
    server.wait_for_tip(&node)?;
    assert_eq!(height(&server)?, Some(104));
    assert_eq!(history(&server, &script)?, [(txid, 0)]);

    chain.mine(1)?;
    server.wait_for_tip(&node)?;
    assert_eq!(history(&server, &script)?, [(txid, 105)]);
    Ok(())
}

#[test]
fn servers_live_side_by_side() -> Outcome {
    let (first, second) = (builder().start()?, builder().start()?);
    mine(&first, 3)?;
    mine(&second, 5)?;
    let servers = [serve(&first)?, serve(&second)?, serve(&second)?];
    mine(&second, 1)?;
    servers[1].wait_for_tip(&second)?;
    servers[2].wait_for_tip(&second)?;
    let heights: Result<Vec<_>, _> = servers.iter().map(height).collect();
    assert_eq!(heights?, [Some(3), Some(6), Some(6)]);
    for server in &servers {
        let address = server.url();
        let address = address.strip_prefix("tcp://").ok_or("the scheme")?;
        TcpStream::connect(address)?;
    }
    Ok(())
}

#[test]
fn restarts_on_the_same_port_and_catches_up() -> Outcome {
    let node = builder().start()?;
    mine(&node, 5)?;
    let server = serve(&node)?;
    let (url, pid) = (server.url(), server.pid());
    server.stop()?;
    server.stop()?;
    assert_eq!(server.pid(), None);
    assert!(matches!(height(&server), Err(NodeError::Electrum { .. })));

    // With another cookie, and blocks that came while it was away.
    node.restart()?;
    mine(&node, 2)?;
    server.restart()?;
    server.wait_for_tip(&node)?;
    assert_eq!(height(&server)?, Some(7));
    assert_eq!(server.url(), url);
    assert_ne!(server.pid(), pid);
    Ok(())
}

#[test]
fn user_and_password_stay_off_the_command_line() -> Outcome {
    let auth = RpcAuth::UserPassword {
        user: "alice".into(),
        password: "correct horse@/:%".into(),
    };
    let node = builder().auth(auth).start()?;
    let server = serve(&node)?;
    assert_eq!(height(&server)?, Some(0));
    let pid = server.pid().ok_or("no pid")?;
    if let Ok(arguments) = std::fs::read(format!("/proc/{pid}/cmdline")) {
        assert!(!String::from_utf8_lossy(&arguments).contains("horse"));
    }
    Ok(())
}

#[test]
fn another_network_is_served_as_such() -> Outcome {
    let node = builder().network(Network::Signet).start()?;
    let server = serve(&node)?;
    let features: Value = server.call("server.features", &[])?;
    let genesis: BlockHash = node.call("getblockhash", &[json!(0)])?;
    assert_eq!(features["genesis_hash"], json!(genesis));
    Ok(())
}

#[test]
fn a_node_that_will_not_do_is_refused() -> Outcome {
    let node = builder().spender_index(false).start()?;
    let error = ElectrumServer::start(&node).expect_err("no index");
    assert!(
        matches!(error, NodeError::MissingIndex { index } if index == "txospenderindex"),
        "{error}"
    );
    node.stop()?;
    let error = ElectrumServer::start(&node).expect_err("no node");
    assert!(matches!(error, NodeError::Stopped), "{error}");
    Ok(())
}

#[test]
fn a_failed_start_shows_the_servers_reason() -> Outcome {
    let node = builder().start()?;
    let server = serve(&node)?;
    let data = directory(server.pid().ok_or("no pid")?)?;
    let address = server.url().replace("tcp://", "");
    server.stop()?;
    let somebody = TcpListener::bind(&address)?;
    let error = server.restart().expect_err("its port is taken");
    assert!(
        matches!(&error, NodeError::Start { reason, .. } if reason.contains("port is taken")),
        "{error}"
    );
    assert_eq!(server.pid(), None);
    drop(somebody);
    server.restart()?;

    server.stop()?;
    std::fs::remove_dir_all(&data)?;
    let error = server.restart().expect_err("no directory for its index");
    assert!(
        matches!(&error, NodeError::Start { log, .. } if log.contains("FileNotFoundError")),
        "{error}"
    );
    Ok(())
}

/// The variable under which the next test starts this program again as the owner of a server.
const OWNER: &str = "BTC_REGTEST_TEST_ELECTRUM_OWNER";

#[test]
fn ends_with_an_owner_that_is_killed() -> Outcome {
    if env::var_os(OWNER).is_some() {
        let node = builder().start()?;
        let server = serve(&node)?;
        if env::var_os(OWNER).is_some_and(|how| how == "restarted") {
            server.restart()?;
        }
        println!("\nowned {}", server.pid().ok_or("no pid")?);
        sleep(Duration::from_mins(1));
        return Ok(());
    }
    for how in ["fresh", "restarted"] {
        let mut owner = Command::new(env::current_exe()?)
            .args([
                "--exact",
                "ends_with_an_owner_that_is_killed",
                "--nocapture",
            ])
            .env(OWNER, how)
            .stdout(Stdio::piped())
            .spawn()?;
        let output = BufReader::new(owner.stdout.take().ok_or("piped")?);
        let pid: u32 = output
            .lines()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("owned ").map(str::to_owned))
            .ok_or("the owner says what it owns")?
            .parse()?;
        let data = directory(pid)?;
        assert!(alive(pid) && data.is_dir());

        owner.kill()?;
        owner.wait()?;
        eventually("the server is gone", || !alive(pid));
        eventually("its directory is gone", || {
            !data.parent().is_some_and(Path::exists)
        });
    }
    Ok(())
}
