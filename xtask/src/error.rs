//! The one error of every command: what failed, why, and what to do.

use std::fmt;

/// A message for the person at the terminal; lowercase, and it ends with the way out.
#[derive(Debug)]
pub(crate) struct Error(String);

pub(crate) type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

/// Says what was being done when a foreign error came up; its text is kept as the cause.
pub(crate) trait Context<T> {
    fn context(self, doing: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: fmt::Display> Context<T> for std::result::Result<T, E> {
    fn context(self, doing: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|cause| Error(format!("{}: {cause}", doing())))
    }
}

#[cfg(test)]
mod tests {
    use super::Context;

    #[test]
    fn the_cause_is_kept() {
        let error = std::fs::read("/nonexistent").context(|| "cannot read it".to_owned());
        let text = error.map(|_| ()).map_err(|error| error.to_string());
        assert!(text.is_err_and(|text| text.starts_with("cannot read it: No such file")));
    }
}
