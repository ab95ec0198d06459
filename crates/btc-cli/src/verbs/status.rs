//! `btc status`: what is configured, and what the node says.

use btc::types::network;
use btc::{BitcoinImplementationType, Credentials};
use serde_json::{Value, json};

use super::Done;
use crate::exit::Code;
use crate::node::Session;
use crate::output::{Output, fields};

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
    let value = json!({
        "implementation": implementation,
        "shadow_mode": shadow.is_some(),
        "log_file": shadow,
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
            (
                "node",
                format!("{url}, {}{private}", network::name(session.network())),
            ),
            ("login", login),
            ("height", height.to_string()),
        ];
        for (index, (target, rate)) in rates.iter().enumerate() {
            let name = if index == 0 { "fee rates" } else { "" };
            rows.push((name, format!("{target} blocks: {rate} sat/vB")));
        }
        fields(&rows)
    })?;
    Ok(Code::Ok)
}

/// How the node is logged in to, without any secret.
fn login(credentials: &Credentials) -> String {
    match credentials {
        Credentials::CookieFile(path) => format!("cookie {}", path.display()),
        Credentials::UserPassword { user, .. } => format!("user {user}, with a password"),
        _ => "none".to_owned(),
    }
}
