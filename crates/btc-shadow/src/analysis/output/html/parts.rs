//! Parts that several sections of the page are made of.

use super::super::super::gate::Outcome;
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
        .map(|sentence| format!("<li>{}</li>", escape(&sentence)))
        .collect();
    if items.is_empty() {
        return items;
    }
    format!("<div class=\"card\"><ul class=\"lines\">{items}</ul></div>")
}

/// A cell of a table: its class, and its content as markup.
pub(super) struct Cell {
    class: &'static str,
    content: String,
}

impl Cell {
    /// Text, as it is.
    pub(super) fn text(text: &str) -> Self {
        Self::markup(escape(text))
    }

    /// Markup, whose text is escaped already.
    pub(super) fn markup(content: String) -> Self {
        Self { class: "", content }
    }

    /// Pale when there is nothing to see.
    pub(super) fn count(count: u64) -> Self {
        let class = if count == 0 { "off" } else { "" };
        Self::text(&super::super::words::grouped(count)).class(class)
    }

    pub(super) fn class(self, class: &'static str) -> Self {
        Self { class, ..self }
    }
}

/// A table of one row for each thing, whose name is the first cell. Where there is no room beside
/// each other, each row becomes a card, so every cell knows the title of its column. A title is
/// `group|title` where several columns have a group.
pub(super) fn table(titles: &[&str], rows: Vec<Vec<Cell>>) -> String {
    let split = |title: &&str| match title.split_once('|') {
        Some((group, title)) => (group.to_owned(), title.to_owned()),
        None => (String::new(), (*title).to_owned()),
    };
    let titles: Vec<_> = titles.iter().map(split).collect();
    let groups = titles.chunk_by(|one, other| one.0 == other.0).map(|run| {
        let (span, group) = (run.len(), escape(&run[0].0));
        format!("<th class=\"group\" colspan=\"{span}\">{group}</th>")
    });
    let mut groups: String = groups.collect();
    if titles.iter().all(|(group, _)| group.is_empty()) {
        groups.clear();
    }
    // A title stands as its column does.
    let class_of = |column: usize| rows.first().map_or("", |row: &Vec<Cell>| row[column].class);
    let is_text = |column| {
        ["name", "l"]
            .iter()
            .any(|left| class_of(column).starts_with(left))
    };
    let head: String = titles
        .iter()
        .enumerate()
        .map(|(column, (_, title))| {
            let class = if is_text(column) { " class=\"l\"" } else { "" };
            format!("<th{class}>{}</th>", escape(title))
        })
        .collect();
    let body: String = rows
        .into_iter()
        .map(|row| {
            let cells: String = row
                .into_iter()
                .zip(&titles)
                .map(|(cell, (group, title))| {
                    let label = format!("{group} {title}");
                    let label = escape(label.trim());
                    let (class, content) = (cell.class, cell.content);
                    format!("<td class=\"{class}\" data-l=\"{label}\">{content}</td>")
                })
                .collect();
            format!("<tr>{cells}</tr>")
        })
        .collect();
    format!(
        "<div class=\"card\"><table><thead><tr>{groups}</tr><tr>{head}</tr></thead>\
         <tbody>{body}</tbody></table></div>"
    )
}

/// A bar of this share of its place.
pub(super) fn bar(class: &str, share: f64) -> String {
    let percent = 100.0 * share.clamp(0.0, 1.0);
    format!("<span class=\"bar\"><i class=\"{class}\" style=\"width:{percent:.1}%\"></i></span>")
}

pub(super) fn tag(outcome: Outcome) -> String {
    let word = outcome.as_str();
    format!("<span class=\"tag {}\">{word}</span>", word.to_lowercase())
}

/// Names beside their colours.
pub(super) fn legend(names: &[(&str, &str)]) -> String {
    let entries: String = names
        .iter()
        .map(|(class, name)| format!("<span class=\"{class}\"><i></i>{}</span>", escape(name)))
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
