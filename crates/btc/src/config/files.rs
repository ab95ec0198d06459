//! Which configuration files are read, and whom they must belong to.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use btc_iface::{BitcoinError, BitcoinResult};

use super::layers::configuration;

/// The file's name in the current folder, and in the user's folder for configuration.
const NAME: &str = "btc.toml";

/// A file that is read.
pub(super) struct Found {
    /// What errors call it.
    pub(super) source: String,
    pub(super) text: String,
    /// Whether it is the current folder's, which may set what is harmless alone.
    pub(super) is_folders: bool,
}

/// The files that are read, the uppermost first, and what is to be said about that of the current
/// `folder`: a command that is run somewhere must not do unseen what a file there says.
///
/// The file that `BTC_CONFIG` names is read in place of the others.
pub(super) fn find(
    environment: &impl Fn(&str) -> Option<String>,
    folder: &Path,
) -> BitcoinResult<(Vec<Found>, Option<String>)> {
    if let Some(path) = environment("BTC_CONFIG").filter(|path| !path.is_empty()) {
        let text = read(Path::new(&path)).map_err(|cause| unreadable(&path, cause))?;
        let found = Found {
            source: path,
            text,
            is_folders: false,
        };
        return Ok((vec![found], None));
    }
    let users = user_file(environment);
    let path = folder.join(NAME);
    let (folders, remark) = match &users {
        // It is the same file where the current folder is that one.
        Some(users) if same(users, &path) => (None, None),
        _ => folders(&path)?,
    };
    let users = users.map(|path| of_user(&path)).transpose()?.flatten();
    Ok((folders.into_iter().chain(users).collect(), remark))
}

/// Where the user's own file is: `btc/btc.toml` below `XDG_CONFIG_HOME`, or below `.config` of
/// the home folder.
fn user_file(environment: &impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let absolute = |text: String| Some(PathBuf::from(text)).filter(|path| path.is_absolute());
    let base = environment("XDG_CONFIG_HOME").and_then(absolute);
    let base = base.or_else(|| Some(environment("HOME").and_then(absolute)?.join(".config")));
    Some(base?.join("btc").join(NAME))
}

/// The user's own file, if there is one. One that others may write is refused: it can name
/// programs and hosts.
fn of_user(path: &Path) -> BitcoinResult<Option<Found>> {
    let source = path.display().to_string();
    match fs::metadata(path) {
        Err(cause) if is_absent(&cause) => return Ok(None),
        Err(cause) => return Err(unreadable(&source, cause)),
        Ok(_) => {}
    }
    if let Err(why) = owner::is_trusted(path, &[owner::Whose::User, owner::Whose::Root]) {
        let message = format!("the configuration file `{source}` is not read: {why}");
        return Err(configuration(message));
    }
    let text = read(path).map_err(|cause| unreadable(&source, cause))?;
    Ok(Some(Found {
        source,
        text,
        is_folders: false,
    }))
}

/// The current folder's, if it is this user's alone, and what is to be said about it.
fn folders(path: &Path) -> BitcoinResult<(Option<Found>, Option<String>)> {
    match fs::symlink_metadata(path) {
        Err(cause) if is_absent(&cause) => return Ok((None, None)),
        Err(cause) => return Err(unreadable(NAME, cause)),
        Ok(_) => {}
    }
    if let Err(why) = owner::is_trusted(path, &[owner::Whose::User]) {
        let remark = format!(
            "btc.toml of the current folder is not read: {why}; BTC_CONFIG=btc.toml reads it \
             nevertheless"
        );
        return Ok((None, Some(remark)));
    }
    let text = read(path).map_err(|cause| unreadable(NAME, cause))?;
    let found = Found {
        source: "btc.toml of the current folder".to_owned(),
        text,
        is_folders: true,
    };
    let remark = "btc.toml of the current folder is read".to_owned();
    Ok((Some(found), Some(remark)))
}

/// The text of a file, of which no setting needs more than this.
fn read(path: &Path) -> io::Result<String> {
    const MAX_BYTES: u64 = 1 << 20;
    let mut text = String::new();
    let bytes = File::open(path)?
        .take(MAX_BYTES + 1)
        .read_to_string(&mut text)?;
    if bytes as u64 > MAX_BYTES {
        return Err(io::Error::other("it is larger than 1 MiB"));
    }
    Ok(text)
}

fn is_absent(cause: &io::Error) -> bool {
    matches!(
        cause.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn same(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

fn unreadable(path: &str, cause: io::Error) -> BitcoinError {
    configuration(format!("the configuration file `{path}` cannot be read")).with_source(cause)
}

/// Who may have written a file.
#[cfg(unix)]
mod owner {
    use std::fs;
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;

    #[derive(Clone, Copy, PartialEq, Eq)]
    pub(super) enum Whose {
        User,
        Root,
    }

    /// Whether these alone can have written the file, and the name by which it is found. If not,
    /// why.
    pub(super) fn is_trusted(path: &Path, owners: &[Whose]) -> Result<(), String> {
        let user = rustix::process::geteuid().as_raw();
        let is_owner = |uid: u32| {
            owners.iter().any(|owner| match owner {
                Whose::User => uid == user,
                Whose::Root => uid == 0,
            })
        };
        let seen = |cause: std::io::Error| format!("it cannot be looked at: {cause}");
        let link = fs::symlink_metadata(path).map_err(seen)?;
        let file = fs::metadata(path).map_err(seen)?;
        if !file.is_file() {
            return Err("it is not a file".to_owned());
        }
        if !is_owner(link.uid()) || !is_owner(file.uid()) {
            return Err("it belongs to another user".to_owned());
        }
        if file.mode() & 0o022 != 0 {
            return Err("other users may write it (chmod go-w keeps them out)".to_owned());
        }
        Ok(())
    }
}

/// Who may have written a file, where the system does not say it in these words.
#[cfg(not(unix))]
mod owner {
    use std::path::Path;

    #[derive(Clone, Copy, PartialEq, Eq)]
    pub(super) enum Whose {
        User,
        Root,
    }

    /// Files of the user's own folder alone are trusted.
    pub(super) fn is_trusted(_: &Path, owners: &[Whose]) -> Result<(), String> {
        if owners.contains(&Whose::Root) {
            return Ok(());
        }
        Err("this system does not say who may write it".to_owned())
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use tempfile::TempDir;

    use super::*;

    /// A home folder and a current folder, with files in them of these modes.
    struct Place(TempDir);

    impl Place {
        fn new() -> Self {
            let place = Self(tempfile::tempdir().expect("a temporary folder"));
            for folder in ["home/.config/btc", "here"] {
                fs::create_dir_all(place.0.path().join(folder)).expect("a new folder");
            }
            place
        }

        fn with(self, path: &str, text: &str, mode: u32) -> Self {
            let path = self.0.path().join(path);
            fs::write(&path, text).expect("a new file");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("our own file");
            self
        }

        fn find(&self, more: &[(&str, &str)]) -> BitcoinResult<(Vec<Found>, Option<String>)> {
            let home = self.0.path().join("home").display().to_string();
            let environment = |name: &str| {
                let found = more.iter().find(|(known, _)| *known == name);
                let found = found.map(|(_, value)| (*value).to_owned());
                found.or_else(|| (name == "HOME").then(|| home.clone()))
            };
            find(&environment, &self.0.path().join("here"))
        }

        /// The texts that are read, and the remark.
        fn texts(&self, more: &[(&str, &str)]) -> (Vec<String>, String) {
            let (found, remark) = self.find(more).expect("files that can be read");
            let texts = found.into_iter().map(|found| found.text);
            (texts.collect(), remark.unwrap_or_default())
        }
    }

    const USERS: &str = "home/.config/btc/btc.toml";

    #[test]
    fn the_current_folders_file_lies_over_the_users_and_is_said() {
        let place = Place::new();
        assert_eq!(place.texts(&[]), (Vec::new(), String::new()));
        let place = place.with(USERS, "users", 0o644);
        assert_eq!(place.texts(&[]), (vec!["users".to_owned()], String::new()));
        let place = place.with("here/btc.toml", "folders", 0o644);
        let (texts, remark) = place.texts(&[]);
        assert_eq!(texts, ["folders", "users"]);
        assert_eq!(remark, "btc.toml of the current folder is read");
        let (found, _) = place.find(&[]).expect("two files");
        assert!(found[0].is_folders && !found[1].is_folders);
    }

    #[test]
    fn the_file_that_btc_config_names_is_read_in_place_of_the_others() {
        let place = Place::new()
            .with(USERS, "users", 0o644)
            .with("here/btc.toml", "folders", 0o644)
            .with("named", "named", 0o644);
        let named = place.0.path().join("named").display().to_string();
        let (found, remark) = place.find(&[("BTC_CONFIG", &named)]).expect("a file");
        assert_eq!((found.len(), found[0].text.as_str()), (1, "named"));
        assert!(!found[0].is_folders && remark.is_none());
        assert_eq!(place.texts(&[("BTC_CONFIG", "")]).0, ["folders", "users"]);
        let missing = place.find(&[("BTC_CONFIG", "/does/not/exist")]);
        assert!(missing.is_err(), "it was asked for");
    }

    #[test]
    fn a_file_of_the_current_folder_that_others_may_write_is_not_read_and_said() {
        for mode in [0o664, 0o646, 0o666, 0o602] {
            let place = Place::new().with("here/btc.toml", "folders", mode);
            let (texts, remark) = place.texts(&[]);
            assert!(texts.is_empty(), "{mode:o}");
            for word in ["not read", "other users may write it", "BTC_CONFIG"] {
                assert!(remark.contains(word), "{remark}");
            }
        }
    }

    #[test]
    fn a_file_of_the_current_folder_that_belongs_to_another_is_not_read_and_said() {
        // Whoever runs this, one of these belongs to another user.
        let foreign = |path: &Path| std::os::unix::fs::chown(path, Some(12_345), None);
        let place = Place::new().with("here/btc.toml", "folders", 0o644);
        let path = place.0.path().join("here/btc.toml");
        if let Err(cause) = foreign(&path) {
            eprintln!("not tried: this user cannot give a file away ({cause})");
            return;
        }
        let (texts, remark) = place.texts(&[]);
        assert!(texts.is_empty());
        assert!(remark.contains("belongs to another user"), "{remark}");
        // Nor what another user's link leads to, even where that is the user's own.
        let own = Place::new().with("here/own.toml", "own", 0o644);
        let link = own.0.path().join("here/btc.toml");
        symlink(own.0.path().join("here/own.toml"), &link).expect("a new link");
        assert_eq!(own.texts(&[]).0, ["own"]);
        std::os::unix::fs::lchown(&link, Some(12_345), None).expect("as above");
        assert!(own.texts(&[]).0.is_empty());
    }

    #[test]
    fn a_folder_or_a_pipe_of_that_name_is_not_read() {
        let place = Place::new();
        fs::create_dir(place.0.path().join("here/btc.toml")).expect("a new folder");
        let (texts, remark) = place.texts(&[]);
        assert!(
            texts.is_empty() && remark.contains("not a file"),
            "{remark}"
        );
    }

    #[test]
    fn a_file_of_the_user_that_others_may_write_is_refused() {
        let place = Place::new().with(USERS, "users", 0o666);
        let error = place.find(&[]).map(drop).expect_err("others may write it");
        assert!(
            error.message().contains("other users may write it"),
            "{error}"
        );
        assert!(error.message().contains(".config/btc/btc.toml"), "{error}");
    }

    #[test]
    fn the_users_folder_for_configuration_is_where_the_system_says() {
        let place = Place::new();
        let base = place.0.path().join("base");
        fs::create_dir_all(base.join("btc")).expect("a new folder");
        let place = place
            .with("base/btc/btc.toml", "base", 0o600)
            .with(USERS, "users", 0o600);
        let base = base.display().to_string();
        assert_eq!(place.texts(&[("XDG_CONFIG_HOME", &base)]).0, ["base"]);
        // A relative one does not count.
        assert_eq!(place.texts(&[("XDG_CONFIG_HOME", "base")]).0, ["users"]);
    }
}
