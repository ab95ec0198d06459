//! What can be typed after `btc analyze`.

use std::path::PathBuf;

use btc::shadow::analysis::Format;
use clap::ValueEnum;
use clap::builder::PossibleValue;

/// The codes of this verb, which are not those of the others.
const HELP: &str = "Exit codes: 0 ready (go), 1 not ready (no), 2 not enough evidence (hold), or \
                    wrong usage, 3 bad input: a log that cannot be read or is none, or wrong limits";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Analyze {
    /// Files of comparison logs, rotated and compressed ones too, or patterns such as 'logs/*.log*'
    #[arg(required = true, value_name = "LOG")]
    pub(crate) logs: Vec<PathBuf>,
    /// How the result is written; --json is the same as --format json
    #[arg(
        long,
        value_name = "FORMAT",
        default_value = "table",
        conflicts_with = "json"
    )]
    pub(crate) format: Written,
    /// Write one page with pictures besides, for a browser, without anything from elsewhere
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// The limits of the gate, in TOML; what it does not name keeps its default
    #[arg(long, value_name = "FILE")]
    pub(crate) gate: Option<PathBuf>,
}

/// A format, by its name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written(pub(crate) Format);

impl ValueEnum for Written {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [Written; Format::ALL.len()] = {
            let mut all = [Written(Format::Table); Format::ALL.len()];
            let mut index = 0;
            while index < all.len() {
                all[index] = Written(Format::ALL[index]);
                index += 1;
            }
            all
        };
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.0.as_str()))
    }
}
