//! The benches of docs/performance.md: each row a ratio, both sides measured in turn in one run.

mod measure;
mod raw;
mod report;
mod rows;

use std::error::Error;
use std::path::PathBuf;

use btc::{Credentials, Network, NodeConfig};
use btc_regtest::{Chain, Node, Plan};

use crate::measure::Effort;

/// What can go wrong here needs no type of its own: it ends the run.
type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome<()> {
    let mut effort = Effort::FULL;
    let mut markdown = None;
    let mut json = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--quick" => effort = Effort::QUICK,
            "--markdown" => markdown = arguments.next().map(PathBuf::from),
            "--json" => json = arguments.next().map(PathBuf::from),
            _ => {
                return Err(format!(
                    "unknown argument `{argument}`: use --quick, --markdown FILE, --json FILE"
                )
                .into());
            }
        }
    }
    let mut node = Node::builder();
    if let Some(exe) = std::env::var_os("BITCOIND_EXE") {
        node = node.exe(exe);
    }
    let node = node.start()?;
    eprintln!("building a chain with a full block");
    let summary = Chain::new(&node, 1)?.build(&Plan::full(), &mut |_| {})?;
    let config = NodeConfig {
        url: node.rpc_url(),
        credentials: node
            .cookie_file()
            .map_or(Credentials::None, Credentials::CookieFile),
        ..NodeConfig::new(Network::Regtest)
    };
    let subject = rows::Subject::new(&node, config, &summary)?;
    let rows = rows::all(&subject, effort)?;
    print!("{}", report::table(&rows));
    if let Some(path) = json {
        std::fs::write(path, report::json(&rows, &subject)?)?;
    }
    if let Some(path) = markdown {
        report::into_markdown(&path, &rows, &subject)?;
    }
    Ok(())
}
