//! What can be typed after `cargo xtask`.

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Sets this repository up, runs it, and checks it.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
pub(crate) struct Flags {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make this machine ready: system packages, Bitcoin Core, Python environment, Electrum server, cargo tools
    Setup(SetupFlags),
    /// Find Bitcoin Core, or build it once, and print the path of `bitcoind`
    Bitcoind,
    /// Set up, then compare both implementations on a private regtest chain
    Demo(DemoFlags),
    /// Set up, then run every check that a change must pass
    Test(TestFlags),
    /// Run the behaviour suite of one phase
    Phase(PhaseFlags),
    /// Run the faulty copies of the Python implementation through shadow mode, and score it
    Mutants(MutantsFlags),
    /// Play random lives of a wallet over a simulated node, and check after each step
    Simulate(SimulateFlags),
    /// Open the HTML report in a headless browser, offline, and keep the screenshots in target/page
    Page(PageFlags),
    /// Build and test every feature combination of the `btc` crate
    Matrix(MatrixFlags),
    /// Measure, and write docs/performance.md
    Bench(BenchFlags),
    /// Run the fuzz targets for a while each
    Fuzz(FuzzFlags),
    /// Check the repository's own rules
    Tidy,
    /// `test` for CI: without questions, and on to the end after a failure
    Ci,
}

#[derive(Args)]
pub(crate) struct SetupFlags {
    /// Install system packages without asking
    #[arg(long)]
    pub(crate) yes: bool,
    /// How much to set up
    #[arg(long = "for", value_enum, default_value_t = Purpose::Test)]
    pub(crate) purpose: Purpose,
}

/// How much of a machine a command needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Purpose {
    /// What the first steps of the README, `btc` and `demo` need: Bitcoin Core, and Python with
    /// its packages
    #[value(alias = "demo")]
    Use,
    /// What `test` needs: the same, with an Electrum server and the tools that check Python, features and licences
    Test,
}

#[derive(Args)]
pub(crate) struct DemoFlags {
    /// Handed to `btc demo`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) args: Vec<String>,
}

#[derive(Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of its own"
)]
pub(crate) struct TestFlags {
    /// Run the remaining steps after one failed
    #[arg(long)]
    pub(crate) keep_going: bool,
    /// What a change is held to: lints of any toolchain are errors, and every combination of
    /// features is linted and tested
    #[arg(long)]
    pub(crate) strict: bool,
    /// Print the summary as JSON on stdout; everything else goes to stderr
    #[arg(long)]
    pub(crate) json: bool,
    /// Install system packages without asking
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Args)]
pub(crate) struct PhaseFlags {
    /// Which phase: 1, 2 or 3
    #[arg(value_parser = clap::value_parser!(u8).range(1..=3))]
    pub(crate) number: u8,
    /// Handed to the suite, for example a part of a case's name
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) args: Vec<String>,
}

#[derive(Args)]
pub(crate) struct MutantsFlags {
    /// Handed to the suite, for example a part of a mutant's name
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) args: Vec<String>,
}

#[derive(Args)]
pub(crate) struct SimulateFlags {
    /// Handed to the simulation: `--histories N`, `--seed S`, `--replay SEED`, `--scenario NAME`, …
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) args: Vec<String>,
}

#[derive(Args)]
pub(crate) struct PageFlags {
    /// Handed to the suite, for example a part of a trial's name
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) args: Vec<String>,
}

#[derive(Args)]
pub(crate) struct MatrixFlags {
    /// Only compile each combination; do not run its tests
    #[arg(long)]
    pub(crate) check: bool,
}

#[derive(Args)]
pub(crate) struct BenchFlags {
    /// Fewer repetitions, for a first look
    #[arg(long)]
    pub(crate) quick: bool,
    /// Handed to the benchmark
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) args: Vec<String>,
}

#[derive(Args)]
pub(crate) struct FuzzFlags {
    /// One target; all of them when absent
    pub(crate) target: Option<String>,
    /// Seconds for each target
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) secs: u64,
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::{Command, Flags, Purpose};

    #[test]
    fn the_definition_is_consistent() {
        Flags::command().debug_assert();
    }

    #[test]
    fn nothing_typed_is_not_an_error() {
        assert!(Flags::try_parse_from(["xtask"]).is_ok_and(|flags| flags.command.is_none()));
    }

    #[test]
    fn setup_is_for_tests_unless_told() {
        let flags = Flags::try_parse_from(["xtask", "setup"]).map(|flags| flags.command);
        assert!(matches!(flags, Ok(Some(Command::Setup(setup))) if setup.purpose == Purpose::Test));
    }

    #[test]
    fn setup_for_use_is_less_and_has_its_earlier_name_too() {
        for name in ["use", "demo"] {
            let flags = Flags::try_parse_from(["xtask", "setup", "--for", name]);
            let purpose = match flags.map(|flags| flags.command) {
                Ok(Some(Command::Setup(setup))) => Some(setup.purpose),
                _ => None,
            };
            assert_eq!(purpose, Some(Purpose::Use));
        }
        assert!(Purpose::Use < Purpose::Test);
    }

    #[test]
    fn demo_hands_its_arguments_on() {
        let flags = Flags::try_parse_from(["xtask", "demo", "--json", "-x"]).map(|f| f.command);
        assert!(matches!(flags, Ok(Some(Command::Demo(demo))) if demo.args == ["--json", "-x"]));
    }

    #[test]
    fn there_is_no_fourth_phase() {
        assert!(Flags::try_parse_from(["xtask", "phase", "4"]).is_err());
        assert!(Flags::try_parse_from(["xtask", "fuzz", "--secs", "0"]).is_err());
    }
}
