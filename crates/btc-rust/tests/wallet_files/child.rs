//! This test program as a child process that works until it is killed.

use std::env;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use btc_iface::Network;
use btc_rust::wallet::folder::{Folder, create};
use btc_rust::wallet::reservations::Reservations;
use btc_rust::wallet::secret::Protection;

use crate::labels::{all_coins, books, finish_import, import_with_locks};
use crate::support::{RECEIVE, from_words};

const ROLE: &str = "WALLET_FILES_ROLE";
const PLACE: &str = "WALLET_FILES_PLACE";

/// A child at work; killed at the end of the test at the latest.
pub(crate) struct Worker {
    child: Child,
    output: BufReader<ChildStdout>,
}

pub(crate) fn spawn(role: &str, place: &Path) -> Worker {
    let program = env::current_exe().expect("this program");
    let mut child = Command::new(program)
        .args(["--exact", "child::work", "--ignored", "--nocapture"])
        .env(ROLE, role)
        .env(PLACE, place)
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program runs");
    let output = BufReader::new(child.stdout.take().expect("piped"));
    Worker { child, output }
}

impl Worker {
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What follows this word on the next line that has it; empty when the child is gone.
    pub(crate) fn line(&mut self, word: &str) -> String {
        let mut line = String::new();
        while self.output.read_line(&mut line).expect("a pipe") > 0 {
            // Without its end the child was cut off in the middle of the line.
            if let Some((_, rest)) = line.split_once(word)
                && let Some(rest) = rest.strip_suffix('\n')
            {
                return rest.trim().to_owned();
            }
            line.clear();
        }
        String::new()
    }

    /// SIGKILL, and the end.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it is ours");
        self.child.wait().expect("it is ours");
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.kill();
    }
}

#[test]
#[ignore = "the work of a child process; other tests start it"]
fn work() {
    let Some(role) = env::var_os(ROLE) else {
        println!("skipped: no role given");
        return;
    };
    let place = PathBuf::from(env::var_os(PLACE).expect("given with the role"));
    match role.to_str() {
        Some("hold") => {
            let _folder = Folder::open(&place).expect("nobody else has it");
            println!("holding the wallet");
            thread::sleep(Duration::from_hours(1));
        }
        Some("take") => {
            let mut reservations = Reservations::open(&place).expect("a wallet's folder");
            loop {
                let index = reservations.take_index(RECEIVE, 0).expect("a sound file");
                println!("took {index}");
            }
        }
        Some("create") => {
            let new = from_words(Network::Regtest, Protection::PlainRegtestOnly);
            for number in 0.. {
                create(&place.join(number.to_string()), &new).expect("a free place");
                println!("created {number}");
            }
        }
        Some("import") => {
            let books = books(&place);
            let mut reservations = Reservations::open(&place).expect("a wallet's folder");
            // As a start does.
            finish_import(&books, &mut reservations).expect("a sound file");
            for (text, spendable) in [("a", false), ("b", true)].into_iter().cycle() {
                let all = all_coins(text, spendable);
                import_with_locks(&books, &mut reservations, &all).expect("sound files");
                println!("imported {text}");
            }
        }
        _ => unreachable!("no such role"),
    }
}
