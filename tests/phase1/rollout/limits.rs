//! The judge of a configured roll-out goes by the configured limits.

use std::env;
use std::thread;
use std::time::Duration;

use btc::Config;
use btc_tests::{FakeNode, Outcome, Reply, eventually, healthy};
use serde_json::json;
use tempfile::TempDir;

use super::state_at;

/// A read for which Rust waits and Python does not, with windows as short as they may be: with the
/// defaults it would take two minutes and two hundred calls.
pub(super) fn configured() -> Outcome {
    let node = FakeNode::start(|request| match request.method.as_str() {
        "estimatesmartfee" => {
            thread::sleep(Duration::from_millis(20));
            Reply::Result(json!({"errors": ["Insufficient data"], "blocks": 2}))
        }
        _ => healthy(request),
    });
    let folder = TempDir::new()?;
    let file = state_at(&folder, 50)?;
    let log = folder.path().join("shadow.log");
    let paths = [file.path(), &log].map(|path| path.display().to_string());
    let environment = |name: &str| {
        let value = match name {
            "ROLLOUT_FILE" => &paths[0],
            "LOG_FILE" => &paths[1],
            "ROLLOUT_WINDOW_SECS" => "1",
            "ROLLOUT_MIN_CALLS" => "3",
            "PYTHON_VENV" => return env::var(name).ok(),
            // Its fee rate is a constant, for which it asks nobody.
            "PYTHON_BACKEND" => "btc_legacy.planted:Raises",
            _ => return None,
        };
        Some(value.to_owned())
    };
    let mut config = Config::from_sources(environment, None)?;
    config.node = Some(node.config());
    let bitcoin = btc::connect(&config)?;
    eventually("two bad windows roll it back", || {
        bitcoin.estimate_fee(6).is_ok() && file.read().is_ok_and(|state| state.is_rolled_back)
    });
    let state = file.read()?;
    assert_eq!(state.percent, 0);
    let is_named = state.reason.contains("rust's p99 for estimate_fee was ");
    assert!(is_named, "{}", state.reason);
    let is_second = state.reason.ends_with("; 2 windows in a row were bad");
    assert!(is_second, "{}", state.reason);
    Ok(())
}
