//! The async adapter over a blocking implementation.

use std::panic::resume_unwind;
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::time::Duration;

use btc_iface::{
    AddressType, AsyncAdapter, AsyncBitcoinInterface, BitcoinImplementationType, ErrorKind,
    Operation,
};
use futures_lite::future::{block_on, poll_once, zip};

use crate::double::{Double, TXID, id, transaction};

#[test]
fn every_operation_reaches_the_implementation_with_its_arguments() {
    let double = Arc::new(Double::default());
    let adapter = AsyncAdapter::new(double.clone());
    block_on(async {
        let found = adapter.get_transaction(TXID).await;
        assert_eq!(found.expect("known").txid, id());
        let missing = adapter.get_block("00").await.expect_err("no block");
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        assert_eq!(adapter.get_block_height().await.expect("a height"), 21);
        let address = adapter.generate_address(AddressType::P2wpkh).await;
        assert_eq!(address.expect("an address").index, Some(7));
        let made = adapter
            .create_transaction(vec![("a".to_owned(), 5)], 3)
            .await;
        assert_eq!(made.expect("a transaction").txid, id());
        let sent = adapter.broadcast_transaction(&transaction(id())).await;
        assert_eq!(sent.expect("a txid"), TXID);
        assert_eq!(adapter.get_balance().await.expect("a balance"), 1_000);
        assert_eq!(adapter.estimate_fee(6).await.expect("a rate"), 12);
    });
    assert_eq!(
        adapter.implementation_type(),
        BitcoinImplementationType::Python
    );
    assert_eq!(
        double.calls(),
        [
            format!("get_transaction {TXID}"),
            "get_block 00".to_owned(),
            "get_block_height".to_owned(),
            "generate_address p2wpkh".to_owned(),
            r#"create_transaction [("a", 5)] 3"#.to_owned(),
            format!("broadcast_transaction {TXID}"),
            "get_balance".to_owned(),
            "estimate_fee 6".to_owned(),
        ]
    );
}

#[test]
fn an_adapter_is_a_trait_object_and_its_clone_asks_the_same_implementation() {
    let double = Arc::new(Double::default());
    let adapter = AsyncAdapter::new(double.clone());
    let twin: Arc<dyn AsyncBitcoinInterface> = Arc::new(adapter.clone());
    block_on(async {
        adapter.get_balance().await.expect("a balance");
        twin.get_block_height().await.expect("a height");
    });
    assert_eq!(double.calls(), ["get_balance", "get_block_height"]);
}

#[test]
fn a_panic_becomes_an_internal_error_with_its_message() {
    let adapter = panics();
    let cases = block_on(async {
        [
            (
                adapter.get_block_height().await.map(u64::from),
                Operation::GetBlockHeight,
                "a plain text",
            ),
            (
                adapter.get_balance().await,
                Operation::GetBalance,
                "the number 7",
            ),
            (
                adapter.estimate_fee(1).await,
                Operation::EstimateFee,
                "no message",
            ),
        ]
    });
    for (result, operation, said) in cases {
        let error = result.expect_err("it panicked");
        assert_eq!(error.kind(), ErrorKind::Internal);
        assert_eq!(error.operation(), operation);
        assert!(error.message().ends_with(said), "{}", error.message());
    }
}

#[test]
fn an_adapter_works_on_after_a_panic() {
    let adapter = panics();
    block_on(async {
        for _ in 0..32 {
            adapter.get_block_height().await.expect_err("it panicked");
        }
        let sent = adapter.broadcast_transaction(&transaction(id())).await;
        assert_eq!(sent.expect("a txid"), TXID);
    });
}

#[test]
fn several_futures_of_one_adapter_run_side_by_side() {
    // Each call waits for the other two: one after the other, they would never end.
    let barrier = Barrier::new(3);
    let meets = Double::with(move |_| {
        barrier.wait();
    });
    let adapter = AsyncAdapter::new(Arc::new(meets));
    let answers = block_on(zip(
        adapter.get_block_height(),
        zip(adapter.get_balance(), adapter.estimate_fee(9)),
    ));
    let (height, (balance, rate)) = answers;
    assert_eq!(height.expect("a height"), 21);
    assert_eq!(balance.expect("a balance"), 1_000);
    assert_eq!(rate.expect("a rate"), 18);
}

#[test]
fn dropping_a_future_does_not_stop_what_it_started() {
    let barrier = Arc::new(Barrier::new(2));
    let theirs = Arc::clone(&barrier);
    let holds = Double::with(move |_| {
        theirs.wait();
        theirs.wait();
    });
    let adapter = AsyncAdapter::new(Arc::new(holds));
    let transaction = transaction(id());
    let mut broadcast = Box::pin(adapter.broadcast_transaction(&transaction));
    assert!(block_on(poll_once(&mut broadcast)).is_none());
    // The call has begun.
    barrier.wait();
    drop(broadcast);
    // Only a call that goes on without its future arrives here.
    barrier.wait();
}

/// Panics in each way a panic can carry a message, and not at all when asked to send.
fn panics() -> AsyncAdapter {
    AsyncAdapter::new(Arc::new(Double::with(|call| match call {
        "get_block_height" => resume_unwind(Box::new("a plain text")),
        "get_balance" => resume_unwind(Box::new(format!("the number {}", 7))),
        "estimate_fee 1" => resume_unwind(Box::new(7)),
        _ => {}
    })))
}

/// An end that takes its time must not keep the executor, which has other things to do.
#[test]
fn closing_does_not_keep_the_executor() {
    /// Ends when it is told to.
    struct Slow(Mutex<mpsc::Receiver<()>>);

    impl Drop for Slow {
        fn drop(&mut self) {
            let receiver = self.0.get_mut().expect("nothing panicked");
            // With its thread kept, the executor would never come to the other future.
            let told = receiver.recv_timeout(Duration::from_mins(1));
            assert!(told.is_ok(), "the executor was kept");
        }
    }

    let (tell, told) = mpsc::channel();
    let (ended, has_ended) = mpsc::channel();
    let slow = Slow(Mutex::new(told));
    let double = Double::with(move |_| {
        let _ = (&slow, &ended);
    });
    let adapter = AsyncAdapter::new(Arc::new(double));
    block_on(zip(adapter.close(), async {
        tell.send(()).expect("it waits for that");
    }));
    let gone: Result<(), _> = has_ended.try_recv();
    assert_eq!(gone, Err(mpsc::TryRecvError::Disconnected), "it is gone");
}
