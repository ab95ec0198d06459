//! Recorded calls, and their replay against both implementations.
//!
//! - [`Call`] and [`RecordedCall`]: a call as plain data, and the JSON line that records it
//! - [`Methods`] and [`Entry`]: reading such lines, also of a log that others wrote
//! - [`CallLog`]: the decorator that records live calls
//! - [`FileSource`] and [`BlockSource`]: where the calls of a replay come from
//! - [`run`]: makes them through shadow mode; [`State`]: how far it got; [`ReplayLog`]: what it
//!   found

mod blocks;
mod call;
mod call_file;
mod call_log;
mod files;
mod lines;
mod parse;
mod range;
mod replay_log;
mod run;
mod source;
mod state;

pub use self::blocks::{BlockSource, ResolveHash};
pub use self::call::{Call, RecordedCall};
pub use self::call_file::CallCounts;
pub use self::call_log::CallLog;
pub use self::files::{FileSource, Reading};
pub use self::lines::{Lines, MAX_LINE_BYTES, TextLine};
pub use self::parse::{Entry, Methods};
pub use self::range::BlockRange;
pub use self::replay_log::ReplayLog;
pub use self::run::{Moment, Settings, run};
pub use self::source::{BadLine, Item, Source, Tally};
pub use self::state::{BlocksAt, FileMark, FilesAt, Input, LineMark, LogAt, State};

use btc_iface::{BitcoinError, ErrorKind, Operation};

/// A failure of a replay.
fn error(kind: ErrorKind, message: impl Into<String>) -> BitcoinError {
    BitcoinError::new(kind, Operation::Log, message)
}
