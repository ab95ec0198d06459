//! Recorded calls: their lines, the decorator that writes them, and replays.

mod lines;
mod log;
mod runs;
