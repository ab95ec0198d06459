//! The writing thread: takes all that waits, commits it at once, and answers.

use std::sync::mpsc::{Receiver, SyncSender};

use rusqlite::{Connection, params};
use tokio::sync::oneshot;

/// The most that is committed together: it bounds the wait of the first one.
const MAX_GROUP: usize = 512;

type Change = Box<dyn FnOnce(&Connection) -> rusqlite::Result<()> + Send>;
type Answer = Result<(), String>;

/// A key of LDK's.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) primary: String,
    pub(super) secondary: String,
    pub(super) name: String,
}

/// Something to write.
pub(super) enum Job {
    Put(Key, Vec<u8>, Reply),
    Remove(Key, Reply),
    Change(Change, Reply),
}

/// Who waits for it.
pub(super) enum Reply {
    Blocking(SyncSender<Answer>),
    Async(oneshot::Sender<Answer>),
    Unwanted,
}

impl Reply {
    fn say(self, answer: &Answer) {
        match self {
            // One that no longer waits is no failure.
            Self::Blocking(reply) => drop(reply.send(answer.clone())),
            Self::Async(reply) => drop(reply.send(answer.clone())),
            Self::Unwanted => {}
        }
    }
}

/// Writes until the last sender is gone, or a write fails: then all that still waits, and all that comes
/// until the senders are gone, is refused.
pub(super) fn run(connection: Connection, jobs: &Receiver<Job>, on_failure: impl Fn(&str)) {
    let mut connection = connection;
    let mut failure: Option<String> = None;
    while let Ok(first) = jobs.recv() {
        let mut group = vec![first];
        group.extend(jobs.try_iter().take(MAX_GROUP - 1));
        let (works, replies): (Vec<_>, Vec<_>) = group.into_iter().map(split).unzip();
        let answer = match &failure {
            Some(cause) => Err(cause.clone()),
            None => commit(&mut connection, works).map_err(|cause| {
                let cause = format!("a write failed: {cause}");
                on_failure(&cause);
                failure = Some(cause.clone());
                cause
            }),
        };
        for reply in replies {
            reply.say(&answer);
        }
    }
}

enum Work {
    Put(Key, Vec<u8>),
    Remove(Key),
    Change(Change),
}

fn split(job: Job) -> (Work, Reply) {
    match job {
        Job::Put(key, value, reply) => (Work::Put(key, value), reply),
        Job::Remove(key, reply) => (Work::Remove(key), reply),
        Job::Change(change, reply) => (Work::Change(change), reply),
    }
}

fn commit(connection: &mut Connection, works: Vec<Work>) -> rusqlite::Result<()> {
    let group = connection.transaction()?;
    for work in works {
        match work {
            Work::Put(key, value) => {
                let sql = "INSERT OR REPLACE INTO kv (primary_ns, secondary_ns, key, value) VALUES (?1, ?2, ?3, ?4)";
                group.prepare_cached(sql)?.execute(params![
                    key.primary,
                    key.secondary,
                    key.name,
                    value
                ])?;
            }
            Work::Remove(key) => {
                let sql = "DELETE FROM kv WHERE primary_ns = ?1 AND secondary_ns = ?2 AND key = ?3";
                group.prepare_cached(sql)?.execute(params![
                    key.primary,
                    key.secondary,
                    key.name
                ])?;
            }
            Work::Change(change) => change(&group)?,
        }
    }
    group.commit()
}
