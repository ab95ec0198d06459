//! `btc shadow`: shadow mode under a load.

mod alone;
mod end;
mod follow;
mod ground;
mod leg;
mod mover;
mod record;
mod soak;
mod view;

use super::{Done, analyze, demo};
use crate::flags::ShadowVerb;
use crate::output::Output;

pub(super) fn run(output: Output, verb: &ShadowVerb) -> Done {
    match verb {
        ShadowVerb::Soak(options) => soak::run(output, options),
        ShadowVerb::Alone(options) => alone::run(options),
    }
}
