//! `Lab`: a node whose chain is changed, by one case at a time.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};

use btc::BitcoinInterface;
use btc_regtest::{Chain, NodeBuilder, NodeError};

use crate::backend::{Backend, Backends};
use crate::node::node_config;
use crate::suite::Outcome;

/// A case that mines or sends.
pub type Change = fn(&mut Chain<'_>, &dyn BitcoinInterface) -> Outcome;

type Job = Box<dyn FnOnce(&mut Chain<'_>, &Backends) + Send>;

/// More than a coinbase needs to mature, so that there is a coin for every case.
const BLOCKS: u32 = 150;

/// A node and its chain, on a thread of their own that runs the cases one after another.
pub struct Lab {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Lab {
    /// Starts the node and mines enough blocks to spend from.
    ///
    /// # Errors
    /// Those of the node.
    pub fn start(options: NodeBuilder) -> Result<Self, NodeError> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let (ready, is_ready) = mpsc::sync_channel(1);
        let thread = thread::spawn(move || {
            let node = match options.start() {
                Ok(node) => node,
                Err(error) => return ready.send(Err(error)).unwrap_or_default(),
            };
            let mined = Chain::new(&node, 2).and_then(|mut chain| {
                chain.mine(BLOCKS)?;
                Ok(chain)
            });
            let mut chain = match mined {
                Ok(chain) => chain,
                Err(error) => return ready.send(Err(error)).unwrap_or_default(),
            };
            let backends = Backends::new(node_config(&node));
            if ready.send(Ok(())).is_ok() {
                for job in queue {
                    job(&mut chain, &backends);
                }
            }
        });
        is_ready
            .recv()
            .expect("the thread says how the start went")?;
        Ok(Self {
            jobs: Some(jobs),
            thread: Some(thread),
        })
    }

    /// Runs a case over a backend, alone on this node.
    ///
    /// # Errors
    /// The case's own.
    pub fn run(&self, backend: Backend, change: Change) -> Outcome {
        let (reply, answer) = mpsc::sync_channel(1);
        let job: Job = Box::new(move |chain, backends| {
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                // What an earlier case left waiting is not this one's.
                chain.mine(1)?;
                let connected = backends.connect(backend)?;
                change(chain, &*connected.bitcoin)?;
                connected.assert_agreement();
                Ok(())
            }));
            // The receiver waits below.
            let _ = reply.send(outcome);
        });
        let jobs = self.jobs.as_ref().expect("taken on drop only");
        jobs.send(job).map_err(|_| "the lab's thread has ended")?;
        match answer.recv()? {
            Ok(outcome) => outcome,
            Err(panic) => resume_unwind(panic),
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was shown when it happened.
            let _ = thread.join();
        }
    }
}
