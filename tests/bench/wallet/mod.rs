//! The wallet's rows: first syncs and payments against BDK and the Python implementation.

mod bdk;
mod create;
mod ground;
pub(crate) mod memory;
mod place;
mod sync;

pub(crate) use self::create::payments;
pub(crate) use self::sync::syncs;
