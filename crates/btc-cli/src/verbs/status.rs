//! `btc status`: what is configured, and what the node says.

use btc::config::RolloutConfig;
use btc::shadow::rollout::{State, StateFile};
use btc::types::network;
use btc::{BitcoinImplementationType, BitcoinResult, Credentials};
use serde_json::{Value, json};

use super::Done;
use super::rollout::{ago, not_there, share};
use crate::exit::Code;
use crate::node::Session;
use crate::output::{BAD, Output, fields};

/// The targets shown.
const FEE_TARGETS: [u8; 3] = [2, 6, 144];

/// Shows the status, answered as configured or by the implementation that is forced.
pub(super) fn run(output: Output, forced: Option<BitcoinImplementationType>) -> Done {
    let mut session = Session::open()?;
    if forced.is_some() {
        session.config.shadow = None;
    }
    let config = &session.config;
    let bitcoin = match forced {
        Some(implementation) => btc::connect_to(config, implementation)?,
        None => btc::connect(config)?,
    };
    let height = bitcoin.get_block_height()?;
    let mut rates = Vec::new();
    for target in FEE_TARGETS {
        rates.push((target, bitcoin.estimate_fee(target)?));
    }
    let implementation = bitcoin.implementation_type();
    let shadow = config
        .shadow
        .as_ref()
        .map(|shadow| shadow.log_file.display().to_string());
    let (url, login) = config.node.as_ref().map_or_else(Default::default, |node| {
        (node.url.clone(), login(&node.credentials))
    });
    // Read after the connection, which makes the file of a roll-out that begins.
    let rollout = config.rollout.as_ref().map(|rollout| {
        let state = StateFile::new(&rollout.file).read().map_err(not_there);
        (rollout, state)
    });
    let value = json!({
        "implementation": implementation,
        "shadow_mode": shadow.is_some(),
        "log_file": shadow,
        "rollout": rollout.as_ref().map(|(rollout, state)| rollout_value(rollout, state)),
        "node": {
            "url": url,
            "network": network::name(session.network()),
            "login": login,
            "is_private": session.private.is_some(),
        },
        "height": height,
        "fee_rates": rates
            .iter()
            .map(|(target, rate)| json!({"target_blocks": target, "sat_per_vb": rate}))
            .collect::<Vec<Value>>(),
    });
    output.show(&value, || {
        let private = if session.private.is_some() {
            ", private to this command"
        } else {
            ""
        };
        let mut rows = vec![
            ("implementation", implementation.to_string()),
            (
                "shadow mode",
                shadow.map_or_else(
                    || "off".to_owned(),
                    |log| format!("on, {implementation} is the primary, log {log}"),
                ),
            ),
        ];
        if let Some((rollout, state)) = &rollout {
            rows.extend(rollout_rows(rollout, state));
        }
        rows.extend([
            (
                "node",
                format!("{url}, {}{private}", network::name(session.network())),
            ),
            ("login", login),
            ("height", height.to_string()),
        ]);
        for (index, (target, rate)) in rates.iter().enumerate() {
            let name = if index == 0 { "fee rates" } else { "" };
            rows.push((name, format!("{target} blocks: {rate} sat/vB")));
        }
        fields(&rows)
    })?;
    Ok(Code::Ok)
}

fn rollout_value(rollout: &RolloutConfig, state: &BitcoinResult<State>) -> Value {
    let mut value = json!({
        "file": rollout.file,
        "is_overruled": rollout.is_overruled,
    });
    match state {
        Ok(state) => {
            value["percent"] = json!(state.percent);
            value["is_held"] = json!(state.is_held);
            value["is_rolled_back"] = json!(state.is_rolled_back);
            value["generation"] = json!(state.generation);
            value["changed_at_ms"] = json!(state.changed_at_ms);
            value["reason"] = json!(state.reason);
            value["rollback_reason"] =
                json!(state.last_rollback().map(|rollback| &rollback.reason));
        }
        Err(error) => value["error"] = json!(error.message()),
    }
    value
}

fn rollout_rows(
    rollout: &RolloutConfig,
    state: &BitcoinResult<State>,
) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    if rollout.is_overruled {
        lines.push("overruled: PRIMARY_IMPL or USE_RUST_BITCOIN names Python".to_owned());
    }
    match state {
        Ok(state) => {
            let held = if state.is_held { ", held" } else { "" };
            lines.push(format!("{}{held}", share(state)));
            if state.is_rolled_back {
                let rollback = state.last_rollback();
                let why = rollback.map_or_else(String::new, |rollback| {
                    format!(" {}: {}", ago(rollback.time_ms), rollback.reason)
                });
                lines.push(format!("{BAD}rolled back automatically{BAD:#}{why}"));
            }
            lines.push(format!(
                "generation {}, {}: {}",
                state.generation,
                ago(state.changed_at_ms),
                state.reason
            ));
        }
        Err(error) => lines.push(format!("{BAD}unknown{BAD:#}: {}", error.message())),
    }
    let name = |index| if index == 0 { "roll-out" } else { "" };
    let lines = lines.into_iter().enumerate();
    lines.map(|(index, line)| (name(index), line)).collect()
}

/// How the node is logged in to, without any secret.
fn login(credentials: &Credentials) -> String {
    match credentials {
        Credentials::CookieFile(path) => format!("cookie {}", path.display()),
        Credentials::UserPassword { user, .. } => format!("user {user}, with a password"),
        _ => "none".to_owned(),
    }
}
