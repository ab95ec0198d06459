//! `btc replay`: makes recorded calls, or reads a range of the chain, through both implementations.

mod plan;
mod show;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use btc::shadow::replay::{self, ReplayLog, Settings, Source, State};
use btc::{Config, Network};

pub(super) use self::plan::resolve;
use self::plan::{node, plan};
pub(super) use self::show::bad_lines;
use self::show::{Bar, conclude};
use super::Done;
use crate::exit::{Code, Failure};
use crate::flags::Replay;
use crate::output::{Output, note};

const CHECKPOINT_EVERY: Duration = Duration::from_secs(2);

pub(super) fn run(output: Output, options: &Replay) -> Done {
    let mut config = Config::load()?;
    if let Some(primary) = options.primary {
        config.implementation = primary;
    }
    if options.blocks.is_some() {
        config.wallet = None;
    }
    check_effects(options, &config)?;
    let mut plan = plan(options, &config)?;
    if plan.is_over {
        note("this replay is finished; --restart begins it anew");
    } else {
        plan.state = make_calls(
            &config,
            options,
            plan.source,
            plan.state,
            &plan.log,
            Show {
                total: plan.total,
                path: plan.path.as_deref(),
            },
        )?;
    }
    conclude(output, &plan.state, &plan.log, plan.path.as_deref())
}

/// What a replay shows on its way, and where it keeps how far it got.
#[derive(Clone, Copy)]
struct Show<'s> {
    total: Option<u64>,
    path: Option<&'s Path>,
}

fn make_calls(
    config: &Config,
    options: &Replay,
    source: Box<dyn Source>,
    mut state: State,
    log: &Arc<ReplayLog>,
    show: Show<'_>,
) -> Result<State, Failure> {
    let settings = Settings {
        threads: options.threads.into(),
        rate: options.rate,
        checkpoint_every: CHECKPOINT_EVERY,
    };
    let open_log = || Ok(Box::new(Arc::clone(log)) as _);
    let shadow = btc::connect_shadow(config, config.implementation, open_log, true)?;
    let shadow = shadow.off_path(settings.off_path())?;
    let mut bar = Bar::new(show.total);
    let tally = state.tally.clone();
    let ran = replay::run(
        &shadow,
        log,
        source,
        tally,
        &settings,
        &mut |input, tally, log, is_end| {
            state.input = input;
            state.tally = tally.clone();
            state.log = log;
            state.is_finished = is_end;
            show.path.map_or(Ok(()), |path| state.write(path))
        },
        &mut |moment| bar.show(moment),
    );
    bar.clear();
    if ran.is_err()
        && let Some(path) = show.path
    {
        let path = path.display();
        note(format!(
            "the same command goes on where it stopped, from {path}"
        ));
    }
    ran?;
    // The last lines are written when the decorator goes.
    drop(shadow);
    log.flush()?;
    Ok(state)
}

/// What reserves something is made again only where nothing is lost by it.
fn check_effects(options: &Replay, config: &Config) -> Result<(), Failure> {
    let is_regtest = node(config)?.network == Network::Regtest;
    if options.effects && !(is_regtest && config.wallet.is_some()) {
        let message = "--effects reserves addresses and coins, so it works on regtest only, with \
                       a wallet in WALLET_DIR";
        return Err(Failure::Other(Code::Usage, message.to_owned()));
    }
    Ok(())
}
