//! A node that is not well, over every implementation: the same kind of error from each, in time.

use std::time::Duration;

use btc::{Credentials, ErrorKind, NodeConfig, Operation, Secret};
use btc_tests::{
    Backend, FakeNode, Fault, Outcome, Reply, Suite, bounded, failure, healthy, only, python_config,
};
use serde_json::json;
use tempfile::TempDir;

const FAULTS: &[(&str, Fault)] = &[
    ("node_down_at_connect_is_unavailable", down),
    (
        "node_down_without_cookie_is_unavailable",
        down_without_cookie,
    ),
    ("warming_up_is_unavailable", warming_up),
    ("warming_up_later_is_unavailable", warming_up_later),
    ("busy_node_is_unavailable", busy),
    ("wrong_password_is_auth_and_asked_once", wrong_password),
    ("wrong_cookie_is_auth_and_asked_twice_at_most", wrong_cookie),
    ("missing_login_is_auth", missing_login),
    ("forbidden_is_auth", forbidden),
    ("another_network_is_configuration", other_network),
    ("url_that_cannot_be_used_is_configuration", bad_url),
    ("connection_closed_in_the_middle", closed_in_the_middle),
    ("silence_is_timeout", silence),
    ("endless_answer_is_timeout", drip),
    (
        "broadcast_is_sent_once_when_the_connection_is_lost",
        lost_broadcast,
    ),
    ("reads_survive_one_lost_connection", one_lost_connection),
];

/// Far more than any of these takes.
const LIMIT: Duration = Duration::from_secs(20);

pub(crate) fn add(suite: &mut Suite) {
    for backend in Backend::REAL {
        for (name, fault) in FAULTS {
            suite.add(format!("fault::{name}::{}", backend.name()), move || {
                bounded(LIMIT, name, move || fault(backend))
            });
        }
    }
}

/// That connecting to this node fails so; the error's message.
fn refused(backend: Backend, node: &NodeConfig, kind: ErrorKind) -> String {
    let error = failure(backend.connect(node), kind, backend.name());
    assert_eq!(error.operation(), Operation::Connect);
    error.to_string()
}

/// The configuration with these credentials.
fn with(node: NodeConfig, credentials: Credentials) -> NodeConfig {
    NodeConfig {
        credentials,
        ..node
    }
}

fn password() -> Credentials {
    Credentials::UserPassword {
        user: "someone".to_owned(),
        password: Secret::new("not-to-be-seen".to_owned()),
    }
}

/// A node that has gone; nobody listens on its port.
fn gone() -> NodeConfig {
    let config = FakeNode::start(healthy).config();
    // The listener closes on its own thread, after the drop.
    let authority = config.authority().expect("a plain url").to_owned();
    btc_tests::eventually("the port is closed", || {
        std::net::TcpStream::connect(&authority).is_err()
    });
    config
}

fn down(backend: Backend) -> Outcome {
    let text = refused(backend, &with(gone(), password()), ErrorKind::Unavailable);
    assert!(text.contains("BITCOIN_RPC_URL"), "what to do: {text}");
    Ok(())
}

/// Core removes its cookie when it stops, so a missing one says no more than a refused connection.
fn down_without_cookie(backend: Backend) -> Outcome {
    let folder = TempDir::new()?;
    let cookie = Credentials::CookieFile(folder.path().join(".cookie"));
    refused(backend, &with(gone(), cookie), ErrorKind::Unavailable);
    Ok(())
}

fn warming_up(backend: Backend) -> Outcome {
    let node = FakeNode::start(|_| Reply::Error(-28, "Loading block index…"));
    let text = refused(backend, &node.config(), ErrorKind::Unavailable);
    assert!(
        text.contains("Loading block index") && text.contains("warming up"),
        "{text}"
    );
    Ok(())
}

fn warming_up_later(backend: Backend) -> Outcome {
    let node = FakeNode::start(|request| match request.method.as_str() {
        "getblockchaininfo" => healthy(request),
        // REST says it with a status.
        "" => Reply::Http(
            503,
            b"Service temporarily unavailable: Verifying blocks".to_vec(),
        ),
        _ => Reply::Error(-28, "Verifying blocks…"),
    });
    let bitcoin = backend.connect(&node.config())?;
    let hash = "00".repeat(32);
    let kind = ErrorKind::Unavailable;
    failure(bitcoin.get_block_height(), kind, "height");
    failure(bitcoin.get_transaction(&hash), kind, "transaction");
    failure(bitcoin.get_block(&hash), kind, "block");
    failure(bitcoin.estimate_fee(6), kind, "fee");
    Ok(())
}

fn busy(backend: Backend) -> Outcome {
    let node = FakeNode::start(|_| Reply::Http(503, b"Work queue depth exceeded".to_vec()));
    refused(backend, &node.config(), ErrorKind::Unavailable);
    Ok(())
}

fn wrong_password(backend: Backend) -> Outcome {
    let node = FakeNode::start(|_| Reply::Http(401, Vec::new()));
    let text = refused(backend, &with(node.config(), password()), ErrorKind::Auth);
    assert!(text.contains("BITCOIN_RPC_PASSWORD"), "what to do: {text}");
    assert!(!text.contains("not-to-be-seen"), "{text}");
    assert_eq!(
        node.requests().len(),
        1,
        "a wrong password is never retried"
    );
    Ok(())
}

fn wrong_cookie(backend: Backend) -> Outcome {
    let node = FakeNode::start(|_| Reply::Http(401, Vec::new()));
    let folder = TempDir::new()?;
    let cookie = folder.path().join(".cookie");
    std::fs::write(&cookie, "__cookie__:0123456789abcdef")?;
    let config = with(node.config(), Credentials::CookieFile(cookie));
    let text = refused(backend, &config, ErrorKind::Auth);
    assert!(text.contains("BITCOIN_RPC_COOKIE_FILE"), "{text}");
    assert!(!text.contains("0123456789abcdef"), "{text}");
    assert!(node.requests().len() <= 2, "{:?}", node.requests());
    Ok(())
}

fn missing_login(backend: Backend) -> Outcome {
    let node = FakeNode::start(|_| Reply::Http(401, Vec::new()));
    let text = refused(backend, &node.config(), ErrorKind::Auth);
    assert!(text.contains("BITCOIN_RPC_COOKIE_FILE"), "{text}");
    // A node that runs, and a cookie that is not where it is looked for.
    let nowhere = Credentials::CookieFile("/does/not/exist/.cookie".into());
    refused(backend, &with(node.config(), nowhere), ErrorKind::Auth);
    Ok(())
}

fn forbidden(backend: Backend) -> Outcome {
    let node = FakeNode::start(|_| Reply::Http(403, Vec::new()));
    refused(backend, &node.config(), ErrorKind::Auth);
    assert_eq!(node.requests().len(), 1);
    Ok(())
}

fn other_network(backend: Backend) -> Outcome {
    for chain in ["main", "test", "testnet4", "signet", "liquidv1"] {
        let node = FakeNode::start(only(
            "getblockchaininfo",
            Reply::Result(json!({"chain": chain})),
        ));
        let text = refused(backend, &node.config(), ErrorKind::Configuration);
        assert!(
            text.contains(chain) && text.contains("regtest") && text.contains("BITCOIN_NETWORK"),
            "{text}"
        );
    }
    Ok(())
}

fn bad_url(backend: Backend) -> Outcome {
    for url in [
        "https://127.0.0.1:8332",
        "127.0.0.1:8332",
        "http://someone:not-to-be-seen@127.0.0.1:8332",
        "http://127.0.0.1:0",
        "http://127.0.0.1:99999",
        "http://127.0.0.1",
        "http://:8332",
        "http://127.0.0.1:8332/wallet/hot",
        "http://127.0.0.1:8332?timeout=1",
        "",
    ] {
        let node = NodeConfig {
            url: url.to_owned(),
            ..gone()
        };
        let text = refused(backend, &node, ErrorKind::Configuration);
        assert!(
            !text.contains("not-to-be-seen"),
            "a password in a url is still one: {text}"
        );
    }
    Ok(())
}

fn closed_in_the_middle(backend: Backend) -> Outcome {
    for reply in [Reply::Truncated, Reply::Close] {
        let node = FakeNode::start(move |request| match request.method.as_str() {
            "getblockchaininfo" => healthy(request),
            _ => reply.clone(),
        });
        let bitcoin = backend.connect(&node.config())?;
        let hash = "00".repeat(32);
        let kind = ErrorKind::Unavailable;
        failure(bitcoin.get_block_height(), kind, "height");
        failure(bitcoin.get_transaction(&hash), kind, "transaction");
        failure(bitcoin.get_block(&hash), kind, "block");
        let asked = node.count("getblockcount");
        assert!((2..=4).contains(&asked), "a read is retried, {asked} times");
    }
    Ok(())
}

fn silence(backend: Backend) -> Outcome {
    let node = FakeNode::start(only("getblockcount", Reply::Silence));
    let bitcoin = backend.connect(&node.config())?;
    let error = failure(bitcoin.get_block_height(), ErrorKind::Timeout, "height");
    assert!(error.message().contains("2 s"), "{error}");
    assert_eq!(node.count("getblockcount"), 1, "a timeout is not retried");
    // The next call does not wait for the first.
    failure(
        bitcoin.get_transaction(&"00".repeat(32)),
        ErrorKind::Unsupported,
        "a call that the node does not know",
    );
    let silent = FakeNode::start(|_| Reply::Silence);
    refused(backend, &silent.config(), ErrorKind::Timeout);
    Ok(())
}

/// A byte now and then keeps a connection alive, and must not keep the caller.
fn drip(backend: Backend) -> Outcome {
    let node = FakeNode::start(only("getblockcount", Reply::Drip));
    let bitcoin: std::sync::Arc<dyn btc::BitcoinInterface> = match backend {
        Backend::Rust => backend.connect(&node.config())?,
        python => {
            let mut config = python_config(&node.config(), python.mode());
            config.timeout = Some(Duration::from_secs(4));
            std::sync::Arc::new(btc::python::PythonBitcoin::connect(&config)?)
        }
    };
    failure(bitcoin.get_block_height(), ErrorKind::Timeout, "height");
    Ok(())
}

/// Nobody can know whether the node took it, so it is not sent again.
fn lost_broadcast(backend: Backend) -> Outcome {
    let node = FakeNode::start(healthy);
    let bitcoin = backend.connect(&node.config())?;
    let cases = [
        (Reply::Close, ErrorKind::Unavailable),
        (Reply::Truncated, ErrorKind::Unavailable),
        (Reply::Silence, ErrorKind::Timeout),
        (Reply::Http(503, Vec::new()), ErrorKind::Unavailable),
        (Reply::Error(-28, "Loading"), ErrorKind::Unavailable),
    ];
    for (before, (reply, kind)) in cases.into_iter().enumerate() {
        let what = format!("{reply:?}");
        node.set(only("sendrawtransaction", reply));
        let genesis = bitcoin::blockdata::constants::genesis_block(bitcoin::Network::Regtest);
        let transaction = btc_tests::to_plain(&genesis.txdata[0], None);
        let sent = bitcoin.broadcast_transaction(&transaction);
        failure(sent, kind, &what);
        assert_eq!(node.count("sendrawtransaction"), before + 1, "{what}");
    }
    Ok(())
}

fn one_lost_connection(backend: Backend) -> Outcome {
    let lost = std::sync::atomic::AtomicBool::new(false);
    let node = FakeNode::start(move |request| match request.method.as_str() {
        "getblockcount" if !lost.swap(true, std::sync::atomic::Ordering::Relaxed) => Reply::Close,
        "getblockcount" => Reply::Result(json!(7)),
        _ => healthy(request),
    });
    let bitcoin = backend.connect(&node.config())?;
    assert_eq!(bitcoin.get_block_height()?, 7);
    assert_eq!(node.count("getblockcount"), 2);
    Ok(())
}
