//! Tests of shadow mode through its public names, over doubles of both implementations.

mod analysis;
mod compare;
mod double;
mod fallback;
mod judge;
mod live;
mod log;
mod off_path;
mod output;
mod replay;
mod rollout;
mod samples;
mod sink;
mod wallet;
