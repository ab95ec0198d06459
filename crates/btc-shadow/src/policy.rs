//! The settings of a comparison.

/// How patiently answers that depend on the tip are compared.
///
/// Which operations are compared is no setting: the reads are, and what reserves, persists or
/// sends is left to the primary and compared through the secondary's effect-free twins.
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
