//! Results on standard output, as aligned text or JSON; failures on standard error.

use std::error::Error as _;
use std::fmt::Display;
use std::io::{ErrorKind, IsTerminal as _, Write as _};

use anstyle::{AnsiColor, Style};
use serde::Serialize;
use serde_json::json;

use crate::exit::{Code, Failure};
use crate::tame;

/// The style of labels.
pub(crate) const LABEL: Style = Style::new().dimmed();
/// The style of what is well.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default().bold();
/// The style of what is not.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();

/// How results are shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    pub(crate) is_json: bool,
    pub(crate) is_verbose: bool,
}

impl Output {
    /// Shows a result: `value` as JSON, or the text that `text` makes. Colour is stripped where
    /// standard output is not a terminal.
    pub(crate) fn show(
        self,
        value: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        let text = if self.is_json {
            let json = serde_json::to_string_pretty(value)
                .unwrap_or_else(|cause| json!({"error": cause.to_string()}).to_string());
            tame::json(&json).into_owned()
        } else {
            tame::lines(&text()).into_owned()
        };
        print(format!("{}\n", text.trim_end()).as_bytes())
    }

    /// Shows why the verb failed, with the causes.
    pub(crate) fn failure(self, failure: &Failure) {
        let causes: Vec<String> = match failure {
            Failure::Bitcoin(error) => error.causes().map(ToString::to_string).collect(),
            Failure::Node(error) => std::iter::successors(error.source(), |&cause| cause.source())
                .map(ToString::to_string)
                .collect(),
            Failure::Other(..) => Vec::new(),
        };
        let mut err = anstream::stderr();
        if self.is_json {
            let mut value = json!({
                "error": {"message": failure.to_string(), "causes": causes, "exit_code": failure.code() as u8}
            });
            if let Failure::Bitcoin(error) = failure {
                value["error"]["kind"] = json!(error.kind());
                value["error"]["operation"] = json!(error.operation());
                let context = error.context().iter();
                let context = context.map(|(name, value)| (name.clone(), json!(value)));
                value["error"]["context"] = context.collect::<serde_json::Map<_, _>>().into();
            }
            let _ = writeln!(err, "{}", tame::json(&format!("{value:#}")));
            return;
        }
        let message = failure.to_string();
        let _ = writeln!(err, "{BAD}error:{BAD:#} {}", tame::lines(&message));
        for cause in causes {
            // A traceback is for those who ask for it.
            if self.is_verbose || !cause.contains('\n') {
                let _ = writeln!(
                    err,
                    "  {LABEL}because:{LABEL:#} {}",
                    tame::lines(&cause).replace('\n', "\n    ")
                );
            }
        }
    }
}

/// Writes to standard output, to a terminal what it may see. A reader that has seen enough (`| head`) is no failure; a full disk is.
pub(crate) fn print(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = anstream::stdout();
    let shown = std::str::from_utf8(bytes)
        .ok()
        .filter(|_| std::io::stdout().is_terminal())
        .map(tame::lines);
    let bytes = shown.as_deref().map_or(bytes, str::as_bytes);
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(cause) if cause.kind() != ErrorKind::BrokenPipe => {
            let message = format!("the result cannot be written to standard output: {cause}");
            Err(Failure::Other(Code::Failed, message))
        }
        _ => Ok(()),
    }
}

/// A line beside the result, such as what is being done.
pub(crate) fn note(text: impl Display) {
    let text = text.to_string();
    let _ = writeln!(anstream::stderr(), "{LABEL}{}{LABEL:#}", tame::lines(&text));
}

/// Names and values, one a line, the values aligned.
pub(crate) fn fields(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    rows.iter()
        .map(|(name, value)| format!("{LABEL}{name:<width$}{LABEL:#}  {value}\n"))
        .collect()
}
