//! The benches of docs/performance.md: each row a ratio, both sides measured in turn in one run.

mod measure;
mod raw;
mod report;
mod rows;
mod shadow;
mod wallet;

use std::error::Error;
use std::path::PathBuf;

use btc_regtest::{Chain, Plan};

use crate::measure::Effort;
use crate::report::Results;

/// What can go wrong here needs no type of its own: it ends the run.
type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome<()> {
    let mut effort = Effort::FULL;
    let (mut markdown, mut json, mut only) = (None, None, None);
    let mut arguments = std::env::args().skip(1).peekable();
    if arguments.next_if_eq(wallet::memory::ARGUMENT).is_some() {
        return wallet::memory::child(arguments);
    }
    if arguments
        .next_if_eq(shadow::comparisons::ARGUMENT)
        .is_some()
    {
        return shadow::comparisons::child(arguments);
    }
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--quick" => effort = Effort::QUICK,
            "--only" => only = arguments.next(),
            "--markdown" => markdown = arguments.next().map(PathBuf::from),
            "--json" => json = arguments.next().map(PathBuf::from),
            _ => {
                return Err(format!(
                    "unknown argument `{argument}`: use --quick, --only reads|syncs|payments|coins|shadow, \
                     --markdown FILE, --json FILE"
                )
                .into());
            }
        }
    }
    let wants = |group: &str| only.as_ref().is_none_or(|only| only == group);
    if only.is_some() && (markdown.is_some() || json.is_some()) {
        return Err("a part is not written down: leave out --only or the files".into());
    }
    let mut results = Results::default();
    if wants("reads") {
        reads(&effort, &mut results)?;
    }
    if wants("syncs") {
        wallet::syncs(&effort, &mut results)?;
    }
    if wants("payments") {
        wallet::payments(&effort, &mut results)?;
    }
    if wants("coins") {
        wallet::many(&effort, &mut results)?;
    }
    if wants("shadow") {
        shadow::figures(&effort, &mut results)?;
    }
    print!("{}", report::table(&results));
    if let Some(path) = json {
        std::fs::write(path, report::json(&results)?)?;
    }
    if let Some(path) = markdown {
        report::into_markdown(&path, &results)?;
    }
    Ok(())
}

/// What a node without a wallet is asked for.
fn reads(effort: &Effort, results: &mut Results) -> Outcome<()> {
    let node = btc_tests::builder().start()?;
    eprintln!("building a chain with a full block");
    let summary = Chain::new(&node, 1)?.build(&Plan::full(), &mut |_| {})?;
    let subject = rows::Subject::new(&node, btc_tests::node_config(&node), &summary)?;
    results.subject = format!(
        "Node `{}`; the full block has {} transactions in {} bytes.",
        subject.node_version, subject.transactions, subject.block_bytes
    );
    rows::all(&subject, *effort, results)
}
