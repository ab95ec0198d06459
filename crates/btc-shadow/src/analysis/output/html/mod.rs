//! One page for people.

use super::words::plain;
use crate::analysis::gate::Assessment;

/// Page.
pub fn render_html(assessment: &Assessment) -> String {
    escape(&assessment.judgement.headline)
}

/// Text that is no markup.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in plain(text).chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out
}
