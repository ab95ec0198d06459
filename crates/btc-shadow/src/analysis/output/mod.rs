//! How a report and its judgement are written down.

mod agreement;
mod cells;
mod csv;
mod grid;
mod html;
mod junit;
mod markdown;
mod table;
pub(super) mod words;

pub use self::agreement::render_table;
pub use self::html::render_html;
use super::gate::Assessment;

/// A way to write an assessment down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Aligned text for a terminal: the decision, a line per operation, what differs, what is
    /// missing.
    Table,
    /// The whole assessment as one JSON object.
    Json,
    /// A line per operation, with a head, for spreadsheets (RFC 4180).
    Csv,
    /// The same as the table, for a ticket or a pull request.
    Markdown,
    /// A test case per criterion, for build servers.
    Junit,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 5] = [
        Self::Table,
        Self::Json,
        Self::Csv,
        Self::Markdown,
        Self::Junit,
    ];

    /// The name, as on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Markdown => "markdown",
            Self::Junit => "junit",
        }
    }

    /// Writes the assessment down. Text from logs cannot command a terminal, end a line or a cell,
    /// or become markup.
    pub fn render(self, assessment: &Assessment) -> String {
        match self {
            Self::Table => table::render(assessment),
            Self::Json => serde_json::to_string_pretty(assessment)
                .unwrap_or_else(|cause| format!("{{\"error\":\"{cause}\"}}")),
            Self::Csv => csv::render(assessment),
            Self::Markdown => markdown::render(assessment),
            Self::Junit => junit::render(assessment),
        }
    }
}
