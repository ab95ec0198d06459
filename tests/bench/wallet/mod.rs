//! The wallet's rows: first syncs, payments and large wallets against BDK and the Python implementation.

mod bdk;
mod create;
mod ground;
mod many;
pub(crate) mod memory;
mod place;
mod sync;

pub(crate) use self::create::payments;
pub(crate) use self::many::many;
pub(crate) use self::sync::syncs;
