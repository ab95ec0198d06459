//! The log on disk when the folder or the process fails, and when files are full.

mod hung;
mod killed;
mod lost;
mod rotation;
mod support;

pub(crate) use self::support::*;
