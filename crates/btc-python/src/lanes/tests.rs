//! Tests of lanes over carriers that wait, fail and hang.

use std::sync::atomic::AtomicUsize;

use super::*;

const LIMIT: Duration = Duration::from_millis(300);
/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Makes carriers that count how many of them there are, and do what a request says.
#[derive(Default, Clone)]
struct Stage(Arc<Told>);

#[derive(Default)]
struct Told {
    live: AtomicUsize,
    /// The requests in the order in which they were carried.
    carried: Mutex<Vec<Vec<u8>>>,
    lets_go: AtomicBool,
}

struct Actor(Arc<Told>);

impl Factory for Stage {
    fn make(&self) -> (Box<dyn Carrier>, Option<Ender>) {
        self.0.live.fetch_add(1, Ordering::SeqCst);
        (Box::new(Actor(Arc::clone(&self.0))), None)
    }
}

impl Carrier for Actor {
    fn carry(&mut self, _: Operation, request: &[u8]) -> BitcoinResult<Vec<u8>> {
        let mut carried = self.0.carried.lock().expect("no test panics with it");
        carried.push(request.to_vec());
        let count = carried.len();
        drop(carried);
        match request {
            b"hang" => until(|| self.0.lets_go.load(Ordering::SeqCst)),
            b"work" => {
                thread::sleep(Duration::from_millis(10));
                if count < 20 {
                    return Ok(br#"{"unfinished":true}"#.to_vec());
                }
            }
            _ => {}
        }
        Ok(request.to_vec())
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        self.0.live.fetch_sub(1, Ordering::SeqCst);
    }
}

fn until(holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "it never holds");
        thread::sleep(Duration::from_millis(1));
    }
}

fn ask(lanes: &Lanes, request: &[u8], turn: Turn) -> BitcoinResult<Vec<u8>> {
    lanes.call(Operation::GetBalance, request, turn)
}

#[test]
fn nothing_is_left_of_lanes_that_ended() {
    let stage = Stage::default();
    let lanes = Lanes::new(stage.clone(), None, 4);
    assert_eq!(ask(&lanes, b"7", Turn::Usual).expect("an echo"), b"7");
    assert_eq!(stage.0.live.load(Ordering::SeqCst), 1);
    lanes.end();
    assert!(lanes.wait_for_end(Instant::now() + PATIENCE));
    assert_eq!(stage.0.live.load(Ordering::SeqCst), 0);
}

#[test]
fn lanes_that_only_hang_are_said_to_be_busy_at_once_and_not_waited_for() {
    let stage = Stage::default();
    let lanes = Lanes::new(stage.clone(), Some(LIMIT), 1);
    let error = ask(&lanes, b"hang", Turn::Usual).expect_err("it hangs");
    assert_eq!(error.kind(), ErrorKind::Timeout);
    let begun = Instant::now();
    let error = ask(&lanes, b"7", Turn::Usual).expect_err("there is no lane");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.message().contains("busy"), "{error}");
    assert!(begun.elapsed() < LIMIT, "it was waited for");
    lanes.end();
    assert!(lanes.wait_for_end(Instant::now() + LIMIT));
    stage.0.lets_go.store(true, Ordering::SeqCst);
    until(|| ask(&lanes, b"7", Turn::Usual).is_ok());
}

#[test]
fn work_in_pieces_is_continued_and_what_goes_first_comes_in_between() {
    let stage = Stage::default();
    let lanes = Lanes::new(stage.clone(), Some(PATIENCE), 1);
    thread::scope(|scope| {
        let work = scope.spawn(|| ask(&lanes, b"work", Turn::Usual));
        until(|| !stage.0.carried.lock().expect("whole").is_empty());
        assert_eq!(ask(&lanes, b"send", Turn::First).expect("an echo"), b"send");
        let at_once = stage.0.carried.lock().expect("whole").len();
        assert!(at_once < 10, "it waited for {at_once} pieces");
        let done = work.join().expect("no panic").expect("it is done");
        assert_eq!(done, b"work");
    });
}

#[test]
fn work_in_pieces_that_outlasts_the_limit_keeps_its_lane() {
    let stage = Stage::default();
    let lanes = Lanes::new(stage.clone(), Some(Duration::from_millis(50)), 1);
    let error = ask(&lanes, b"work", Turn::Usual).expect_err("it takes 200 ms");
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.message().contains("PYTHON_TIMEOUT_SECS"), "{error}");
    until(|| ask(&lanes, b"work", Turn::Usual).is_ok());
    assert_eq!(stage.0.live.load(Ordering::SeqCst), 1, "another lane");
}
