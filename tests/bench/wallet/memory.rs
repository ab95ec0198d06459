//! Peak memory of a first sync, each in a process of its own.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use btc::shadow::memory::{self, Resident};
use btc::{BitcoinImplementationType, Credentials, Network, NodeConfig};
use btc_regtest::Node;

use super::bdk::{Bdk, client};
use super::place::{Words, config};
use crate::Outcome;

/// The argument that makes this program sync once and say what memory it took.
pub(crate) const ARGUMENT: &str = "--peak-of";

/// Whose sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Rust,
    Python,
    Bdk,
}

impl Who {
    pub(crate) const ALL: [Self; 3] = [Self::Rust, Self::Python, Self::Bdk];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rust => "Rust",
            Self::Python => "Python",
            Self::Bdk => "BDK",
        }
    }
}

/// What a process had in memory, in KiB.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peak {
    pub(crate) who: Who,
    /// Blocks of the chain.
    pub(crate) height: u32,
    /// Resident before the sync.
    pub(crate) before_kib: u64,
    /// Resident at the most, from the start of the process to the end of the sync.
    pub(crate) most_kib: u64,
}

impl fmt::Display for Peak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (who, height) = (self.who.name(), self.height);
        let (before, peak) = (self.before_kib, self.most_kib);
        write!(
            f,
            "{who}, {height} blocks: {before} KiB, at most {peak} KiB"
        )
    }
}

/// Lets a process of its own sync a wallet of these words for the first time.
pub(super) fn peak(who: Who, words: &Words, node: &Node, height: u32) -> Outcome<Peak> {
    let place = words.restore(0)?;
    let cookie = node.cookie_file().ok_or("the node has no cookie")?;
    let output = Command::new(std::env::current_exe()?)
        .args([ARGUMENT, who.name(), &node.rpc_url()])
        .args([&cookie, place.dir(), place.home()])
        .arg(words.number().to_string())
        .stderr(std::process::Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(format!("the sync of {} failed: {}", who.name(), output.status).into());
    }
    let text = String::from_utf8(output.stdout)?;
    let mut numbers = text.split_whitespace().map(str::parse::<u64>);
    let mut number = || numbers.next().ok_or("the child has said too little");
    Ok(Peak {
        who,
        height,
        before_kib: number()??,
        most_kib: number()??,
    })
}

/// The child: syncs, and prints what it had in memory.
pub(crate) fn child(arguments: impl Iterator<Item = String>) -> Outcome<()> {
    let arguments: Vec<String> = arguments.collect();
    let [who, url, cookie, dir, home, words] = arguments.as_slice() else {
        return Err("wrong arguments: this is called by the bench itself".into());
    };
    let node = NodeConfig {
        url: url.clone(),
        credentials: Credentials::CookieFile(PathBuf::from(cookie)),
        ..NodeConfig::new(Network::Regtest)
    };
    let config = config(&node, Path::new(dir))?;
    let before;
    if who == Who::Bdk.name() {
        let cookie = std::fs::read_to_string(cookie)?;
        let client = client(url, &cookie)?;
        let mut wallet = Bdk::create(&Words::of(words.parse()?)?, Path::new(home))?;
        before = resident()?.rss_bytes;
        wallet.sync(&client, 0)?;
        std::hint::black_box(wallet.coins());
    } else {
        let implementation = if who == Who::Rust.name() {
            BitcoinImplementationType::Rust
        } else {
            BitcoinImplementationType::Python
        };
        let bitcoin = btc::connect_to(&config, implementation)?;
        before = resident()?.rss_bytes;
        std::hint::black_box(bitcoin.get_balance()?);
    }
    println!("{} {}", before >> 10, resident()?.peak_rss_bytes >> 10);
    Ok(())
}

/// The memory of this process.
fn resident() -> Outcome<Resident> {
    Ok(memory::of_this_process().ok_or("there is no /proc/self/status")?)
}
