//! `btc shadow soak`: a load through shadow mode, in both directions, and what it came to.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use btc::shadow::OffPath;
use btc::shadow::record::{Event, Memory};
use btc::{BitcoinImplementationType, Config};
use btc_regtest::Chain;

use super::Done;
use super::alone::{self, Task};
use super::end::Outcome;
use super::follow::Follower;
use super::ground::{self, Sides};
use super::leg::{self, Company, Setting};
use super::mover::{Mover, Moves};
use super::record::Record;
use crate::exit::{Code, Failure};
use crate::flags::Soak;
use crate::load::{Extent, Load, Mix, World};
use crate::node::Session;
use crate::output::{self, Output};
use crate::stop::Stop;

/// How long a soak is unless said otherwise.
const DEFAULT_CALLS: u64 = 10_000;
/// Reads of each implementation by itself, at most: memory has settled long before.
const MAX_ALONE_CALLS: u64 = 10_000;

/// Calls that may wait unless said otherwise. A load fills whatever queue there is, and from a long
/// one the other side is asked about a chain that has moved on meanwhile.
const QUEUE: u32 = 64;
/// How often the memory of this process is written.
const REPORT_EVERY: Duration = Duration::from_secs(5);
const NAP: Duration = Duration::from_millis(20);

/// Who moves the chain.
enum Ground<'n> {
    /// We do, on a private node.
    Ours(Box<Chain<'n>>),
    /// Others do, if anybody.
    Theirs(Follower),
}

pub(super) fn run(output: Output, options: &Soak) -> Done {
    let stop = Stop::on_signals()?;
    let session = Session::open_with_wallet()?;
    let home = tempfile::tempdir()
        .map_err(|cause| Failure::Other(Code::Failed, format!("no temporary folder: {cause}")))?;
    let mut config = session.config.clone();
    let (mut ground, world) = if let Some(node) = &session.private {
        let mut chain = Chain::new(node, options.seed)?;
        let world = ground::build(&mut config, &mut chain, home.path(), options.seed)?;
        (Ground::Ours(Box::new(chain)), world)
    } else {
        ground::configured(&mut config, options)?;
        let node = config.node.as_ref().expect("a session has a node");
        let (follower, inputs) = Follower::start(node)?;
        (Ground::Theirs(follower), World::new(inputs))
    };
    let mix = ground::mix(options, config.wallet.is_some(), session.network())?;
    let sides = Sides::connect(&config)?;
    let moves = Moves::default();
    match &mut ground {
        Ground::Ours(chain) => {
            ground::fund(chain, &sides, &world)?;
            moves.see(chain.height());
        }
        Ground::Theirs(follower) => moves.see(follower.height()),
    }
    // Opened once all else is there, so that a failure to begin leaves no empty one.
    let record = Arc::new(Record::open(&options.log, &config)?);
    let setting = Setting {
        config: &config,
        sides: &sides,
        world: &world,
        moves: &moves,
        record: &record,
        load: load(options, mix, session.private.is_some()),
        off_path: bounds(options, &config)?,
        holds_back: !options.no_hold_back,
        stop: &stop,
    };
    let outcome = drive(&setting, options, &mut ground, session.private.is_some())?;
    outcome.show(output)
}

/// One direction after the other, and then each implementation by itself.
fn drive<'o>(
    setting: &Setting<'_>,
    options: &'o Soak,
    ground: &mut Ground<'_>,
    is_private: bool,
) -> Result<Outcome<'o>, Failure> {
    let stop = setting.stop;
    let (mut directions, mut failures, mut alone) = (Vec::new(), Vec::new(), Vec::new());
    let all = options.primary.each();
    for (number, primary) in all.iter().enumerate() {
        if stop.is_asked() {
            break;
        }
        let part = Setting {
            load: Load {
                extent: part_of(setting.load.extent, all.len(), number),
                seed: setting.load.seed.wrapping_add(number as u64),
                ..setting.load.clone()
            },
            off_path: setting.off_path.clone(),
            ..*setting
        };
        let (leg, kept, shadow) = leg::run(&part, *primary, company(&part, options, ground))?;
        directions.push(leg);
        if let Err(failure) = kept {
            failures.push(failure.to_string());
            break;
        }
        if number + 1 == all.len() && !options.no_alone && !stop.is_asked() {
            measure(setting, is_private, &mut alone, &mut failures);
        }
        // Its last line is written now.
        drop(shadow);
    }
    Ok(Outcome {
        report: setting.record.report(),
        directions,
        chain: matches!(ground, Ground::Ours(_) if !options.still).then(|| setting.moves.now()),
        alone,
        is_cut_short: stop.is_asked(),
        failures,
        log: &options.log,
    })
}

/// Whoever moves or follows the chain meanwhile.
fn company<'c>(
    setting: &'c Setting<'_>,
    options: &Soak,
    ground: &'c mut Ground<'_>,
) -> Company<'c> {
    match ground {
        Ground::Ours(_) if options.still => Box::new(|is_over| {
            while !is_over() {
                thread::sleep(NAP);
            }
            Ok(())
        }),
        Ground::Ours(chain) => {
            let every = Duration::from_secs(options.reorg_every);
            let every = (!every.is_zero()).then_some(every);
            let seed = setting.load.seed;
            let mut mover = Mover::new(chain, setting.world, setting.moves, every, seed)
                .for_minutes(options.minutes.unwrap_or(0));
            Box::new(move |is_over| Ok(mover.run(is_over)?))
        }
        Ground::Theirs(follower) => Box::new(|is_over| {
            follower.follow(setting.world, is_over, |height| setting.moves.see(height));
            Ok(())
        }),
    }
}

/// Measures each implementation by itself, and adds it to the log.
fn measure(
    setting: &Setting<'_>,
    is_private: bool,
    alone: &mut Vec<Memory>,
    failures: &mut Vec<String>,
) {
    use BitcoinImplementationType::{Python, Rust};
    let inputs = setting.world.inputs();
    let calls = match setting.load.extent {
        Extent::Calls(calls) => calls.min(MAX_ALONE_CALLS),
        Extent::For(_) => MAX_ALONE_CALLS,
    };
    let task = Task {
        private: private_node(setting.config, is_private),
        inputs: &inputs,
        load: &setting.load,
        calls,
        stop: setting.stop,
    };
    for implementation in [Python, Rust] {
        match alone::measure(&task, implementation) {
            Ok(readings) => {
                for reading in &readings {
                    // A line that is lost is counted by the log.
                    let _ = setting.record.note(Event::Memory(reading.clone()));
                }
                alone.extend(readings.last().cloned());
            }
            Err(_) if setting.stop.is_asked() => return,
            Err(cause) => failures.push(format!("{implementation} by itself: {cause}")),
        }
    }
}

fn private_node(config: &Config, is_private: bool) -> Option<&btc::NodeConfig> {
    config.node.as_ref().filter(|_| is_private)
}

/// The bounds off the caller's path: as they are configured for production, but with a queue that
/// is short, and the memory written more often. None in line.
fn bounds(options: &Soak, config: &Config) -> Result<Option<OffPath>, Failure> {
    if options.in_line {
        return Ok(None);
    }
    let shadow = config.shadow.as_ref();
    let configured = shadow.map_or_else(|| Ok(OffPath::default()), btc::off_path)?;
    let queue = options.queue.or(shadow.and_then(|shadow| shadow.queue));
    Ok(Some(OffPath {
        queue_calls: usize::try_from(queue.unwrap_or(QUEUE)).unwrap_or(usize::MAX),
        report_every: REPORT_EVERY,
        ..configured
    }))
}

fn load(options: &Soak, mix: Mix, is_private: bool) -> Load {
    let extent = match (options.ops, options.minutes) {
        (_, Some(minutes)) => Extent::For(Duration::from_secs(minutes.saturating_mul(60))),
        (calls, None) => Extent::Calls(calls.unwrap_or(DEFAULT_CALLS)),
    };
    if options.in_line && options.rate.is_none() {
        output::note("in line, a call takes as long as both sides together");
    }
    Load {
        extent,
        threads: options.threads,
        rate: options.rate,
        mix,
        seed: options.seed,
        // On a configured node the wallet pays nobody but itself.
        stranger: if is_private { ground::stranger() } else { None },
    }
}

/// What one of several directions has of the whole.
fn part_of(whole: Extent, directions: usize, number: usize) -> Extent {
    let count = u64::try_from(directions.max(1)).unwrap_or(1);
    match whole {
        Extent::Calls(calls) => {
            let is_larger = u64::try_from(number).is_ok_and(|number| number < calls % count);
            Extent::Calls(calls / count + u64::from(is_larger))
        }
        Extent::For(limit) => Extent::For(limit / u32::try_from(directions.max(1)).unwrap_or(1)),
    }
}
