//! `WalletLab`: a node whose chain the wallet cases change, one case at a time.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};

use btc::bitcoin::{Amount, ScriptBuf, Txid};
use btc::{AddressType, BitcoinAddress, BitcoinInterface, NodeConfig};
use btc_regtest::{Chain, NodeBuilder, NodeError};
use btc_tests::{Backend, Connected, Outcome, WalletFolder, node_config};

/// A case over one backend.
pub(crate) type Case = fn(&mut Bench<'_, '_>) -> Outcome;

/// More than a coinbase needs to mature, so that there is a coin for every case.
const BLOCKS: u32 = 160;

/// What a case works with: the chain, a wallet of its own, and the wallet opened through the backend.
pub(crate) struct Bench<'a, 'n> {
    pub(crate) chain: &'a mut Chain<'n>,
    pub(crate) node: NodeConfig,
    pub(crate) backend: Backend,
    pub(crate) wallet: WalletFolder,
    connected: Option<Connected>,
}

impl Bench<'_, '_> {
    /// The wallet through the backend.
    pub(crate) fn bitcoin(&self) -> &dyn BitcoinInterface {
        &*self.connected.as_ref().expect("opened").bitcoin
    }

    /// With what shadow mode recorded.
    pub(crate) fn connected(&self) -> &Connected {
        self.connected.as_ref().expect("opened")
    }

    /// Closes the wallet, checks what shadow mode recorded, and opens it again.
    pub(crate) fn reopen(&mut self) -> Outcome {
        self.close()?;
        self.connected = Some(self.wallet.connect(self.backend, &self.node)?);
        Ok(())
    }

    fn close(&mut self) -> Outcome {
        let connected = self.connected.take().expect("opened");
        connected.assert_agreement();
        Ok(())
    }

    /// The next address of this type.
    pub(crate) fn address(
        &self,
        address_type: AddressType,
    ) -> Result<BitcoinAddress, btc::BitcoinError> {
        self.bitcoin().generate_address(address_type)
    }

    /// Somebody pays the wallet this much, on an address of each of these types.
    pub(crate) fn receive(
        &mut self,
        types: &[AddressType],
        value_sat: u64,
    ) -> Result<Txid, Box<dyn std::error::Error + Send + Sync>> {
        let mut outputs: Vec<(ScriptBuf, Amount)> = Vec::new();
        for address_type in types {
            let address = self.address(*address_type)?;
            outputs.push((address.script_pubkey, Amount::from_sat(value_sat)));
        }
        Ok(self.chain.pay(&outputs, 2)?)
    }
}

type Job = Box<dyn FnOnce(&mut Chain<'_>) + Send>;

/// A node and its chain, on a thread of their own that runs the cases one after another.
pub(crate) struct WalletLab {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl WalletLab {
    /// Starts the node and mines enough blocks to spend from.
    pub(crate) fn start(options: NodeBuilder) -> Result<Self, NodeError> {
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
            match mined {
                Ok(mut chain) => {
                    if ready.send(Ok(())).is_ok() {
                        for job in queue {
                            job(&mut chain);
                        }
                    }
                }
                Err(error) => ready.send(Err(error)).unwrap_or_default(),
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

    /// Runs something with the chain, alone on this node.
    pub(crate) fn with(
        &self,
        run: impl FnOnce(&mut Chain<'_>, NodeConfig) -> Outcome + Send + 'static,
    ) -> Outcome {
        let (reply, answer) = mpsc::sync_channel(1);
        let job: Job = Box::new(move |chain| {
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                // What an earlier case left waiting is not this one's.
                chain.mine(1)?;
                let node = node_config(chain.node());
                run(chain, node)
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

    /// Runs a case over a backend, with a new wallet.
    pub(crate) fn run(&self, backend: Backend, case: Case) -> Outcome {
        self.with(move |chain, node| {
            let wallet = WalletFolder::random(chain.height())?;
            let connected = Some(wallet.connect(backend, &node)?);
            let mut bench = Bench {
                chain,
                node,
                backend,
                wallet,
                connected,
            };
            case(&mut bench)?;
            bench.close()
        })
    }
}

impl Drop for WalletLab {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was shown when it happened.
            let _ = thread.join();
        }
    }
}
