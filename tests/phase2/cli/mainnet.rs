//! Mainnet: nothing is sent without consent. A private node stands in, behind a proxy that says
//! it is mainnet and keeps what it is handed.

use std::sync::Arc;

use btc::bitcoin::blockdata::constants::genesis_block;
use btc::bitcoin::{Address, Amount, ScriptBuf};
use btc::{Credentials, Network, NodeConfig};
use btc_regtest::Chain;
use btc_tests::{FakeNode, Outcome, Program, Reply, Request, Run};
use serde_json::{Value, json};

use super::{Case, Failed, text};

pub(super) const CASES: &[(&str, Case)] = &[
    ("mainnet_needs_consent", consent),
    ("refusals_release_and_silence_does_not", refusals),
    ("mainnet_psbts_need_consent", psbts),
    ("mainnet_asks_at_a_terminal", terminal),
];

const SOMEBODY: &str = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4";
const PASSPHRASE: &str = "correct horse";

/// A wallet of mainnet with some coins, and the proxy that counts.
struct Mainnet {
    core: Arc<bitcoincore_rpc::Client>,
    proxy: FakeNode,
    config: NodeConfig,
    home: tempfile::TempDir,
}

impl Mainnet {
    fn start(chain: &mut Chain<'_>, node: &NodeConfig) -> Result<Self, Failed> {
        let Credentials::CookieFile(cookie) = node.credentials.clone() else {
            return Err("a private node has a cookie".into());
        };
        let auth = bitcoincore_rpc::Auth::CookieFile(cookie);
        let core = Arc::new(bitcoincore_rpc::Client::new(&node.url, auth)?);
        let theirs = Arc::clone(&core);
        let proxy = FakeNode::start(move |request| disguise(&theirs, request));
        let config = NodeConfig {
            network: Network::Bitcoin,
            timeout: std::time::Duration::from_secs(30),
            ..proxy.config()
        };
        let mainnet = Self {
            core,
            proxy,
            config,
            home: tempfile::tempdir()?,
        };
        mainnet.run(&["wallet", "create"]).code(0);
        let mut outputs = Vec::new();
        for _ in 0..2 {
            let new = mainnet.run(&["address", "new"]).code(0).stdout;
            assert!(new.starts_with("bc1q"), "{new}");
            let script = new
                .trim()
                .parse::<Address<_>>()?
                .assume_checked()
                .script_pubkey();
            outputs.push((script, Amount::from_sat(90_000)));
        }
        chain.pay(&outputs, 2)?;
        chain.mine(1)?;
        let balance = mainnet.run(&["balance", "--json"]).code(0).json();
        assert_eq!(balance["confirmed_sat"], 180_000);
        Ok(mainnet)
    }

    fn program(&self, arguments: &[&str]) -> Program {
        Program::with(arguments)
            .node(&self.config)
            .env("WALLET_DIR", self.home.path().join("wallet"))
            .env("WALLET_PASSPHRASE", PASSPHRASE)
    }

    fn run(&self, arguments: &[&str]) -> Run {
        self.program(arguments).run()
    }

    /// From now on, what is sent meets this.
    fn answer_sends(&self, reply: Reply) {
        let core = Arc::clone(&self.core);
        self.proxy
            .set(move |request| match request.method.as_str() {
                "sendrawtransaction" => reply.clone(),
                _ => disguise(&core, request),
            });
    }

    fn sent(&self) -> usize {
        self.proxy.count("sendrawtransaction")
    }

    #[track_caller]
    fn assert_nothing_happened(&self) {
        assert_eq!(self.sent(), 0);
        let coins = self.run(&["utxo", "--json"]).code(0).json();
        let coins = coins.as_array().expect("a list");
        assert_eq!(coins.len(), 2);
        assert!(
            coins.iter().all(|it| it["reserved_for"].is_null()),
            "{coins:?}"
        );
    }
}

/// The private node's answers, with mainnet's name and its genesis block; what is sent stays here.
fn disguise(core: &bitcoincore_rpc::Client, request: &Request) -> Reply {
    use bitcoincore_rpc::RpcApi;

    let hash = |network| json!(genesis_block(network).block_hash());
    let mut params: Vec<Value> = request.params.as_array().cloned().unwrap_or_default();
    match request.method.as_str() {
        "" => return Reply::Http(404, Vec::new()),
        "sendrawtransaction" => {
            let bytes = params[0]
                .as_str()
                .and_then(|hex| ScriptBuf::from_hex(hex).ok());
            let transaction = bytes.map(|it| btc::bitcoin::consensus::deserialize(it.as_bytes()));
            let Some(Ok(transaction)) = transaction else {
                return Reply::Error(-22, "TX decode failed");
            };
            let transaction: btc::bitcoin::Transaction = transaction;
            return Reply::Result(json!(transaction.compute_txid()));
        }
        "getblockhash" if params == [json!(0)] => return Reply::Result(hash(Network::Bitcoin)),
        "getblockheader" if params.first() == Some(&hash(Network::Bitcoin)) => {
            params[0] = hash(Network::Regtest);
        }
        _ => {}
    }
    match core.call::<Value>(&request.method, &params) {
        Ok(mut answer) => {
            if request.method == "getblockchaininfo" {
                answer["chain"] = json!("main");
            }
            Reply::Result(answer)
        }
        Err(bitcoincore_rpc::Error::JsonRpc(bitcoincore_rpc::jsonrpc::Error::Rpc(error))) => {
            let error = json!({"code": error.code, "message": error.message});
            let body = json!({"result": null, "error": error, "id": request.id});
            Reply::Http(500, body.to_string().into_bytes())
        }
        Err(_) => Reply::Close,
    }
}

fn consent(chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    let mainnet = Mainnet::start(chain, node)?;
    let payment = format!("{SOMEBODY}=20000sat");
    let send = ["send", &payment, "--fee-rate", "3"];
    let more = |more: &[&'static str]| [&send[..], more].concat();
    let before = mainnet.proxy.requests().len();
    for (name, value) in [
        ("USE_RUST_BITCOIN", "true"),
        ("USE_RUST_BITCOIN", "false"),
        ("SHADOW_MODE", "true"),
    ] {
        for input in ["", "yes\n"] {
            let run = mainnet
                .program(&send)
                .env(name, value)
                .input(input)
                .run()
                .code(2);
            let run = run.says(&["mainnet", "--yes", "nothing was sent"]);
            assert!(run.stdout.is_empty(), "{run:?}");
        }
    }
    let requests = mainnet.proxy.requests().len();
    assert_eq!(requests, before, "refused before anything was asked");
    mainnet.assert_nothing_happened();
    // To look is free.
    mainnet.run(&more(&["--dry-run"])).code(0);
    mainnet.assert_nothing_happened();
    // Consent given, it is sent, once.
    let run = mainnet.run(&more(&["--yes", "--json"])).code(0);
    assert_eq!((mainnet.sent(), &run.json()["is_sent"]), (1, &true.into()));
    Ok(())
}

/// What is refused keeps no coin; what may have arrived keeps its coins.
fn refusals(chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    let mainnet = Mainnet::start(chain, node)?;
    let payment = format!("{SOMEBODY}=20000sat");
    let pay = ["send", &payment, "--fee-rate", "3", "--yes"];
    mainnet.answer_sends(Reply::Error(-26, "min relay fee not met"));
    mainnet.run(&pay).code(1).says(&["min relay fee not met"]);
    let reserved = || {
        let coins = mainnet.run(&["utxo", "--json"]).code(0).json();
        let coins = coins.as_array().expect("a list").clone();
        coins
            .iter()
            .filter(|it| it["reserved_for"].is_string())
            .count()
    };
    assert_eq!(reserved(), 0);
    mainnet.answer_sends(Reply::Close);
    let run = mainnet.run(&pay).code(4);
    assert!(run.stdout.is_empty(), "{run:?}");
    assert_eq!(reserved(), 1);
    Ok(())
}

fn psbts(chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    let mainnet = Mainnet::start(chain, node)?;
    let payment = format!("{SOMEBODY}=20000sat");
    let made = mainnet.run(&["psbt", "create", &payment, "--fee-rate", "3", "--json"]);
    let psbt = text(&made.code(0).json()["psbt"]);
    mainnet
        .run(&["psbt", "sign", &psbt])
        .code(2)
        .says(&["mainnet", "--yes"]);
    let signed = mainnet
        .run(&["psbt", "sign", &psbt, "--yes"])
        .code(0)
        .stdout;
    let last = mainnet
        .run(&["psbt", "finalize", signed.trim()])
        .code(0)
        .stdout;
    let hex = mainnet
        .run(&["psbt", "extract", last.trim()])
        .code(0)
        .stdout;
    let run = mainnet
        .program(&["broadcast", "-"])
        .input(hex.clone())
        .run()
        .code(2);
    run.says(&["mainnet", "--yes", "nothing was sent"]);
    assert_eq!(mainnet.sent(), 0);
    mainnet
        .program(&["broadcast", "-", "--yes"])
        .input(hex)
        .run()
        .code(0);
    assert_eq!(mainnet.sent(), 1);
    // Words in the clear are for play money.
    let other = mainnet.home.path().join("other");
    let run = mainnet
        .program(&["wallet", "create", "--plain"])
        .env("WALLET_DIR", &other)
        .run();
    run.code(2).says(&["--plain", "mainnet"]);
    assert!(!other.exists());
    Ok(())
}

fn terminal(chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    let mainnet = Mainnet::start(chain, node)?;
    let payment = format!("{SOMEBODY}=20000sat");
    let send = ["send", &payment, "--fee-rate", "3"];
    for answer in ["no\n", "\n", "y\n", "YES\n", ""] {
        let run = mainnet
            .program(&send)
            .at_terminal()
            .input(answer)
            .run()
            .code(1);
        assert!(
            run.stdout.contains("real money") && run.stdout.contains("nothing was sent"),
            "{run:?}"
        );
        // What it is about stands before the question.
        let question = run.stdout.find("Type yes").ok_or("a question")?;
        for shown in ["20,000 sat (0.00020000 BTC)", SOMEBODY, "sat/vB"] {
            let place = run.stdout.find(shown).ok_or(shown)?;
            assert!(place < question, "{run:?}");
        }
    }
    mainnet.assert_nothing_happened();
    let run = mainnet
        .program(&send)
        .at_terminal()
        .input("yes\n")
        .run()
        .code(0);
    assert_eq!(mainnet.sent(), 1, "{run:?}");
    // What was shown is what was sent.
    let requests = mainnet.proxy.requests();
    let call = requests
        .iter()
        .find(|it| it.method == "sendrawtransaction")
        .ok_or("sent")?;
    let bytes = ScriptBuf::from_hex(call.params[0].as_str().ok_or("hexadecimal")?)?;
    let money: btc::bitcoin::Transaction = btc::bitcoin::consensus::deserialize(bytes.as_bytes())?;
    assert!(
        run.stdout.contains(&money.compute_txid().to_string()),
        "{run:?}"
    );
    for output in &money.output {
        let address = Address::from_script(&output.script_pubkey, Network::Bitcoin)?;
        assert!(run.stdout.contains(&address.to_string()), "{run:?}");
    }
    Ok(())
}
