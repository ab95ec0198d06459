//! What can be asked of the simulation.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::thread;

use crate::house::Language;
use crate::step::Kind;

/// What is to be done.
#[derive(Debug, Clone)]
pub(crate) struct Flags {
    pub(crate) histories: u64,
    pub(crate) seed: u64,
    /// One history again.
    pub(crate) replay: Option<u64>,
    pub(crate) json: bool,
    pub(crate) languages: Vec<Language>,
    pub(crate) kinds: Vec<Kind>,
    /// How many histories are confirmed on Bitcoin Core.
    pub(crate) confirm: u64,
    pub(crate) scenario: Option<String>,
    pub(crate) jobs: usize,
    /// Ends at the first failure, so many failures else.
    pub(crate) max_failures: usize,
    pub(crate) shrinks: bool,
    /// A rule of the Rust wallet that is broken, or all, one after the other.
    pub(crate) planted: Option<String>,
    /// This process plays each `stride`th history from `first` on, for another one.
    pub(crate) worker: Option<(u64, u64)>,
    /// Where it makes its folders.
    pub(crate) home: Option<PathBuf>,
}

const USAGE: &str = "\
usage: simulate [--histories N] [--seed S] [--replay SEED] [--json]
                [--languages rust|python|both] [--scenario NAME|all|list]
                [--planted NAME|all] [--confirm N] [--jobs N] [--max-failures N] [--no-shrink]
                [--only KIND,…] [--without KIND,…]";

impl Flags {
    /// Reads the command line.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(crate) fn parse(args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut flags = Self {
            histories: 100,
            seed: 1,
            replay: None,
            json: false,
            languages: Language::ALL.to_vec(),
            kinds: Kind::ALL.to_vec(),
            confirm: 0,
            scenario: None,
            jobs: thread::available_parallelism().map_or(1, NonZeroUsize::get),
            max_failures: 1,
            shrinks: true,
            planted: None,
            worker: None,
            home: None,
        };
        let mut args = args;
        while let Some(arg) = args.next() {
            let (name, given) = match arg.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (arg, None),
            };
            let mut value = || {
                given
                    .clone()
                    .or_else(|| args.next())
                    .ok_or_else(|| format!("{name} needs a value\n{USAGE}"))
            };
            match name.as_str() {
                "--histories" => flags.histories = number(&value()?)?,
                "--seed" => flags.seed = number(&value()?)?,
                "--replay" => flags.replay = Some(number(&value()?)?),
                "--json" => flags.json = true,
                "--languages" => flags.languages = languages(&value()?)?,
                "--confirm" => flags.confirm = number(&value()?)?,
                "--scenario" => flags.scenario = Some(value()?),
                "--jobs" => flags.jobs = usize::try_from(number(&value()?)?).unwrap_or(1).max(1),
                "--max-failures" => {
                    flags.max_failures = usize::try_from(number(&value()?)?).unwrap_or(1);
                }
                "--no-shrink" => flags.shrinks = false,
                "--planted" => flags.planted = Some(value()?),
                "--only" => flags.kinds = kinds(&value()?)?,
                "--without" => {
                    let gone = kinds(&value()?)?;
                    flags.kinds.retain(|kind| !gone.contains(kind));
                }
                "--worker" => {
                    let text = value()?;
                    let (first, stride) = text.split_once('/').ok_or(USAGE)?;
                    flags.worker = Some((number(first)?, number(stride)?.max(1)));
                }
                "--home" => flags.home = Some(PathBuf::from(value()?)),
                _ => return Err(format!("unknown: {name}\n{USAGE}")),
            }
        }
        if flags.kinds.is_empty() {
            return Err("no kind of step is left".to_owned());
        }
        if !flags.languages.contains(&Language::Rust) {
            flags.kinds.retain(|kind| !kind.needs_rust());
        }
        Ok(flags)
    }

    /// The command line for a process that plays a part of this.
    pub(crate) fn for_worker(&self, first: u64, stride: u64) -> Vec<String> {
        let names: Vec<&str> = self.kinds.iter().map(|kind| kind.name()).collect();
        let languages = match self.languages.as_slice() {
            [Language::Rust] => "rust",
            [Language::Python] => "python",
            _ => "both",
        };
        let mut args = vec![
            format!("--worker={first}/{stride}"),
            format!("--histories={}", self.histories),
            format!("--seed={}", self.seed),
            format!("--languages={languages}"),
            format!("--only={}", names.join(",")),
        ];
        args.extend(self.planted.iter().map(|name| format!("--planted={name}")));
        args
    }
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("not a number: {text}"))
}

fn languages(text: &str) -> Result<Vec<Language>, String> {
    match text {
        "rust" => Ok(vec![Language::Rust]),
        "python" => Ok(vec![Language::Python]),
        "both" => Ok(Language::ALL.to_vec()),
        _ => Err(format!("rust, python or both, not {text}")),
    }
}

fn kinds(text: &str) -> Result<Vec<Kind>, String> {
    let found = text.split(',').map(|name| {
        let kind = Kind::ALL.iter().find(|kind| kind.name() == name);
        kind.copied().ok_or_else(|| {
            let names: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
            format!("there is no step {name}; there are {}", names.join(", "))
        })
    });
    found.collect()
}
