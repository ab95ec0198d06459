//! `Step`: one thing that happens in a wallet's life, with its own random choices.

use std::fmt;
use std::str::FromStr;

use btc::shadow::parity::Random;

/// How many choices a step carries.
const DICE: usize = 5;

macro_rules! kinds {
    ($($kind:ident $name:literal $weight:literal $what:literal,)*) => {
        /// What happens.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub(crate) enum Kind { $(#[doc = $what] $kind,)* }

        impl Kind {
            /// Every kind.
            pub(crate) const ALL: &[Self] = &[$(Self::$kind,)*];

            /// The name in a list of steps.
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }

            /// How often it comes, compared with the others.
            pub(crate) const fn weight(self) -> u64 {
                match self { $(Self::$kind => $weight,)* }
            }
        }
    };
}

kinds! {
    Give "give" 8 "An address is given out.",
    Receive "receive" 14 "Others pay addresses that were given out.",
    Ahead "ahead" 2 "Others pay an index that was never given out.",
    Mine "mine" 14 "Blocks come, with all, some or none of the mempool.",
    Reward "reward" 1 "A block pays its reward to the wallet.",
    Mature "mature" 1 "A hundred blocks come.",
    Reorganise "reorganise" 8 "The last blocks are replaced by others.",
    Create "create" 8 "A payment is built and not handed over.",
    Send "send" 8 "A built payment is handed over, also late.",
    Pay "pay" 18 "A payment is built and handed over.",
    Lost "lost" 6 "A payment is handed over, and the answer is lost.",
    Resend "resend" 4 "A payment is handed over again.",
    Bump "bump" 6 "A payment is replaced by one that pays more.",
    Cancel "cancel" 2 "A payment is replaced by one to the wallet itself.",
    Child "child" 3 "A child pays for an unconfirmed transaction.",
    Rebroadcast "rebroadcast" 3 "Missing payments are sent again.",
    Abandon "abandon" 3 "A missing payment is given up.",
    Balance "balance" 4 "The balance is asked for.",
    Lock "lock" 2 "A coin is locked, or unlocked.",
    Evict "evict" 7 "A transaction leaves the mempool.",
    Minimum "minimum" 3 "The least fee rate of the node rises or falls.",
    Restart "restart" 4 "The node starts anew, with or without its mempool.",
    Loading "loading" 3 "The node starts anew and loads its mempool later.",
    Warm "warm" 3 "The node warms up while a call is made.",
    Descend "descend" 5 "The recipient of a payment spends it.",
    Rival "rival" 3 "A payment to the wallet is spent elsewhere.",
    Close "close" 4 "A side is closed.",
    Kill "kill" 6 "The process is killed in the middle of a call.",
    Meanwhile "meanwhile" 7 "The other side acts in the middle of a call.",
    Clock "clock" 7 "The clock goes on, or is set back.",
    Age "age" 2 "The node's clock goes on for days.",
    Restore "restore" 1 "The wallet is restored from its words.",
}

impl Kind {
    /// Whether both implementations can do it.
    pub(crate) const fn needs_rust(self) -> bool {
        matches!(
            self,
            Self::Bump
                | Self::Cancel
                | Self::Child
                | Self::Rebroadcast
                | Self::Abandon
                | Self::Lock
        )
    }
}

/// A step with its choices. Each is taken modulo what there is when the step is played, so that it
/// means something whatever happened before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) kind: Kind,
    pub(crate) dice: [u16; DICE],
}

impl Step {
    /// A random step of these kinds.
    pub(crate) fn random(random: &mut Random, kinds: &[Kind]) -> Self {
        let total: u64 = kinds.iter().map(|kind| kind.weight()).sum();
        let mut at = random.between(0, total.max(1) - 1);
        let mut kind = kinds[0];
        for candidate in kinds {
            if at < candidate.weight() {
                kind = *candidate;
                break;
            }
            at -= candidate.weight();
        }
        Self {
            kind,
            dice: std::array::from_fn(|_| {
                random.word().to_le_bytes()[0..2]
                    .try_into()
                    .map_or(0, u16::from_le_bytes)
            }),
        }
    }

    /// A number below `end`, by the die of this number; 0 where there is nothing to choose.
    pub(crate) fn pick(&self, die: usize, end: usize) -> usize {
        usize::from(self.dice[die % DICE]) % end.max(1)
    }

    /// One of these, by the die of this number.
    pub(crate) fn one_of<'a, T>(&self, die: usize, from: &'a [T]) -> Option<&'a T> {
        from.get(self.pick(die, from.len()))
    }

    /// True once in so many times, by the die of this number. Not for 0, which a shrunk step has.
    pub(crate) fn once_in(&self, die: usize, times: usize) -> bool {
        self.pick(die, times) == times - 1
    }

    /// A number from 0 to 255 that differs from what the die itself says.
    pub(crate) fn high(&self, die: usize) -> usize {
        usize::from(self.dice[die % DICE] >> 8)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())?;
        for die in self.dice {
            write!(f, ":{die:x}")?;
        }
        Ok(())
    }
}

impl FromStr for Step {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.trim().split(':');
        let name = parts.next().unwrap_or_default();
        let kind = Kind::ALL.iter().find(|kind| kind.name() == name);
        let kind = *kind.ok_or_else(|| format!("there is no step `{name}`"))?;
        let mut dice = [0; DICE];
        for die in &mut dice {
            let part = parts.next().unwrap_or("0");
            *die = u16::from_str_radix(part, 16).map_err(|_| format!("no number: `{part}`"))?;
        }
        Ok(Self { kind, dice })
    }
}
