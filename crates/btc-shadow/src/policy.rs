//! The settings of a comparison.

/// How patiently answers that depend on the tip are compared.
///
/// How an operation is compared is no setting: the reads are asked of both sides, and what
/// reserves, persists or sends is left to the primary and compared through the secondary's
/// effect-free twins. Which share of the calls is compared is for [`Sampling`](crate::Sampling).
#[derive(Debug, Clone)]
pub struct Policy {
    /// The waits in milliseconds before both sides are asked again, when they differ only in
    /// what a new block or transaction can explain. Empty: such a difference is a mismatch.
    pub recheck_after_ms: Vec<u64>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            recheck_after_ms: vec![20, 200, 1000],
        }
    }
}
