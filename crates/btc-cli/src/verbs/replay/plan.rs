//! What `btc replay` replays: from the beginning, or from where it stopped.

use std::fs::File;
use std::io::{self, BufReader, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use btc::rust::RustBitcoin;
use btc::shadow::replay::{
    BlockSource, FileSource, Input, Reading, ReplayLog, ResolveHash, Source, State,
};
use btc::{BitcoinError, BitcoinInterface, Config, ErrorKind, Operation};

use crate::exit::{Code, Failure};
use crate::flags::Replay;
use crate::output::note;

const DEFAULT_LOG: &str = "logs/replay.log";

/// A replay that is ready to begin or to go on.
pub(super) struct Plan {
    pub(super) source: Box<dyn Source>,
    pub(super) state: State,
    pub(super) log: Arc<ReplayLog>,
    /// Where the state is kept; nowhere for standard input.
    pub(super) path: Option<PathBuf>,
    /// Lines or blocks in all, if that is known.
    pub(super) total: Option<u64>,
    /// Whether nothing is left to be done.
    pub(super) is_over: bool,
}

pub(super) fn plan(options: &Replay, config: &Config) -> Result<Plan, Failure> {
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
            let pieces = taken.split(|byte| *byte == b'\n').count();
            lines += pieces as u64 - 1;
            last = taken.last().copied().unwrap_or(last);
        }
    };
    files.iter().filter_map(|path| count(path).ok()).sum()
}

/// Which block is at a height, as Rust says.
pub(crate) fn resolve(config: &Config) -> Result<ResolveHash, Failure> {
    let rust = RustBitcoin::connect(node(config)?)?;
    Ok(Box::new(move |height| rust.get_block_hash(height)))
}

pub(super) fn node(config: &Config) -> Result<&btc::NodeConfig, Failure> {
    config.node.as_ref().ok_or_else(|| {
        let message = "no node is configured; set BITCOIN_NETWORK and BITCOIN_RPC_URL";
        BitcoinError::new(ErrorKind::Configuration, Operation::Connect, message).into()
    })
}
