//! Tests of the border to Python that need no Python environment.

mod answers;
mod missing;
