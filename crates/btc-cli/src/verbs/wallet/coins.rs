//! `btc balance`, `btc utxo`, `btc history`: what the wallet owns and what became of it.

use btc::{Coin, CoinState, HistoryEntry, PaymentState, WalletInterface};
use serde_json::json;

use super::{Hand, configuration, follow, open};
use crate::amount::{grouped, show_net_sat, show_sat};
use crate::exit::Code;
use crate::flags::UtxoVerb;
use crate::output::{Output, fields};
use crate::tame;
use crate::verbs::Done;

pub(super) fn balance(output: Output) -> Done {
    let config = configuration()?;
    let wallet = match Hand::take(&config, false)? {
        Hand::Rust(wallet) => wallet,
        Hand::Plain(bitcoin) => {
            let spendable_sat = bitcoin.get_balance()?;
            output.show(&json!({ "spendable_sat": spendable_sat }), || {
                show_sat(spendable_sat)
            })?;
            return Ok(Code::Ok);
        }
    };
    let height = follow(&wallet)?;
    let balance = wallet.balance()?;
    let available_sat = available_sat(&wallet.unspent()?);
    let mut value = json!(balance);
    value["spendable_sat"] = json!(balance.spendable_sat());
    value["available_sat"] = json!(available_sat);
    value["height"] = json!(height);
    output.show(&value, || {
        fields(&[
            ("spendable", show_sat(balance.spendable_sat())),
            (
                "of it neither reserved, locked nor held",
                show_sat(available_sat),
            ),
            ("confirmed", show_sat(balance.confirmed_sat)),
            ("pending, own", show_sat(balance.trusted_pending_sat)),
            ("pending, others'", show_sat(balance.untrusted_pending_sat)),
            ("immature", show_sat(balance.immature_sat)),
            (
                "held by missing payments",
                show_sat(balance.held_by_missing_sat),
            ),
            ("at height", grouped(u64::from(height))),
        ])
    })?;
    Ok(Code::Ok)
}

/// What the next payment can spend: what is confirmed or comes back to the wallet, and is nothing
/// else's.
fn available_sat(coins: &[Coin]) -> u64 {
    let is_available = |coin: &&Coin| {
        let is_spendable = matches!(coin.state, CoinState::Confirmed | CoinState::TrustedPending);
        is_spendable && coin.reserved_for.is_none()
    };
    let all = coins.iter().filter(is_available);
    // No more than all money.
    all.map(|coin| coin.value_sat).fold(0, u64::saturating_add)
}

pub(super) fn utxo(output: Output, verb: Option<&UtxoVerb>) -> Done {
    let wallet = open(&configuration()?)?;
    match verb {
        None | Some(UtxoVerb::List) => {
            follow(&wallet)?;
            let coins = wallet.unspent()?;
            output.show(&coins, || {
                if coins.is_empty() {
                    return "no coins".to_owned();
                }
                coins.iter().map(coin_line).collect()
            })?;
        }
        Some(UtxoVerb::Lock { outpoint }) => {
            wallet.lock(*outpoint)?;
            output.show(&json!({"locked": outpoint}), || {
                format!("locked {outpoint}")
            })?;
        }
        Some(UtxoVerb::Unlock { outpoint }) => {
            let was_locked = wallet.unlock(*outpoint)?;
            output.show(
                &json!({"unlocked": outpoint, "was_locked": was_locked}),
                || {
                    if was_locked {
                        format!("unlocked {outpoint}")
                    } else {
                        format!("{outpoint} was neither locked nor reserved")
                    }
                },
            )?;
        }
    }
    Ok(Code::Ok)
}

pub(super) fn history(output: Output) -> Done {
    let wallet = open(&configuration()?)?;
    let tip = follow(&wallet)?;
    let entries = wallet.history()?;
    output.show(&entries, || {
        if entries.is_empty() {
            return "no transactions".to_owned();
        }
        entries.iter().map(|entry| entry_line(entry, tip)).collect()
    })?;
    Ok(Code::Ok)
}

fn coin_line(coin: &Coin) -> String {
    let state = match coin.state {
        CoinState::Confirmed => "confirmed",
        CoinState::TrustedPending => "pending, own",
        CoinState::UntrustedPending => "pending",
        CoinState::Immature => "immature",
    };
    let reserved = coin
        .reserved_for
        .as_deref()
        .map_or(String::new(), |reason| {
            if reason == "locked" {
                "  locked".to_owned()
            } else {
                format!("  reserved for {reason}")
            }
        });
    let label = coin
        .label
        .as_deref()
        .map_or(String::new(), |label| format!("  {}", tame::inline(label)));
    format!(
        "{}  {:>22} sat  {state:<12}  {}{reserved}{label}\n",
        coin.outpoint,
        grouped(coin.value_sat),
        coin.address
    )
}

fn entry_line(entry: &HistoryEntry, tip: u32) -> String {
    let place = match entry.block {
        Some(block) => {
            let depth = tip.saturating_sub(block.height) + 1;
            format!(
                "height {} ({} deep)",
                block.height,
                grouped(u64::from(depth))
            )
        }
        None => match entry.state {
            PaymentState::InMempool => "unconfirmed".to_owned(),
            PaymentState::Missing => {
                "MISSING: your node does not have it (btc rebroadcast)".to_owned()
            }
            PaymentState::Conflicted => "conflicted: its coins were spent otherwise".to_owned(),
            state => state.as_str().to_owned(),
        },
    };
    let fee = entry
        .fee_sat
        .filter(|_| entry.sent_sat > 0)
        .map_or(String::new(), |fee| format!("  fee {} sat", grouped(fee)));
    let label = entry
        .label
        .as_deref()
        .map_or(String::new(), |label| format!("  {}", tame::inline(label)));
    format!(
        "{}  {:>24}  {place}{fee}{label}\n",
        entry.txid,
        show_net_sat(entry.net_sat())
    )
}
