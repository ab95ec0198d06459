//! `btc demo`: a whole comparison on a private node, in both directions, and a fault caught.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use btc::BitcoinImplementationType::{self, Python, Rust};
use btc::config::ShadowConfig;
use btc::shadow::analysis::{Conclusion, Report, render_table};
use btc_regtest::{Chain, Plan, Progress, Summary};
use serde::Serialize;

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
    let mut session = Session::private()?;
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
    let summary = build(&mut Chain::new(node, options.seed)?, &plan)?;
    replace(&options.log)?;
    session.config.shadow = Some(ShadowConfig::new(&options.log));
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
    let python_primary = compare(&mut session, Python, &inputs)?;
    let rust_primary = compare(&mut session, Rust, &inputs)?;
    let planted = plant(&mut session, inputs)?;
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
        planted,
        log: options.log.clone(),
    };
    output.show(&outcome, || describe(&outcome))?;
    let is_well = outcome.planted.is_caught
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

fn compare(
    session: &mut Session,
    primary: BitcoinImplementationType,
    inputs: &suite::Inputs,
) -> Result<Report, Failure> {
    session.config.implementation = primary;
    test::compare(session, inputs)
}

/// The same with a faulty Python class, which leaves the log alone.
fn plant(session: &mut Session, mut inputs: suite::Inputs) -> Result<Planted, Failure> {
    session.config.shadow = None;
    session.config.python.backend = Some(PLANTED_CLASS.to_owned());
    inputs
        .blocks
        .drain(..inputs.blocks.len().saturating_sub(BLOCKS_FOR_THE_FAULT));
    let report = compare(session, Python, &inputs)?;
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
         == a planted fault: {} ==\n{caught}    {} of {} compared calls differ\n          {sample}\n\n\
         log       {}\nread it   btc analyze {}\n",
        outcome.chain.blocks,
        outcome.chain.transactions,
        kinds.join(", "),
        render_table(&outcome.python_primary),
        render_table(&outcome.rust_primary),
        outcome.planted.class,
        outcome.planted.report.mismatches,
        outcome.planted.report.compared,
        outcome.log.display(),
        outcome.log.display(),
    )
}
