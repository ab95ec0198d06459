//! `Rollout`: the share, its file, what a process makes of it, and when it is rolled back.

mod control;
mod crash;
mod file;
mod judge;
mod routes;
mod state;
mod sticky;
mod windows;

use std::sync::Arc;

use btc_shadow::rollout::{Consent, Control, StateFile};
use tempfile::TempDir;

/// Every step may be taken.
const JUMP: Consent = Consent {
    to_jump: true,
    after_rollback: false,
};

/// A state file in a folder that goes away.
struct Place {
    folder: TempDir,
    file: StateFile,
}

impl Place {
    /// Without a file.
    fn empty() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = StateFile::new(folder.path().join("state/rollout.json"));
        Self { folder, file }
    }

    /// With this share.
    fn at(percent: u8) -> Self {
        let place = Self::empty();
        place.file.open().expect("it can be made");
        place.set(percent);
        place
    }

    fn set(&self, percent: u8) {
        self.file
            .update(|state| state.set(percent, JUMP, "the test wants it"))
            .expect("nothing speaks against it");
    }

    fn control(&self) -> Arc<Control> {
        Control::open(self.file.clone(), None).expect("the file is sound")
    }
}
