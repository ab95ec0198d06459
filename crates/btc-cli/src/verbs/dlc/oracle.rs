//! `btc dlc oracle`: events announced, and attested once.

use btc::dlc::{Event, EventKind, OracleInterface as _};
use serde_json::json;

use crate::exit::Code;
use crate::flags::OracleVerb;
use crate::output::Output;
use crate::verbs::Done;

pub(super) fn run(output: Output, verb: &OracleVerb) -> Done {
    match verb {
        OracleVerb::Announce {
            name,
            maturity,
            outcomes,
            digits,
            unit,
            dir,
        } => {
            let outcomes = match digits {
                None => EventKind::Enumerated {
                    names: outcomes.clone(),
                },
                Some(digits) => EventKind::Numeric {
                    base: 2,
                    digits: *digits,
                    unit: unit.clone(),
                    precision: 0,
                },
            };
            let event = Event {
                name: name.clone(),
                maturity_time: *maturity,
                outcomes,
            };
            let announcement = btc::open_oracle(dir)?.announce(&event)?;
            output.show(&json!({ "announcement": announcement }), || {
                announcement.clone()
            })?;
        }
        OracleVerb::Attest { name, outcome, dir } => {
            let attestation = btc::open_oracle(dir)?.attest(name, outcome)?;
            output.show(&json!({ "attestation": attestation }), || {
                attestation.clone()
            })?;
        }
        OracleVerb::List { dir } => {
            let oracle = btc::open_oracle(dir)?;
            let mut rows = Vec::new();
            for name in oracle.events()? {
                let is_attested = oracle.event(&name)?.1.is_some();
                rows.push((name, is_attested));
            }
            let value = json!({
                "public_key": oracle.public_key(),
                "events": rows
                    .iter()
                    .map(|(name, is_attested)| json!({"name": name, "is_attested": is_attested}))
                    .collect::<Vec<_>>(),
            });
            output.show(&value, || {
                let lines = rows.iter().map(|(name, is_attested)| {
                    let word = if *is_attested {
                        "attested"
                    } else {
                        "announced"
                    };
                    format!("{word:<9}  {name}\n")
                });
                format!(
                    "oracle {}\n{}",
                    oracle.public_key(),
                    lines.collect::<String>()
                )
            })?;
        }
    }
    Ok(Code::Ok)
}
