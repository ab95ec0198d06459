//! Progress bars on standard error, hidden where it is not a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar over `total` steps, or a spinner when there are none to count.
pub(crate) fn bar(total: u64, what: &str) -> ProgressBar {
    show(
        total,
        what,
        "{spinner} {msg:<34} [{bar:32}] {human_pos}/{human_len} {eta}",
    )
}

/// A bar over so many bytes.
pub(crate) fn bytes(total: u64, what: &str) -> ProgressBar {
    show(
        total,
        what,
        "{spinner} {msg:<34} [{bar:32}] {bytes}/{total_bytes} {eta}",
    )
}

fn show(total: u64, what: &str, template: &str) -> ProgressBar {
    const REDRAW: Duration = Duration::from_millis(100);
    let bar = ProgressBar::new(total);
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message(what.to_owned());
    bar.enable_steady_tick(REDRAW);
    bar
}
