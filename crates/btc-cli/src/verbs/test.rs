//! `btc test`: compares both implementations over the node's chain.

use std::sync::Arc;

use btc::config::ShadowConfig;
use btc::shadow::analysis::{Analysis, Report, render_table};
use btc::shadow::sink::{MemorySink, Rotation, Sink, Tee};
use btc::{BitcoinInterface, BitcoinResult, Config};
use btc_regtest::{Chain, Plan};

use super::{Done, analyze, demo};
use crate::exit::Failure;
use crate::flags::Test;
use crate::node::Session;
use crate::output::Output;
use crate::{progress, suite};

pub(super) fn run(output: Output, options: &Test) -> Done {
    let session = Session::open_with_wallet()?;
    let mut txids = Vec::new();
    if let Some(node) = &session.private {
        let summary = demo::build(&mut Chain::new(node, 1)?, &Plan::small())?;
        txids = summary.mempool.iter().map(ToString::to_string).collect();
    }
    let inputs = suite::Inputs {
        blocks: last_blocks(&session, options.blocks)?,
        transactions_per_block: options.transactions,
        txids,
    };
    let report = compare(&session.config, &inputs, &mut |_| Ok(()))?;
    output.show(&report, || {
        let log = session.config.shadow.as_ref().map_or_else(
            || "not recorded; SHADOW_MODE=true writes a log".to_owned(),
            |shadow| shadow.log_file.display().to_string(),
        );
        format!(
            "{}\nprimary   {}\nlog       {log}\n",
            render_table(&report),
            session.config.implementation
        )
    })?;
    Ok(analyze::code(&report))
}

/// Runs the suite, and then `more`, through shadow mode; the log is written when shadow mode is
/// configured.
pub(super) fn compare(
    config: &Config,
    inputs: &suite::Inputs,
    more: &mut dyn FnMut(&dyn BitcoinInterface) -> Result<(), Failure>,
) -> Result<Report, Failure> {
    let memory = Arc::new(MemorySink::default());
    let log_all = config.shadow.as_ref().is_none_or(|shadow| shadow.log_all);
    let open_log = || -> BitcoinResult<Box<dyn Sink>> {
        let memory = Arc::clone(&memory);
        match &config.shadow {
            Some(shadow) => Ok(Box::new(Tee(btc::open_log(&keeping_all(shadow))?, memory))),
            None => Ok(Box::new(memory)),
        }
    };
    let shadow = btc::connect_shadow(config, config.implementation, open_log, log_all)?;
    let what = format!("comparing, {} first", shadow.implementation_type());
    suite::run(&shadow, inputs, &progress::bar(0, &what));
    more(&shadow)?;
    // The totals are written when the decorator goes.
    drop(shadow);
    let mut analysis = Analysis::default();
    for line in memory.lines() {
        analysis.add(line);
    }
    Ok(analysis.finish())
}

/// The configured log, of which a trial deletes no file: it may hold the evidence of other runs.
pub(super) fn keeping_all(shadow: &ShadowConfig) -> ShadowConfig {
    ShadowConfig {
        log_max_files: Some(Rotation::KEEP_ALL),
        ..shadow.clone()
    }
}

/// The hashes of the last blocks, oldest first.
pub(super) fn last_blocks(session: &Session, count: u32) -> Result<Vec<String>, Failure> {
    let Some(node) = &session.config.node else {
        return Ok(Vec::new());
    };
    let core = btc::rust::RustBitcoin::connect(node)?;
    let height = core.get_block_height()?;
    let first = height.saturating_sub(count.saturating_sub(1));
    let hashes = (first..=height).map(|height| Ok(core.get_block_hash(height)?.to_string()));
    hashes.collect()
}
