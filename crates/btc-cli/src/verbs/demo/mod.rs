//! `btc demo`: a whole comparison on a private node, in both directions, and a fault caught.

#[cfg(feature = "dlc")]
mod dlc;
mod wallet;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use btc::BitcoinImplementationType::{Python, Rust};
use btc::Config;
use btc::config::ShadowConfig;
use btc::shadow::analysis::{Conclusion, Report, render_table};
use btc_regtest::{Chain, Plan, Progress, Summary};
use serde::Serialize;

use self::wallet::Life;
use super::{Done, test};
use crate::exit::{Code, Failure};
use crate::flags::Demo;
use crate::node::Session;
use crate::output::{BAD, GOOD, Output};
use crate::{progress, suite};

/// A Python class that adds one satoshi to the last output, and the field it must be caught at.
const PLANTED_CLASS: &str = "btc_legacy.mutants.reads:OffByOneSat";
const PLANTED_PATH: &str = "outputs[].value_sat";
/// Transactions of a block read on their own: all of a common block, a sample of a full one.
const TRANSACTIONS_PER_BLOCK: usize = 100;
/// Enough for the planted fault.
const BLOCKS_FOR_THE_FAULT: usize = 8;

#[derive(Serialize)]
struct Outcome {
    chain: Built,
    python_primary: Report,
    rust_primary: Report,
    wallet: Life,
    planted: Planted,
    log: PathBuf,
}

#[derive(Serialize)]
struct Built {
    blocks: usize,
    transactions: usize,
    kinds: BTreeMap<&'static str, usize>,
    full_block: Option<String>,
}

#[derive(Serialize)]
struct Planted {
    class: &'static str,
    expected_path: &'static str,
    is_caught: bool,
    report: Report,
}

pub(super) fn run(output: Output, options: &Demo) -> Done {
    #[cfg(feature = "dlc")]
    if let Some(crate::flags::DemoOf::Dlc) = options.of {
        return dlc::run(output);
    }
    let session = Session::private(&[])?;
    let plan = if options.quick {
        Plan::small()
    } else {
        Plan::full()
    };
    let Some(node) = &session.private else {
        return Err(Failure::Other(
            Code::Failed,
            "the private node is gone".to_owned(),
        ));
    };
    let mut chain = Chain::new(node, options.seed)?;
    let summary = build(&mut chain, &plan)?;
    replace(&options.log)?;
    let mut config = session.config.clone();
    config.shadow = Some(ShadowConfig::new(&options.log));
    let home = tempfile::tempdir().map_err(|cause| {
        let message = format!("no temporary folder for the demonstration's wallet: {cause}");
        Failure::Other(Code::Failed, message)
    })?;
    let birthday = chain.height();
    config.wallet = Some(wallet::make(
        &home.path().join("wallet"),
        birthday,
        options.seed,
    )?);
    let inputs = suite::Inputs {
        blocks: summary
            .blocks
            .iter()
            .map(|(_, hash)| hash.to_string())
            .collect(),
        transactions_per_block: TRANSACTIONS_PER_BLOCK,
        txids: summary
            .mempool
            .iter()
            .chain(&summary.replaced)
            .map(ToString::to_string)
            .collect(),
    };
    let mut compare = |primary| {
        config.implementation = primary;
        test::compare(&config, &inputs, &mut |bitcoin| {
            wallet::live(bitcoin, &mut chain)
        })
    };
    let python_primary = compare(Python)?;
    let rust_primary = compare(Rust)?;
    let life = wallet::raise_and_restore(&config, &mut chain, home.path(), birthday, options.seed)?;
    let planted = plant(config, inputs)?;
    let outcome = Outcome {
        chain: Built {
            blocks: summary.blocks.len(),
            transactions: summary.transactions(),
            kinds: summary
                .kinds
                .iter()
                .map(|(kind, txids)| (kind.label(), txids.len()))
                .collect(),
            full_block: summary.full_block.map(|hash| hash.to_string()),
        },
        python_primary,
        rust_primary,
        wallet: life,
        planted,
        log: options.log.clone(),
    };
    output.show(&outcome, || describe(&outcome))?;
    let is_well = outcome.planted.is_caught
        && outcome.wallet.is_well()
        && [&outcome.python_primary, &outcome.rust_primary]
            .into_iter()
            .all(|report| report.conclusion == Conclusion::Agree);
    Ok(if is_well { Code::Ok } else { Code::Failed })
}

/// Fills a chain, with a progress bar.
pub(super) fn build(chain: &mut Chain<'_>, plan: &Plan) -> Result<Summary, Failure> {
    let bar = progress::bar(1, "building a chain");
    let summary = chain.build(plan, &mut |at: Progress| {
        bar.set_message(at.step);
        bar.set_length(at.total.into());
        bar.set_position(at.done.into());
    });
    bar.finish_and_clear();
    Ok(summary?)
}

/// The reads with a faulty Python class, which leave the log alone.
fn plant(mut config: Config, mut inputs: suite::Inputs) -> Result<Planted, Failure> {
    config.shadow = None;
    config.wallet = None;
    config.implementation = Python;
    config.python.backend = Some(PLANTED_CLASS.to_owned());
    inputs
        .blocks
        .drain(..inputs.blocks.len().saturating_sub(BLOCKS_FOR_THE_FAULT));
    let report = test::compare(&config, &inputs, &mut |_| Ok(()))?;
    let is_caught = report.conclusion == Conclusion::Differ
        && report
            .operations
            .iter()
            .flat_map(|operation| &operation.paths)
            .all(|path| path.path.ends_with(PLANTED_PATH));
    Ok(Planted {
        class: PLANTED_CLASS,
        expected_path: PLANTED_PATH,
        is_caught,
        report,
    })
}

/// Removes the log of an earlier demonstration.
fn replace(log: &PathBuf) -> Result<(), Failure> {
    match fs::remove_file(log) {
        Ok(()) => Ok(()),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(cause) => {
            let message = format!("the old log {} cannot be replaced: {cause}", log.display());
            Err(Failure::Other(Code::Configuration, message))
        }
    }
}

fn describe(outcome: &Outcome) -> String {
    let kinds: Vec<_> = outcome
        .chain
        .kinds
        .iter()
        .map(|(kind, count)| format!("{kind} {count}"))
        .collect();
    let caught = if outcome.planted.is_caught {
        format!("{GOOD}CAUGHT{GOOD:#}")
    } else {
        format!("{BAD}MISSED{BAD:#}")
    };
    let sample = outcome
        .planted
        .report
        .operations
        .iter()
        .flat_map(|o| &o.paths)
        .next();
    let sample = sample.map_or_else(String::new, |path| {
        format!(
            "first at {}: {} against {}",
            path.sample.path, path.sample.primary, path.sample.secondary
        )
    });
    format!(
        "a chain of {} blocks with {} transactions\n  {}\n\n\
         == Python answers, Rust is compared ==\n{}\n\
         == Rust answers, Python is compared ==\n{}\n\
         == the wallet, replaced and restored ==\n{}\n\
         == a planted fault: {} ==\n{caught}    {} of {} compared calls differ\n          {sample}\n\n\
         log       {}\nread it   btc analyze {}\n",
        outcome.chain.blocks,
        outcome.chain.transactions,
        kinds.join(", "),
        render_table(&outcome.python_primary),
        render_table(&outcome.rust_primary),
        outcome.wallet.to_text(),
        outcome.planted.class,
        outcome.planted.report.mismatches,
        outcome.planted.report.compared,
        outcome.log.display(),
        outcome.log.display(),
    )
}
