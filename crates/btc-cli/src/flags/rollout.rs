//! What can be typed: the verbs of the roll-out.

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum RolloutVerb {
    /// The share, who changed it and why
    Status,
    /// Let Rust answer this share of the calls
    Set(Set),
    /// Freeze the share; a rollback works all the same
    Hold(Why),
    /// Release the share
    Resume(Why),
    /// Have Python answer everything, at once
    Rollback(Why),
}

#[derive(Debug, Args)]
pub(crate) struct Set {
    /// The share in percent, 0 to 100; the usual steps are 1, 5, 25, 50 and 100
    #[arg(value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(crate) percent: u8,
    /// Leave out steps
    #[arg(long)]
    pub(crate) jump: bool,
    /// Say that the reason of the automatic rollback is understood
    #[arg(long)]
    pub(crate) after_rollback: bool,
    #[command(flatten)]
    pub(crate) why: Why,
}

#[derive(Debug, Args)]
pub(crate) struct Why {
    /// Why, for the history
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "by hand",
        hide_default_value = true
    )]
    pub(crate) reason: String,
}
