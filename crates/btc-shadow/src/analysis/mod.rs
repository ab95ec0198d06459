//! What a comparison log says: counts, compatibility, times and errors, per operation.

mod operation;
mod reader;
mod report;
mod table;

pub use self::operation::OperationStats;
pub use self::reader::{Analysis, Problem};
pub use self::report::{
    Conclusion, ErrorCount, FieldPath, OperationReport, ReasonCount, Report, Times,
};
pub use self::table::render_table;
