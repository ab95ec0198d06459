//! `btc replay`: makes recorded calls, or reads a range of the chain, through both implementations.

use std::fs::File;
use std::io::{self, BufReader, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use btc::rust::RustBitcoin;
use btc::shadow::analysis::{Report, render_table};
use btc::shadow::compare::Verdict;
use btc::shadow::replay::{
    self, BadLine, BlockSource, FileSource, Input, Moment, Reading, ReplayLog, ResolveHash,
    Settings, Source, State, Tally,
};
use btc::{BitcoinError, BitcoinInterface, Config, ErrorKind, Network, Operation};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::Done;
use crate::exit::{Code, Failure};
use crate::flags::Replay;
use crate::output::{Output, fields, note};

const DEFAULT_LOG: &str = "logs/replay.log";
const CHECKPOINT_EVERY: Duration = Duration::from_secs(2);

/// What is printed at the end.
#[derive(Serialize)]
struct Outcome<'o> {
    #[serde(flatten)]
    report: &'o Report,
    replay: &'o Tally,
    log: &'o Path,
    state: Option<&'o Path>,
}

/// A replay that is ready to begin or to go on.
struct Plan {
    source: Box<dyn Source>,
    state: State,
    log: Arc<ReplayLog>,
    /// Where the state is kept; nowhere for standard input.
    path: Option<PathBuf>,
    /// Lines or blocks in all, if that is known.
    total: Option<u64>,
    /// Whether nothing is left to be done.
    is_over: bool,
}

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

/// Prints what was found. Only a replay that compared everything, and found no difference, is a
/// success.
fn conclude(output: Output, state: &State, log: &ReplayLog, path: Option<&Path>) -> Done {
    let report = log.analyze(&mut |_| {})?.finish();
    let tally = &state.tally;
    let outcome = Outcome {
        report: &report,
        replay: tally,
        log: &state.log.path,
        state: path,
    };
    output.show(&outcome, || {
        let mut rows = vec![
            ("calls", format!("{} of {} read", tally.calls, tally.read)),
            ("log", state.log.path.display().to_string()),
        ];
        rows.extend(path.map(|path| ("state", path.display().to_string())));
        rows.extend(remarks(tally));
        let bad = bad_lines(&tally.first_bad_lines, tally.bad_lines);
        format!("{}\n{}{bad}", render_table(&report), fields(&rows))
    })?;
    let is_clean = tally.is_clean() && report.compared > 0 && report.mismatches == 0;
    Ok(if is_clean { Code::Ok } else { Code::Failed })
}

/// What a reader should know beside the report.
fn remarks(tally: &Tally) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    for (operation, count) in &tally.skipped {
        let why = match operation {
            Operation::BroadcastTransaction => "a broadcast is never made again",
            _ => "it has an effect; --effects makes it on regtest",
        };
        rows.push(("not made", format!("{count} {operation}: {why}")));
    }
    if tally.retries > 0 {
        rows.push((
            "made again",
            format!("{}, as the primary was away", tally.retries),
        ));
    }
    if tally.uncompared() > 0 {
        rows.push(("not compared", tally.uncompared().to_string()));
    }
    if tally.lost_calls > 0 {
        rows.push((
            "lost before",
            format!("{}, by the recorder", tally.lost_calls),
        ));
    }
    for (kind, count) in &tally.unread {
        let hint = match kind {
            ErrorKind::NotFound => "; the node needs -txindex and all blocks, or --transactions 0",
            _ => "",
        };
        rows.push(("not read", format!("{count}: {kind}{hint}")));
    }
    rows
}

/// The first lines that could not be read, and how many there are.
pub(super) fn bad_lines(first: &[BadLine], count: u64) -> String {
    let mut text: String = first
        .iter()
        .map(|bad| format!("{}:{}: {}\n", bad.file, bad.line, bad.what))
        .collect();
    let more = count.saturating_sub(first.len() as u64);
    if more > 0 {
        text += &format!("and {more} more lines that cannot be read\n");
    }
    if count > 0 {
        text += "`btc record --import` writes a log without the lines that cannot be read\n";
    }
    text
}

/// Which block is at a height, as Rust says.
pub(super) fn resolve(config: &Config) -> Result<ResolveHash, Failure> {
    let rust = RustBitcoin::connect(node(config)?)?;
    Ok(Box::new(move |height| rust.get_block_hash(height)))
}

fn node(config: &Config) -> Result<&btc::NodeConfig, Failure> {
    config.node.as_ref().ok_or_else(|| {
        let message = "no node is configured; set BITCOIN_NETWORK and BITCOIN_RPC_URL";
        BitcoinError::new(ErrorKind::Configuration, Operation::Connect, message).into()
    })
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

fn plan(options: &Replay, config: &Config) -> Result<Plan, Failure> {
    let is_stdin = options.files.iter().any(|file| file == Path::new("-"));
    if is_stdin && (options.files.len() > 1 || options.resume.is_some()) {
        let message = "standard input (`-`) stands alone, and cannot be gone on with";
        return Err(Failure::Other(Code::Usage, message.to_owned()));
    }
    let path = (!is_stdin).then(|| state_path(options));
    let found = match &path {
        Some(path) if !options.restart => State::read(path)?,
        _ => None,
    };
    if let Some(found) = &found {
        check_same(options, config, found)?;
    }
    let log = options.log.as_deref().unwrap_or(Path::new(DEFAULT_LOG));
    let log = match &found {
        Some(found) => ReplayLog::open(&found.log.path, Some(&found.log))?,
        None => ReplayLog::open(log, None)?,
    };
    let log = Arc::new(log);
    let before = found.as_ref();
    let (source, total, has_more) = source(options, config, before, is_stdin)?;
    let state = match found {
        Some(found) => {
            if !found.is_finished {
                note(format!(
                    "going on after {} of what was read before",
                    source.done()
                ));
            }
            found
        }
        None => State::new(
            config.implementation,
            options.effects,
            log.flush()?,
            source.position(),
        ),
    };
    Ok(Plan {
        is_over: state.is_finished && !has_more,
        source,
        state,
        log,
        path,
        total,
    })
}

type Found = (Box<dyn Source>, Option<u64>, bool);

/// Where the calls come from, how many lines or blocks there are, and whether there is more than
/// when the replay ended.
fn source(
    options: &Replay,
    config: &Config,
    before: Option<&State>,
    is_stdin: bool,
) -> Result<Found, Failure> {
    if let Some(blocks) = options.blocks {
        let source = match before.map(|state| &state.input) {
            Some(Input::Blocks(at)) => BlockSource::resume(at.clone(), resolve(config)?)?,
            Some(Input::Files(_)) => return Err(other_input()),
            None => {
                let resolve = resolve(config)?;
                let tip = RustBitcoin::connect(node(config)?)?.get_block_height()?;
                BlockSource::new(blocks.on_chain(tip)?, options.transactions, resolve)?
            }
        };
        let Input::Blocks(at) = source.position() else {
            return Err(other_input());
        };
        let total = u64::from(at.last - at.first) + 1;
        let has_more = !source.is_at_end();
        return Ok((Box::new(source), Some(total), has_more));
    }
    let reading = Reading {
        with_effects: options.effects,
        ..Reading::default()
    };
    if is_stdin {
        let source = FileSource::of_reader(BufReader::new(io::stdin()), "-", reading);
        return Ok((Box::new(source), None, true));
    }
    let source = match before.map(|state| (&state.input, &state.tally)) {
        Some((Input::Files(at), tally)) => {
            FileSource::resume(&options.files, reading, at, tally.read)?
        }
        Some((Input::Blocks(_), _)) => return Err(other_input()),
        None => FileSource::open(&options.files, reading)?,
    };
    let has_more = source.has_grown();
    // Counting takes a moment, which only someone who looks has a use for.
    let total = io::stderr()
        .is_terminal()
        .then(|| count_lines(&options.files));
    Ok((Box::new(source), total, has_more))
}

/// That what is asked for is what the state is about.
fn check_same(options: &Replay, config: &Config, found: &State) -> Result<(), Failure> {
    let refuse = |what: &str| {
        let message = format!(
            "the replay was begun {what}; give the same command, or begin anew with --restart"
        );
        Err(Failure::Other(Code::Usage, message))
    };
    if found.primary != config.implementation {
        return refuse(&format!("with {} first", found.primary));
    }
    if found.with_effects != options.effects {
        return refuse(if found.with_effects {
            "with --effects"
        } else {
            "without --effects"
        });
    }
    if let Some(log) = &options.log
        && log.canonicalize().ok().as_ref() != Some(&found.log.path)
    {
        return refuse(&format!("into the log {}", found.log.path.display()));
    }
    if let (Some(blocks), Input::Blocks(at)) = (options.blocks, &found.input) {
        // An open end was the tip at the beginning.
        if blocks.on_chain(at.last).ok() != Some((at.first, at.last))
            || options.transactions != at.transactions
        {
            let many = at
                .transactions
                .map_or_else(|| "all".to_owned(), |it| it.to_string());
            let (first, last) = (at.first, at.last);
            return refuse(&format!(
                "with --blocks {first}..={last} and {many} transactions each"
            ));
        }
    }
    Ok(())
}

fn other_input() -> Failure {
    let message = "the state belongs to a replay of another kind; name another with --resume, or \
                   begin anew with --restart";
    Failure::Other(Code::Usage, message.to_owned())
}

/// `FILE.replay-state`, beside the first file, or beside the log for a range of blocks.
fn state_path(options: &Replay) -> PathBuf {
    options.resume.clone().unwrap_or_else(|| {
        let log = || options.log.clone().unwrap_or_else(|| DEFAULT_LOG.into());
        let mut name = options
            .files
            .first()
            .cloned()
            .unwrap_or_else(log)
            .into_os_string();
        name.push(".replay-state");
        name.into()
    })
}

fn count_lines(files: &[PathBuf]) -> u64 {
    let count = |path: &PathBuf| -> io::Result<u64> {
        let mut file = File::open(path)?;
        let mut buffer = vec![0; 1 << 16];
        let (mut lines, mut last) = (0, b'\n');
        loop {
            let taken = match file.read(&mut buffer)? {
                0 => return Ok(lines + u64::from(last != b'\n')),
                taken => &buffer[..taken],
            };
            lines += taken.iter().filter(|byte| **byte == b'\n').count() as u64;
            last = taken.last().copied().unwrap_or(last);
        }
    };
    files.iter().filter_map(|path| count(path).ok()).sum()
}

/// The progress on standard error, hidden where it is not a terminal.
struct Bar {
    bar: ProgressBar,
    started: Instant,
    calls_before: Option<u64>,
}

impl Bar {
    fn new(total: Option<u64>) -> Self {
        let bar = total.map_or_else(ProgressBar::no_length, ProgressBar::new);
        let template = "{spinner} {msg:<46} [{bar:24}] {human_pos}/{human_len} {eta}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        Self {
            bar,
            started: Instant::now(),
            calls_before: None,
        }
    }

    fn show(&mut self, moment: &Moment) {
        let calls = moment.tally.calls;
        let before = *self.calls_before.get_or_insert(calls);
        let millis = self.started.elapsed().as_millis().max(1);
        let rate = u128::from(calls - before) * 1000 / millis;
        self.bar.set_position(moment.done);
        let mismatches = moment.tally.of(Verdict::Mismatch);
        let plural = if mismatches == 1 { "" } else { "es" };
        let message = format!("{calls} calls, {rate}/s, {mismatches} mismatch{plural}");
        self.bar.set_message(message);
    }

    fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
