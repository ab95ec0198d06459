//! `cargo xtask ci`: the same checks as `test`, all of them, on a machine without a user to ask.

use crate::error::Result;
use crate::flags::TestFlags;
use crate::test;
use crate::workspace::Workspace;

pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    test::run(
        workspace,
        &TestFlags {
            keep_going: true,
            strict: true,
            json: false,
            yes: true,
        },
    )
}
