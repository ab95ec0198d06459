//! `btc record`: makes a call log, of another log or of a range of the chain.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use btc::shadow::replay::{
    BadLine, BlockRange, BlockSource, Call, Entry, Lines, MAX_LINE_BYTES, Methods, RecordedCall,
    Source, Tally,
};
use btc::{BitcoinImplementationType, BitcoinInterface, Config, Operation};
use serde::Serialize;

use super::{Done, replay};
use crate::exit::{Code, Failure};
use crate::flags::Record;
use crate::output::{self, Output};
use crate::progress;

/// What was recorded.
#[derive(Debug, Default, Serialize)]
struct Recorded {
    calls: u64,
    by_operation: std::collections::BTreeMap<Operation, u64>,
    lost_calls: u64,
    bad_lines: u64,
    first_bad_lines: Vec<BadLine>,
}

/// Where the calls go.
struct Target {
    out: Box<dyn Write>,
    recorded: Recorded,
}

pub(super) fn run(output: Output, options: &Record) -> Done {
    if output.is_json && options.output.is_none() {
        let message = "with --json the calls need a file of their own; name it with --output";
        return Err(Failure::Other(Code::Usage, message.to_owned()));
    }
    let mut target = Target::open(options.output.as_deref())?;
    match (&options.import, options.blocks) {
        (Some(path), _) => {
            let methods = options
                .map
                .iter()
                .try_fold(Methods::of_core(), |methods, map| methods.with(map))?;
            import(path, &methods, &mut target)?;
        }
        (None, Some(blocks)) => read_blocks(blocks, options.transactions, &mut target)?,
        (None, None) => {}
    }
    target.out.flush().map_err(|cause| unwritable(&cause))?;
    show(output, options, &target.recorded)?;
    let is_whole = target.recorded.bad_lines == 0 && target.recorded.calls > 0;
    Ok(if is_whole { Code::Ok } else { Code::Failed })
}

fn import(path: &Path, methods: &Methods, target: &mut Target) -> Result<(), Failure> {
    let reader: Box<dyn BufRead> = if path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(BufReader::new(File::open(path).map_err(|cause| {
            let message = format!("`{}` cannot be read: {cause}", path.display());
            Failure::Other(Code::Failed, message)
        })?))
    };
    let total = path.metadata().map_or(0, |it| it.len());
    let bar = progress::bar(total, "reading recorded calls");
    let name = path.display().to_string();
    let mut lines = Lines::new(reader);
    let mut tally = Tally::default();
    loop {
        let line = lines.next_line().map_err(|cause| {
            Failure::Other(Code::Failed, format!("`{name}` cannot be read: {cause}"))
        })?;
        let Some(line) = line else {
            break;
        };
        bar.set_position(line.end);
        let entry = match line.is_too_long {
            true => Err(format!("it is longer than {MAX_LINE_BYTES} bytes")),
            false if line.bytes.trim_ascii().is_empty() => continue,
            false => Entry::parse(&line.bytes, methods),
        };
        match entry {
            Ok(Entry::Call(call)) => target.write(&call)?,
            Ok(Entry::Lost(count)) => target.lose(count)?,
            Err(what) => tally.complain(&name, line.number, what),
        }
    }
    bar.finish_and_clear();
    target.recorded.bad_lines = tally.bad_lines;
    target.recorded.first_bad_lines = tally.first_bad_lines;
    Ok(())
}

/// Writes the calls that `btc replay --blocks` would make. Rust says which transactions are there.
fn read_blocks(
    blocks: BlockRange,
    transactions: Option<usize>,
    target: &mut Target,
) -> Result<(), Failure> {
    let mut config = Config::load()?;
    config.wallet = None;
    let bitcoin = btc::connect_to(&config, BitcoinImplementationType::Rust)?;
    let (first, last) = blocks.on_chain(bitcoin.get_block_height()?)?;
    let mut source = BlockSource::new((first, last), transactions, replay::resolve(&config)?)?;
    let bar = progress::bar(u64::from(last - first) + 1, "reading blocks");
    let mut tally = Tally::default();
    while let Some(item) = source.next_call(&mut tally)? {
        if let Call::GetBlock { hash } = &item.call {
            let block = bitcoin.get_block(hash)?;
            source.answered(&item, &mut block.iter().map(|it| it.txid));
            bar.set_position(source.done());
        }
        target.write(&item.call.into())?;
    }
    bar.finish_and_clear();
    Ok(())
}

impl Target {
    fn open(path: Option<&Path>) -> Result<Self, Failure> {
        let out: Box<dyn Write> = match path {
            None => Box::new(BufWriter::new(io::stdout().lock())),
            Some(path) => {
                use std::os::unix::fs::OpenOptionsExt;
                let mut file = File::options();
                // It says who was paid.
                file.write(true).create(true).truncate(true).mode(0o600);
                Box::new(BufWriter::new(file.open(path).map_err(|cause| {
                    let message = format!("`{}` cannot be written: {cause}", path.display());
                    Failure::Other(Code::Configuration, message)
                })?))
            }
        };
        Ok(Self {
            out,
            recorded: Recorded::default(),
        })
    }

    fn write(&mut self, call: &RecordedCall) -> Result<(), Failure> {
        self.recorded.calls += 1;
        let operation = call.call.operation();
        *self.recorded.by_operation.entry(operation).or_default() += 1;
        self.out
            .write_all(&call.to_line())
            .map_err(|cause| unwritable(&cause))
    }

    fn lose(&mut self, count: u64) -> Result<(), Failure> {
        self.recorded.lost_calls = self.recorded.lost_calls.saturating_add(count);
        writeln!(self.out, "{{\"lost_calls\":{count}}}").map_err(|cause| unwritable(&cause))
    }
}

/// The result on standard output if the calls are elsewhere, else beside them.
fn show(output: Output, options: &Record, recorded: &Recorded) -> Result<(), Failure> {
    let mut rows = vec![("calls", recorded.calls.to_string())];
    let by_operation = recorded.by_operation.iter();
    rows.extend(by_operation.map(|(operation, count)| (operation.as_str(), count.to_string())));
    if recorded.lost_calls > 0 {
        rows.push(("lost before", recorded.lost_calls.to_string()));
    }
    if recorded.bad_lines > 0 {
        rows.push(("unreadable", recorded.bad_lines.to_string()));
    }
    let text = || {
        let bad = replay::bad_lines(&recorded.first_bad_lines, recorded.bad_lines);
        format!("{}{bad}", output::fields(&rows))
    };
    if options.output.is_some() {
        return output.show(recorded, text);
    }
    output::note(text().trim_end());
    Ok(())
}

fn unwritable(cause: &io::Error) -> Failure {
    Failure::Other(
        Code::Failed,
        format!("the calls cannot be written: {cause}"),
    )
}
