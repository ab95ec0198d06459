//! Tests of shadow mode through its public names, over doubles of both implementations.

mod analysis;
mod analysis_formats;
mod analysis_gate;
mod analysis_groups;
mod analysis_reading;
mod clock;
mod compare;
mod double;
mod fallback;
mod judge;
mod live;
mod log;
mod log_file;
mod metrics;
mod off_path;
mod output;
mod replay;
mod rollout;
mod samples;
mod sink;
mod wallet;
