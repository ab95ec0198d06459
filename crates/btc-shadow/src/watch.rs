//! `Watch`: who is told of each judged call, beside the log.

use crate::record::Comparison;

/// Is told of each judged call, matches among them, on the thread that judged it: never the
/// caller's, unless the comparison is in line.
///
/// What it does takes time from comparisons, so it counts and returns. A panic is caught and
/// counted as a lost line.
pub trait Watch: Send + Sync {
    /// A call was judged.
    fn judged(&self, comparison: &Comparison);
}

impl<T: Watch + ?Sized> Watch for std::sync::Arc<T> {
    fn judged(&self, comparison: &Comparison) {
        (**self).judged(comparison);
    }
}
