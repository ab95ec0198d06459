//! `btc variables`: what is read from the environment, with the defaults.

use btc::config::VARIABLES;
use serde_json::{Value, json};

use super::Done;
use crate::exit::Code;
use crate::output::{LABEL, Output};

pub(super) fn run(output: Output) -> Done {
    let rows: Vec<Value> = VARIABLES
        .iter()
        .map(
            |v| json!({"name": v.name, "default": v.default, "help": v.help, "in_file": v.in_file}),
        )
        .collect();
    output.show(&rows, || {
        let width = VARIABLES.iter().map(|v| v.name.len()).max().unwrap_or(0);
        let lines = VARIABLES.iter().map(|v| {
            format!(
                "{:<width$}  {}\n{:<width$}  {LABEL}default: {}{LABEL:#}\n",
                v.name, v.help, "", v.default
            )
        });
        lines.collect()
    })?;
    Ok(Code::Ok)
}
