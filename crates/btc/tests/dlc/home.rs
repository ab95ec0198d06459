//! Where a party's files are.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// Where a party's files are.
pub(crate) enum Home {
    Own(TempDir),
    Lent(PathBuf),
}

impl Home {
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Own(folder) => folder.path(),
            Self::Lent(path) => path,
        }
    }
}

pub(crate) fn copy_files(from: &Path, to: &Path) {
    for file in std::fs::read_dir(from).expect("a folder") {
        let file = file.expect("a file").path();
        let name = file.file_name().expect("a name");
        std::fs::copy(&file, to.join(name)).expect("a copy");
    }
}

pub(crate) fn rand_byte() -> u8 {
    use std::hash::{BuildHasher, RandomState};
    let number = RandomState::new().hash_one(std::time::Instant::now());
    number.to_le_bytes()[0]
}
