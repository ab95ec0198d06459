//! A runbook's steps: the blocks of commands in a document, each with the output that it names.

/// A block of commands that stays out says why after this, in its first line.
const NOT_RUN: &str = "# Not run by the test: ";

/// A block of commands.
#[derive(Debug)]
pub(super) struct Step {
    /// The line of its fence, from 1.
    pub(super) line: usize,
    pub(super) commands: String,
    /// The lines of the output, and the number of the first one; none is no output.
    pub(super) expected: Vec<String>,
    pub(super) expected_line: usize,
    /// Why it is not run.
    pub(super) not_run: Option<String>,
}

/// The steps in order. Output is a `text` block, with nothing but blank lines between it and the
/// `bash` block before it.
///
/// # Errors
/// A block that has no end, commands that are not bash's, or an output without its commands.
pub(super) fn steps(text: &str) -> Result<Vec<Step>, String> {
    let mut steps: Vec<Step> = Vec::new();
    let mut is_next_output = false;
    let mut lines = (1..).zip(text.lines());
    while let Some((line, fence)) = lines.next() {
        let Some(language) = fence.strip_prefix("```") else {
            is_next_output &= fence.trim().is_empty();
            continue;
        };
        let mut block = Vec::new();
        loop {
            match lines.next() {
                None => return Err(format!("line {line}: the block has no end")),
                Some((_, "```")) => break,
                Some((_, inside)) => block.push(inside.to_owned()),
            }
        }
        match (language, steps.last_mut()) {
            ("bash", _) => {
                let reason = block.first().and_then(|first| first.strip_prefix(NOT_RUN));
                steps.push(Step {
                    line,
                    not_run: reason.map(str::to_owned),
                    commands: block.join("\n") + "\n",
                    expected: Vec::new(),
                    expected_line: line,
                });
                is_next_output = true;
                continue;
            }
            ("text", Some(step)) if is_next_output => {
                step.expected = block;
                step.expected_line = line + 1;
            }
            ("text", _) => {
                return Err(format!(
                    "line {line}: an output must follow its block of commands at once"
                ));
            }
            ("sh" | "shell" | "console", _) => {
                return Err(format!("line {line}: commands stand in a `bash` block"));
            }
            _ => {}
        }
        is_next_output = false;
    }
    Ok(steps)
}
