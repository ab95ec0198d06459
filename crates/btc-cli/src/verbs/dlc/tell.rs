//! Contracts as text.

use btc::dlc::{Contract, DlcEvent, Explanation};

use crate::output;

/// An explanation with its curves.
pub(super) fn explanation(meaning: &Explanation) -> String {
    let mut text = meaning.sentences.join("\n");
    for lines in &meaning.outcomes {
        if let Some(curve) = btc::discreet::draw::terminal(lines) {
            text.push_str("\n\nWhat each number pays to you, in satoshi:\n");
            text.push_str(&curve);
        }
    }
    text
}

/// Where a contract stands.
pub(super) fn contract(contract: &Contract) -> String {
    let shown = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    output::fields(&[
        ("contract", contract.id.to_string()),
        ("state", contract.state.to_string()),
        ("you are the", contract.role.as_str().to_owned()),
        ("at stake", format!("{} sat", contract.total_collateral_sat)),
        (
            "funding",
            shown(contract.funding_txid.map(|it| it.to_string())),
        ),
        (
            "ended by",
            shown(contract.closing_txid.map(|it| it.to_string())),
        ),
        (
            "you got",
            shown(contract.own_payout_sat.map(|sat| format!("{sat} sat"))),
        ),
        ("refund from", format!("Unix time {}", contract.refund_time)),
        ("note", shown(contract.note.clone())),
    ])
}

/// One line a contract.
pub(super) fn list(all: &[Contract]) -> String {
    if all.is_empty() {
        return "no contracts; make an offer with `btc dlc offer`".to_owned();
    }
    let lines = all.iter().map(|one| {
        format!(
            "{}  {:<14}  {:<8}  {} sat\n",
            one.id,
            one.state.as_str(),
            one.role.as_str(),
            one.total_collateral_sat
        )
    });
    lines.collect()
}

/// What a sync changed.
pub(super) fn events(events: &[DlcEvent]) -> String {
    if events.is_empty() {
        return "nothing has changed".to_owned();
    }
    let lines = events.iter().map(|event| {
        let error = event.error.as_deref();
        let error = error.map_or(String::new(), |text| format!("  {text}"));
        let state = event.state.map_or("unreadable", |state| state.as_str());
        format!("{}  {state}{error}\n", event.id)
    });
    lines.collect()
}
