//! Tests of the configuration: every variable, its default, the layers and what is refused.

mod builder;
mod connect;
mod defaults;
mod layers;
mod node;
mod refusals;
mod rollout;
mod sources;
mod wallet;
