//! The private node: it starts, restarts on its port, and ends with its owner.

use std::env;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use bitcoin::Network;
use btc_regtest::{Node, NodeBuilder, NodeError, RpcAuth};
use serde_json::{Value, json};

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn builder() -> NodeBuilder {
    match env::var_os("BITCOIND_EXE") {
        Some(exe) => Node::builder().exe(exe),
        None => Node::builder(),
    }
}

fn mine(node: &Node, blocks: u32) -> Result<Vec<String>, NodeError> {
    let anyone = "raw(51)#8lvh9jxk";
    node.call("generatetodescriptor", &[json!(blocks), json!(anyone)])
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

#[test]
fn starts_answers_and_leaves_nothing() -> Outcome {
    let begun = Instant::now();
    let node = builder().start()?;
    println!("started in {:?}", begun.elapsed());
    let info: Value = node.call("getblockchaininfo", &[])?;
    assert_eq!(info["chain"], "regtest");
    assert_eq!(info["blocks"], 0);
    assert_eq!(node.network(), Network::Regtest);
    assert!(node.cookie_file().is_some_and(|path| path.is_file()));
    assert!(node.p2p_address().is_none());
    let indexes: Value = node.call("getindexinfo", &[])?;
    assert!(indexes["txindex"].is_object(), "{indexes}");

    let (pid, dir) = (node.pid().ok_or("no pid")?, node.datadir().to_path_buf());
    assert!(alive(pid));
    let begun = Instant::now();
    drop(node);
    println!("dropped in {:?}", begun.elapsed());
    assert!(!alive(pid));
    assert!(!dir.parent().ok_or("no parent")?.exists());
    Ok(())
}

#[test]
fn restarts_on_the_same_port_with_the_same_chain() -> Outcome {
    let node = builder().start()?;
    let port = node.rpc_port();
    mine(&node, 5)?;
    node.stop()?;
    assert!(!node.is_running() && node.pid().is_none());
    assert!(matches!(
        node.call::<u32>("getblockcount", &[]),
        Err(NodeError::Stopped)
    ));
    node.stop()?;
    node.restart()?;
    assert_eq!(node.rpc_port(), port);
    assert_eq!(node.call::<u32>("getblockcount", &[])?, 5);
    let before = node.pid();
    node.restart()?;
    assert_ne!(node.pid(), before);
    assert_eq!(node.call::<u32>("getblockcount", &[])?, 5);
    Ok(())
}

#[test]
fn survives_a_crash() -> Outcome {
    let node = builder().start()?;
    mine(&node, 3)?;
    let pid = node.pid().ok_or("no pid")?;
    node.kill9()?;
    assert!(!alive(pid));
    node.restart()?;
    mine(&node, 1)?;
    Ok(())
}

#[test]
fn a_frozen_node_answers_when_it_is_let_go() -> Outcome {
    let node = builder().start()?;
    node.pause()?;
    std::thread::scope(|scope| {
        let call = scope.spawn(|| node.call::<u32>("getblockcount", &[]));
        sleep(Duration::from_millis(300));
        if call.is_finished() {
            return Err(format!("a frozen node answered: {:?}", call.join()).into());
        }
        node.resume()?;
        assert_eq!(call.join().map_err(|_| "the caller panicked")??, 0);
        Ok(())
    })
}

#[test]
fn a_given_data_directory_is_kept() -> Outcome {
    let dir = tempfile::tempdir()?;
    let node = builder().datadir(dir.path()).start()?;
    mine(&node, 2)?;
    let pid = node.pid().ok_or("no pid")?;
    drop(node);
    assert!(!alive(pid));
    let node = builder().datadir(dir.path()).start()?;
    assert_eq!(node.call::<u32>("getblockcount", &[])?, 2);
    Ok(())
}

#[test]
fn user_and_password_replace_the_cookie() -> Outcome {
    let auth = RpcAuth::UserPassword {
        user: "alice".into(),
        password: "correct horse".into(),
    };
    assert!(
        !format!("{auth:?}").contains("horse"),
        "the password must not be shown"
    );
    let node = builder().auth(auth).start()?;
    assert_eq!(node.cookie_file(), None);
    assert_eq!(node.call::<u32>("getblockcount", &[])?, 0);
    let arguments = std::fs::read(format!("/proc/{}/cmdline", node.pid().ok_or("no pid")?));
    if let Ok(arguments) = arguments {
        assert!(!String::from_utf8_lossy(&arguments).contains("horse"));
    }
    Ok(())
}

#[test]
fn other_networks_start_and_stay_alone() -> Outcome {
    for (network, name) in [
        (Network::Bitcoin, "main"),
        (Network::Signet, "signet"),
        (Network::Testnet4, "testnet4"),
        (Network::Testnet, "test"),
    ] {
        let node = builder().network(network).start()?;
        let info: Value = node.call("getblockchaininfo", &[])?;
        assert_eq!(info["chain"], name);
        let info: Value = node.call("getnetworkinfo", &[])?;
        assert_eq!(
            (&info["networkactive"], &info["connections"]),
            (&json!(false), &json!(0))
        );
    }
    Ok(())
}

#[test]
fn two_nodes_meet_when_one_listens() -> Outcome {
    let (first, second) = (
        builder().listen(true).start()?,
        builder().block_filters(true).start()?,
    );
    mine(&first, 4)?;
    let address = first.p2p_address().ok_or("it listens")?;
    let _: Value = second.call("addnode", &[json!(address.to_string()), json!("onetry")])?;
    eventually("the second node has the blocks", || {
        second
            .call::<u32>("getblockcount", &[])
            .is_ok_and(|count| count == 4)
    });
    Ok(())
}

#[test]
fn a_pruned_node_has_no_index() -> Outcome {
    let node = builder().prune(1).start()?;
    let info: Value = node.call("getblockchaininfo", &[])?;
    assert_eq!(info["pruned"], true);
    assert_eq!(node.call::<Value>("getindexinfo", &[])?, json!({}));
    Ok(())
}

#[test]
fn a_failed_start_shows_bitcoinds_reason() {
    let error = builder()
        .arg("-nonsense=1")
        .start()
        .expect_err("an unknown argument");
    assert!(
        matches!(&error, NodeError::Start { log, .. } if log.contains("nonsense")),
        "{error}"
    );
}

#[test]
fn a_node_may_be_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Node>();
    shared::<btc_regtest::Chain<'_>>();
}

#[test]
fn errors_carry_cores_code() -> Outcome {
    let node = builder().start()?;
    let error = node
        .call::<Value>("getblockhash", &[json!(7)])
        .expect_err("no such height");
    assert_eq!(error.rpc_code(), Some(-8));
    assert!(
        error
            .rpc_message()
            .is_some_and(|text| text.contains("out of range")),
        "{error:?}"
    );
    Ok(())
}

/// The variable under which the next test starts this program again as the owner of a node.
const OWNER: &str = "BTC_REGTEST_TEST_OWNER";

#[test]
fn ends_with_an_owner_that_is_killed() -> Outcome {
    if env::var_os(OWNER).is_some() {
        let node = builder().start()?;
        if env::var_os(OWNER).is_some_and(|how| how == "restarted") {
            node.restart()?;
        }
        println!(
            "\nowned {} {}",
            node.pid().ok_or("no pid")?,
            node.datadir().display()
        );
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
        let line = output
            .lines()
            .map_while(Result::ok)
            .find(|line| line.starts_with("owned "))
            .ok_or("the owner says what it owns")?;
        let mut words = line.split_whitespace().skip(1);
        let pid: u32 = words.next().ok_or("a pid")?.parse()?;
        let dir = PathBuf::from(words.next().ok_or("a directory")?);
        assert!(alive(pid) && dir.is_dir());

        owner.kill()?;
        owner.wait()?;
        eventually("bitcoind is gone", || !alive(pid));
        eventually("its directory is gone", || {
            !dir.parent().is_some_and(Path::exists)
        });
    }
    Ok(())
}
