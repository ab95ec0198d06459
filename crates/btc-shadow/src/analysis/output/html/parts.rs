//! Parts that several sections of the page are made of.

use super::super::super::gate::{Criterion, Outcome};
use super::super::words::plural;
use super::escape;

/// A section, unless there is nothing in it.
pub(super) fn section(title: &str, what: &str, content: &str) -> String {
    if content.is_empty() {
        return String::new();
    }
    format!(
        "<section><h2>{}</h2><p>{}</p>{content}</section>\n",
        escape(title),
        escape(what)
    )
}

/// Sentences, one a line.
pub(super) fn list(sentences: impl IntoIterator<Item = String>) -> String {
    let items: String = sentences
        .into_iter()
        .map(|sentence| format!("<tr><td class=\"l wrap\">{}</td></tr>", escape(&sentence)))
        .collect();
    if items.is_empty() {
        return items;
    }
    format!("<div class=\"card\"><table>{items}</table></div>")
}

pub(super) fn tag(outcome: Outcome) -> String {
    let word = outcome.as_str();
    format!("<span class=\"tag {}\">{word}</span>", word.to_lowercase())
}

pub(super) fn reason(criterion: &Criterion) -> String {
    format!(
        "<li>{} {}</li>",
        tag(criterion.outcome),
        escape(&criterion.sentence)
    )
}

/// Names beside their colours.
pub(super) fn legend(names: &[&str]) -> String {
    let entries: String = names
        .iter()
        .map(|name| format!("<span class=\"{name}\"><i></i>{name}</span>"))
        .collect();
    format!("<div class=\"legend\">{entries}</div>")
}

/// A time that passed, in the unit that suits it.
pub(super) fn period(ms: u64) -> String {
    let (minute, hour, day) = (60_000, 3_600_000, 86_400_000);
    let of = |unit: u64, one, many| plural((ms + unit / 2) / unit, one, many);
    match ms {
        _ if ms >= 2 * day => of(day, "day", "days"),
        _ if ms >= 2 * hour => of(hour, "hour", "hours"),
        _ if ms >= 2 * minute => of(minute, "minute", "minutes"),
        _ => of(1000, "second", "seconds"),
    }
}
