//! The Lightning node on a real Bitcoin Core in regtest mode: money, faults, crashes.

mod bolt12;
mod chain;
mod channels;
mod coins;
mod kill;
mod payments;
mod refusals;
mod start;
mod world;
