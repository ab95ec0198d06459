//! Real nodes set up or treated in a way that hurts, each with all implementations connected.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bitcoin::Network;
use btc::{BitcoinInterface, Credentials, ErrorKind, NodeConfig, Secret};
use btc_regtest::{Chain, Node, RpcAuth};
use btc_tests::{
    Backend, Outcome, Suite, Test, bounded, builder, failure, node_config, until_stopped,
};
use serde_json::json;

const TRIALS: &[(&str, Test)] = &[
    ("killed_and_restarted_with_a_new_cookie", killed),
    ("stopped_and_restarted", stopped),
    ("killed_while_eight_threads_read", killed_under_load),
    ("frozen_and_released", frozen),
    ("wrong_password", wrong_password),
    ("without_rest", without_rest),
    ("without_index", without_index),
    ("pruned_block", pruned),
    ("other_networks", other_networks),
];

/// Far more than any of these takes.
const LIMIT: Duration = Duration::from_secs(90);

pub(crate) fn add(suite: &mut Suite) {
    for (name, trial) in TRIALS {
        suite.add(format!("node::{name}"), move || bounded(LIMIT, name, trial));
    }
}

type Connected = Vec<(&'static str, Arc<dyn BitcoinInterface>)>;

fn connect_all(node: &NodeConfig) -> btc::BitcoinResult<Connected> {
    Backend::REAL
        .into_iter()
        .map(|backend| Ok((backend.name(), backend.connect(node)?)))
        .collect()
}

fn mined(blocks: u32, node: &Node) -> Result<Vec<bitcoin::BlockHash>, btc_regtest::NodeError> {
    Chain::new(node, 3)?.mine(blocks)
}

fn down_and_up(end: fn(&Node) -> Result<(), btc_regtest::NodeError>) -> Outcome {
    let node = builder().start()?;
    let hash = mined(3, &node)?[1].to_string();
    // A killed node loses what it had not written.
    node.restart()?;
    let before = std::fs::read_to_string(node.cookie_file().ok_or("a cookie")?)?;
    let connected = connect_all(&node_config(&node))?;
    for (_, bitcoin) in &connected {
        assert_eq!(bitcoin.get_block_height()?, 3);
        assert_eq!(bitcoin.get_block(&hash)?.len(), 1);
    }
    end(&node)?;
    for (name, bitcoin) in &connected {
        let kind = ErrorKind::Unavailable;
        failure(bitcoin.get_block_height(), kind, name);
        failure(bitcoin.get_block(&hash), kind, name);
        failure(bitcoin.get_transaction(&hash), kind, name);
        failure(bitcoin.estimate_fee(2), kind, name);
    }
    node.restart()?;
    let after = std::fs::read_to_string(node.cookie_file().ok_or("a cookie")?)?;
    assert_ne!(before, after, "the test needs another cookie");
    for (_, bitcoin) in &connected {
        // The first call of each succeeds, whichever it is.
        assert_eq!(bitcoin.get_block(&hash)?.len(), 1);
        assert_eq!(bitcoin.get_block_height()?, 3);
    }
    Ok(())
}

fn killed() -> Outcome {
    down_and_up(Node::kill9)
}

fn stopped() -> Outcome {
    down_and_up(Node::stop)
}

/// A call under way gets its answer or a typed failure, never another call's answer.
fn killed_under_load() -> Outcome {
    let node = builder().start()?;
    let hash = mined(3, &node)?[1].to_string();
    node.restart()?;
    let connected = &connect_all(&node_config(&node))?;
    let is_over = AtomicBool::new(false);
    let failures = AtomicU32::new(0);
    let read = &|(name, bitcoin): &(&str, Arc<dyn BitcoinInterface>)| {
        while !is_over.load(Ordering::Relaxed) {
            let height = bitcoin.get_block_height().map(|height| height == 3);
            let block = bitcoin.get_block(&hash).map(|all| all.len() == 1);
            for answer in [height, block] {
                match answer {
                    Ok(is_right) => assert!(is_right, "{name}: another call's answer"),
                    Err(error) => {
                        failures.fetch_add(1, Ordering::Relaxed);
                        failure::<()>(Err(error), ErrorKind::Unavailable, name);
                    }
                }
            }
        }
    };
    thread::scope(|scope| -> Outcome {
        let readers: Vec<_> = (0..8)
            .map(|index| scope.spawn(move || read(&connected[index % connected.len()])))
            .collect();
        let disturbed = (0..2).try_for_each(|_| {
            thread::sleep(Duration::from_millis(150));
            node.kill9()?;
            thread::sleep(Duration::from_millis(150));
            node.restart()
        });
        thread::sleep(Duration::from_millis(150));
        is_over.store(true, Ordering::Relaxed);
        for reader in readers {
            reader.join().map_err(|_| "a reader panicked")?;
        }
        Ok(disturbed?)
    })?;
    assert!(failures.load(Ordering::Relaxed) > 0, "nobody noticed");
    for (_, bitcoin) in connected {
        assert_eq!(bitcoin.get_block(&hash)?.len(), 1);
    }
    Ok(())
}

fn frozen() -> Outcome {
    let node = builder().start()?;
    let config = NodeConfig {
        timeout: Duration::from_secs(2),
        ..node_config(&node)
    };
    let hash = mined(2, &node)?[0].to_string();
    let connected = connect_all(&config)?;
    node.pause()?;
    until_stopped(node.pid().ok_or("it is there")?);
    for (name, bitcoin) in &connected {
        let begun = Instant::now();
        failure(bitcoin.get_block_height(), ErrorKind::Timeout, name);
        failure(bitcoin.get_block(&hash), ErrorKind::Timeout, name);
        assert!(begun.elapsed() < Duration::from_secs(20), "{name} waits on");
    }
    node.resume()?;
    for (_, bitcoin) in &connected {
        assert_eq!(bitcoin.get_block_height()?, 2);
        assert_eq!(bitcoin.get_block(&hash)?.len(), 1);
    }
    Ok(())
}

fn wrong_password() -> Outcome {
    let login = |password: &str| Credentials::UserPassword {
        user: "someone".to_owned(),
        password: Secret::new(password.to_owned()),
    };
    // With what a URL or a header could stumble over.
    let right = "p:a@s/s %w&ö";
    let node = builder()
        .auth(RpcAuth::UserPassword {
            user: "someone".to_owned(),
            password: right.to_owned(),
        })
        .start()?;
    let with = |password: &str| NodeConfig {
        credentials: login(password),
        ..node_config(&node)
    };
    for (_, bitcoin) in connect_all(&with(right))? {
        assert_eq!(bitcoin.get_block_height()?, 0);
    }
    for backend in Backend::REAL {
        let error = failure(
            backend.connect(&with("wrong")),
            ErrorKind::Auth,
            backend.name(),
        );
        assert!(!error.to_string().contains("wrong"), "{error}");
    }
    Ok(())
}

fn without_rest() -> Outcome {
    let node = builder().rest(false).start()?;
    let hash = mined(2, &node)?[0].to_string();
    for (name, bitcoin) in connect_all(&node_config(&node))? {
        for _ in 0..3 {
            assert_eq!(bitcoin.get_block(&hash)?.len(), 1, "{name}");
        }
        failure(
            bitcoin.get_block(&"00".repeat(32)),
            ErrorKind::NotFound,
            name,
        );
    }
    Ok(())
}

fn without_index() -> Outcome {
    let node = builder().txindex(false).start()?;
    let hash = mined(1, &node)?[0].to_string();
    for (name, bitcoin) in connect_all(&node_config(&node))? {
        let txid = bitcoin.get_block(&hash)?[0].txid.to_string();
        let error = failure(bitcoin.get_transaction(&txid), ErrorKind::NotFound, name);
        assert!(error.message().contains("-txindex"), "{name}: {error}");
    }
    Ok(())
}

fn pruned() -> Outcome {
    for has_rest in [true, false] {
        let node = builder()
            .prune(1)
            .arg("-fastprune")
            .rest(has_rest)
            .start()?;
        let first = mined(600, &node)?[0].to_string();
        let pruned: u32 = node.call("pruneblockchain", &[json!(300)])?;
        assert!(pruned > 1, "the test needs a pruned block");
        for (name, bitcoin) in connect_all(&node_config(&node))? {
            let error = failure(bitcoin.get_block(&first), ErrorKind::NotFound, name);
            assert!(error.message().contains("prune"), "{name}: {error}");
            assert_eq!(bitcoin.get_block_height()?, 600);
        }
    }
    Ok(())
}

fn other_networks() -> Outcome {
    for (network, core, ours) in [
        (Network::Bitcoin, "main", "mainnet"),
        (Network::Testnet4, "testnet4", "testnet4"),
        (Network::Signet, "signet", "signet"),
    ] {
        let node = builder().network(network).start()?;
        for (name, bitcoin) in connect_all(&node_config(&node))? {
            assert_eq!(bitcoin.get_block_height()?, 0, "{name} on {core}");
        }
        let config = NodeConfig {
            network: Network::Regtest,
            ..node_config(&node)
        };
        for backend in Backend::REAL {
            let error = failure(
                backend.connect(&config),
                ErrorKind::Configuration,
                backend.name(),
            );
            let text = error.to_string();
            assert!(
                text.contains("regtest") && (text.contains(core) || text.contains(ours)),
                "{text}"
            );
        }
    }
    Ok(())
}
