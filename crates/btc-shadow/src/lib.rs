//! Shadow mode: run two implementations on live calls, return the primary's answer, compare,
//! record and analyse.
//!
//! - [`Shadow`]: the decorator over the interface
//! - [`Fallback`] and [`Rollout`], beside it: what one cannot answer the other does; a share of
//!   the calls goes to Rust, and back when it must
//! - [`Policy`]: how patiently is compared
//! - [`compare`]: the rules that say whether two answers mean the same
//! - [`record`]: the versioned lines of the comparison log; [`sink`]: where they go
//! - [`metrics`]: counts and durations for Prometheus
//! - [`replay`]: recorded calls, and their replay against both
//! - [`parity`]: random plans for two wallets of the same words
//! - [`analysis`]: what a log says about the readiness of the second implementation

pub mod analysis;
mod books;
mod clock;
pub mod compare;
mod fallback;
pub mod memory;
pub mod metrics;
pub mod parity;
mod policy;
mod private;
pub mod record;
pub mod replay;
pub mod rollout;
mod shadow;
pub mod sink;
#[cfg(test)]
mod stub;
mod wallet;
mod watch;

pub use crate::books::{Books, Counts, LeftOut};
pub use crate::fallback::{Fallback, FallbackCounts};
pub use crate::policy::Policy;
pub use crate::rollout::{Journal, Rollout};
pub use crate::shadow::{OffPath, Sampling, Shadow, Status};
pub use crate::watch::Watch;
