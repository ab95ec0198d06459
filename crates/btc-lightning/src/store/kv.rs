//! LDK's store over ours: writes of one key take effect in call order, and absent is exactly `NotFound`.

use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::mpsc;

use lightning::io;
use lightning::util::persist::{KVStore, KVStoreSync};
use rusqlite::{OptionalExtension as _, params};
use tokio::sync::oneshot;

use super::writer::{Job, Key, Reply};
use super::{Store, StoreError};

type Later<T> = Pin<Box<dyn Future<Output = Result<T, io::Error>> + Send>>;

impl From<StoreError> for io::Error {
    fn from(cause: StoreError) -> Self {
        // Any kind but `NotFound`: LDK takes that one for "there was never anything".
        Self::new(io::ErrorKind::Other, cause)
    }
}

fn key(primary: &str, secondary: &str, name: &str) -> Result<Key, io::Error> {
    let is_wrong = name.is_empty() || (primary.is_empty() && !secondary.is_empty());
    if is_wrong {
        let what = format!("not a place in the store: `{primary}/{secondary}/{name}`");
        return Err(StoreError(what).into());
    }
    Ok(Key {
        primary: primary.to_owned(),
        secondary: secondary.to_owned(),
        name: name.to_owned(),
    })
}

impl Store {
    fn get(&self, primary: &str, secondary: &str, key: &str) -> Result<Vec<u8>, io::Error> {
        let found: Option<Vec<u8>> = self.read(|connection| {
            let sql =
                "SELECT value FROM kv WHERE primary_ns = ?1 AND secondary_ns = ?2 AND key = ?3";
            connection
                .prepare_cached(sql)?
                .query_row(params![primary, secondary, key], |row| row.get(0))
                .optional()
        })?;
        found.ok_or_else(|| {
            let what = format!("nothing at `{primary}/{secondary}/{key}`");
            io::Error::new(io::ErrorKind::NotFound, what)
        })
    }

    fn keys(&self, primary: &str, secondary: &str) -> Result<Vec<String>, io::Error> {
        let found = self.read(|connection| {
            let sql = "SELECT key FROM kv WHERE primary_ns = ?1 AND secondary_ns = ?2";
            let mut query = connection.prepare_cached(sql)?;
            let keys = query.query_map(params![primary, secondary], |row| row.get(0))?;
            keys.collect::<rusqlite::Result<Vec<String>>>()
        })?;
        Ok(found)
    }

    /// Hands a job over and waits until it is on disk.
    fn wait(&self, job: impl FnOnce(Reply) -> Job) -> Result<(), io::Error> {
        let (reply, answer) = mpsc::sync_channel(1);
        self.send(job(Reply::Blocking(reply)))?;
        match answer.recv() {
            Ok(answer) => answer.map_err(|cause| StoreError(cause).into()),
            Err(_) => Err(self.gone().into()),
        }
    }

    /// Hands a job over now, which fixes its place in the order; the future waits for the disk.
    fn later(&self, job: Result<impl FnOnce(Reply) -> Job, io::Error>) -> Later<()> {
        let (reply, answer) = oneshot::channel();
        let sent = job.and_then(|job| Ok(self.send(job(Reply::Async(reply)))?));
        if let Err(cause) = sent {
            return Box::pin(ready(Err(cause)));
        }
        let store = self.clone();
        Box::pin(async move {
            match answer.await {
                Ok(answer) => answer.map_err(|cause| StoreError(cause).into()),
                Err(_) => Err(store.gone().into()),
            }
        })
    }
}

impl KVStoreSync for Store {
    fn read(&self, primary: &str, secondary: &str, name: &str) -> Result<Vec<u8>, io::Error> {
        self.get(primary, secondary, name)
    }

    fn write(
        &self,
        primary: &str,
        secondary: &str,
        name: &str,
        value: Vec<u8>,
    ) -> Result<(), io::Error> {
        let key = key(primary, secondary, name)?;
        self.wait(|reply| Job::Put(key, value, reply))
    }

    fn remove(
        &self,
        primary: &str,
        secondary: &str,
        name: &str,
        lazy: bool,
    ) -> Result<(), io::Error> {
        let key = key(primary, secondary, name)?;
        if lazy {
            return Ok(self.send(Job::Remove(key, Reply::Unwanted))?);
        }
        self.wait(|reply| Job::Remove(key, reply))
    }

    fn list(&self, primary: &str, secondary: &str) -> Result<Vec<String>, io::Error> {
        self.keys(primary, secondary)
    }
}

impl KVStore for Store {
    fn read(&self, primary: &str, secondary: &str, name: &str) -> Later<Vec<u8>> {
        Box::pin(ready(self.get(primary, secondary, name)))
    }

    fn write(&self, primary: &str, secondary: &str, name: &str, value: Vec<u8>) -> Later<()> {
        let key = key(primary, secondary, name);
        self.later(key.map(|key| move |reply| Job::Put(key, value, reply)))
    }

    fn remove(&self, primary: &str, secondary: &str, name: &str, lazy: bool) -> Later<()> {
        let key = key(primary, secondary, name);
        if lazy {
            let sent = key.and_then(|key| Ok(self.send(Job::Remove(key, Reply::Unwanted))?));
            return Box::pin(ready(sent));
        }
        self.later(key.map(|key| move |reply| Job::Remove(key, reply)))
    }

    fn list(&self, primary: &str, secondary: &str) -> Later<Vec<String>> {
        Box::pin(ready(self.keys(primary, secondary)))
    }
}
