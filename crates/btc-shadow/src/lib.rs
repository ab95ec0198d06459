//! Shadow mode: run two implementations on live calls, return the primary's answer, compare,
//! record and analyse.
//!
//! - [`Shadow`]: the decorator over the interface
//! - [`Policy`]: how patiently is compared
//! - [`compare`]: the rules that say whether two answers mean the same
//! - [`record`]: the versioned lines of the comparison log; [`sink`]: where they go
//! - [`metrics`]: counts and durations for Prometheus
//! - [`parity`]: random plans for two wallets of the same words
//! - [`analysis`]: what a log says about the readiness of the second implementation

pub mod analysis;
mod books;
pub mod compare;
mod finding;
pub mod metrics;
mod observation;
pub mod parity;
mod policy;
mod reader;
pub mod record;
mod shadow;
pub mod sink;
mod wallet;
mod watch;

pub use crate::books::{Books, Counts};
pub use crate::policy::Policy;
pub use crate::shadow::Shadow;
pub use crate::watch::Watch;
