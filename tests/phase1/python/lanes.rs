//! What a worker may do without taking its lane, or another's, with it.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use btc::python::PythonBitcoin;
use btc::{BitcoinInterface, Credentials, ErrorKind, Secret};
use btc_tests::{Backend, Fault, Outcome, eventually, failure, is_alive};
use tempfile::TempDir;

use super::{Trial, connect, written};

/// Over both modes.
pub(super) const FAULTS: &[(&str, Fault)] = &[
    (
        "reads_and_broadcasts_do_not_wait_for_wallet_calls",
        wallet_calls,
    ),
    ("hangs_in_the_wallet", hangs_in_the_wallet),
];

/// Over workers alone.
pub(super) const OF_WORKERS: &[(&str, Trial)] = &[
    ("prints_what_is_no_text_and_no_line", prints),
    ("its_last_words_hide_the_password", last_words),
    ("dies_after_it_forked", || forked("forking", "", "")),
    ("dies_after_it_forked_and_killed_its_guard", || {
        forked("forking_alone", KILL_GUARD, "")
    }),
    ("dies_after_it_forked_a_daemon", || {
        forked("daemonic", "", "os.setsid()")
    }),
    ("a_start_that_outlasts_its_limit_is_ended", slow_start),
];

/// Which files are in the folder decides what is said and waited for.
const PATIENT: &str = "
import os, pathlib, time
HERE = pathlib.Path(__file__).parent
class Own:
    def __init__(self, config):
        pass
    def get_balance(self):
        (HERE / 'waiting').touch()
        while not (HERE / 'go').exists():
            time.sleep(0.01)
        return 21
    def get_block_height(self):
        return 7
    def broadcast_transaction(self, transaction):
        return transaction['txid']
    def estimate_fee(self, target_blocks):
        return 1
";

/// Sixteen callers ask for the balance, which takes long.
fn wallet_calls(backend: Backend) -> Outcome {
    const SOON: Duration = Duration::from_secs(8);
    let folder = TempDir::new()?;
    let config = written(backend, folder.path(), "patient", PATIENT)?;
    let bitcoin = connect(&config)?;
    let transaction = btc_tests::to_plain(
        &bitcoin::blockdata::constants::genesis_block(bitcoin::Network::Regtest).txdata[0],
        None,
    );
    thread::scope(|scope| -> Outcome {
        let waiting: Vec<_> = (0..16)
            .map(|_| scope.spawn(|| bitcoin.get_balance()))
            .collect();
        eventually("one is asked", || folder.path().join("waiting").exists());
        let begun = Instant::now();
        let answers = (0..8).try_for_each(|_| -> Outcome {
            assert_eq!(bitcoin.get_block_height()?, 7);
            let txid = bitcoin.broadcast_transaction(&transaction)?;
            assert_eq!(txid, transaction.txid.to_string());
            Ok(())
        });
        let took = begun.elapsed();
        fs::write(folder.path().join("go"), "")?;
        for answer in waiting {
            assert_eq!(answer.join().expect("no panic")?, 21);
        }
        answers?;
        assert!(took < SOON, "they waited for {took:?}");
        Ok(())
    })
}

/// The lane of wallet calls is lost or replaced; reads have others.
fn hangs_in_the_wallet(backend: Backend) -> Outcome {
    let folder = TempDir::new()?;
    let mut config = written(backend, folder.path(), "hanging_wallet", PATIENT)?;
    config.timeout = Some(Duration::from_secs(3));
    let bitcoin = connect(&config)?;
    failure(bitcoin.get_balance(), ErrorKind::Timeout, "it hangs");
    assert_eq!(bitcoin.get_block_height()?, 7);
    if backend == Backend::PythonEmbedded {
        let begun = Instant::now();
        let error = failure(bitcoin.get_balance(), ErrorKind::Unavailable, "no lane");
        assert!(error.message().contains("busy"), "{error}");
        assert!(
            begun.elapsed() < Duration::from_secs(2),
            "it was waited for"
        );
    }
    fs::write(folder.path().join("go"), "")?;
    eventually("wallet calls are answered again", || {
        bitcoin.get_balance().is_ok()
    });
    Ok(())
}

fn prints() -> Outcome {
    let source = "
import os, sys
class Own:
    def __init__(self, config):
        pass
    def get_block_height(self):
        os.write(2, b'\\xff\\xfe is no text\\n')
        sys.stderr.buffer.write(b'\\xc3' * 300_000)
        print('x' * 300_000, end='', flush=True)
        print(file=sys.stderr, flush=True)
        return 7
";
    let folder = TempDir::new()?;
    let config = written(Backend::PythonWorker, folder.path(), "printing", source)?;
    let bitcoin = connect(&config)?;
    for _ in 0..20 {
        assert_eq!(bitcoin.get_block_height()?, 7);
    }
    Ok(())
}

fn last_words() -> Outcome {
    let source = "
import os
class Own:
    def __init__(self, config):
        self.password = config.rpc_password
    def get_block_height(self):
        os.write(2, b'\\xffgoing down\\n\\x1b[31mwith ' + self.password.encode())
        os._exit(3)
";
    let folder = TempDir::new()?;
    let mut config = written(Backend::PythonWorker, folder.path(), "telling_last", source)?;
    config.node.credentials = Credentials::UserPassword {
        user: "user".to_owned(),
        password: Secret::new("not-to-be-seen".to_owned()),
    };
    let bitcoin = connect(&config)?;
    let error = failure(bitcoin.get_block_height(), ErrorKind::Unavailable, "dies");
    let text = format!("{error} {error:?}");
    assert!(
        text.contains("going down") && text.contains("with ***"),
        "{text}"
    );
    assert!(!text.contains("not-to-be-seen"), "{text}");
    assert!(!error.to_string().contains('\u{1b}'), "{error}");
    Ok(())
}

/// Whatever else is in the worker's group.
const KILL_GUARD: &str = "kill_others()";

/// A fork holds all pipes open while the worker is killed.
fn forked(name: &str, before: &str, daemon: &str) -> Outcome {
    let source = format!(
        "
import contextlib, os, pathlib, signal, time
HERE = pathlib.Path(__file__).parent
def kill_others():
    for name in os.listdir('/proc'):
        with contextlib.suppress(ProcessLookupError, ValueError):
            if os.getpgid(int(name)) == os.getpid() != int(name):
                os.kill(int(name), signal.SIGKILL)
class Own:
    def __init__(self, config):
        pass
    def get_block_height(self):
        {before}
        pid = os.fork()
        if not pid:
            {daemon}
            time.sleep(3600)
        (HERE / 'forked').write_text(str(pid))
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGKILL)
    def estimate_fee(self, target_blocks):
        return 1
"
    );
    let folder = TempDir::new()?;
    let mut config = written(Backend::PythonWorker, folder.path(), name, &source)?;
    config.max_lanes = 1;
    let bitcoin = connect(&config)?;
    let begun = Instant::now();
    failure(bitcoin.get_block_height(), ErrorKind::Unavailable, "dies");
    assert!(begun.elapsed() < Duration::from_secs(10), "the lane hung");
    super::assert_alive(&bitcoin);
    let pid: u32 = fs::read_to_string(folder.path().join("forked"))?.parse()?;
    if daemon.is_empty() {
        eventually("the fork is gone", || !is_alive(pid));
    } else {
        // It has left the group, as a daemon means to; it is this test's to end.
        std::process::Command::new("kill")
            .args(["-KILL", &pid.to_string()])
            .status()?;
    }
    Ok(())
}

/// Where nothing answers within the limit, nothing is left either.
fn slow_start() -> Outcome {
    let source = "
import os, pathlib, time
HERE = pathlib.Path(__file__).parent
class Own:
    def __init__(self, config):
        with (HERE / 'pids').open('a') as pids:
            pids.write(f'{os.getpid()}\\n')
        time.sleep(3600)
";
    let folder = TempDir::new()?;
    let mut config = written(Backend::PythonWorker, folder.path(), "slow_start", source)?;
    for limit in [0_u64, 0, 0, 0, 1, 5, 80, 2_000] {
        config.timeout = Some(Duration::from_millis(limit));
        let connected = PythonBitcoin::connect(&config);
        failure(connected, ErrorKind::Timeout, "it does not start");
    }
    let pids = pids(folder.path());
    assert!(!pids.is_empty(), "two seconds are enough to begin");
    eventually("no worker is left", || {
        workers_of(folder.path()).is_empty() && !pids.iter().any(|pid| is_alive(*pid))
    });
    Ok(())
}

fn pids(folder: &Path) -> Vec<u32> {
    let text = fs::read_to_string(folder.join("pids")).unwrap_or_default();
    text.lines().flat_map(str::parse).collect()
}

/// The processes that have this folder among their arguments, as workers have that of their class.
pub(super) fn workers_of(folder: &Path) -> Vec<u32> {
    let mark = folder.to_string_lossy();
    let is_worker = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&*mark) && is_alive(*pid)
    };
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(is_worker)
        .collect()
}
