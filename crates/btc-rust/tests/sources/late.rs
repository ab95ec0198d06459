//! Peers that are behind, honestly or not: what they have counts, and no one is blamed for it.

use crate::scripted::Scripted;
use crate::setup::over;
use crate::story::Story;
use crate::wallet::Pocket;

#[test]
fn p2p_a_peer_that_is_late_is_compared_up_to_what_it_has() {
    let name = "late";
    let truth = Story::empty(20).pay(&[Pocket::new(name).script(0)]).mine(3);
    let liar = Scripted::honest(truth.clone().without(&Pocket::new(name).script(0)));
    let late = Scripted::honest(truth.to(22));
    for peers in [[&liar, &late], [&late, &liar]] {
        let mut pocket = Pocket::new(name);
        pocket.follow(&over(&peers, 1)).expect("one is honest");
        assert_eq!(pocket.coins().len(), 1, "{}", pocket.log);
    }
}

#[test]
fn p2p_blocks_that_one_peer_alone_has_told_of_are_looked_at_again() {
    let name = "again";
    let script = |index| Pocket::new(name).script(index);
    let before = Story::empty(20).pay(&[script(0)]).mine(2);
    let truth = before.clone().pay(&[script(1)]);
    let liar = Scripted::honest(truth.clone().without(&script(1)));
    let late = Scripted::honest(before.clone());
    for order in [[&liar, &late], [&late, &liar]] {
        late.tell(before.clone());
        let mut pocket = Pocket::new(name);
        let source = over(&order, 1);
        pocket.follow(&source).expect("both serve");
        assert_eq!((pocket.coins().len(), pocket.tip().height), (1, 24));
        // Nothing new from either, which costs no time.
        let begun = std::time::Instant::now();
        pocket.follow(&source).expect("both serve");
        assert!(begun.elapsed() < crate::setup::SHORT / 2);
        assert_eq!((pocket.coins().len(), pocket.tip().height), (1, 24));
        late.tell(truth.clone());
        pocket.follow(&source).expect("both serve");
        assert_eq!(pocket.coins().len(), 2, "{}", pocket.log);
        assert_eq!(pocket.scanned, Some(pocket.tip()));
    }
}

#[test]
fn p2p_chains_are_weighed_to_their_ends() {
    let truth = Story::empty(2_100);
    let liar = truth.to(1_999).pay(&[Pocket::new("ends").script(0)]);
    let (liar, honest) = (Scripted::honest(liar), Scripted::honest(truth));
    for peers in [[&liar, &honest], [&honest, &liar]] {
        let mut pocket = Pocket::new("ends");
        pocket.birthday = 1_990;
        let source = over(&peers, 1);
        for _ in 0..2 {
            pocket.follow(&source).expect("one is honest");
            assert_eq!(pocket.tip().height, 2_100, "{}", pocket.log);
            assert!(pocket.coins().is_empty());
        }
    }
}

#[test]
fn p2p_a_tie_is_nothing_against_either_peer() {
    let common = Story::empty(20);
    let first = Scripted::honest(common.clone().mine(1));
    let second = common.clone().pay(&[Pocket::new("tie").script(0)]);
    let second = Scripted::honest(second);
    for peers in [[&first, &second], [&second, &first]] {
        let mut pocket = Pocket::new("tie");
        let source = over(&peers, 1);
        pocket.follow(&source).expect("one is followed");
        let tip = pocket.tip();
        pocket.follow(&source).expect("one is followed");
        assert_eq!(pocket.tip(), tip, "and no other");
        // The other one has more work now, and is asked.
        let longer = common.clone().pay(&[Pocket::new("tie").script(0)]).mine(1);
        let is_first = pocket.coins().is_empty();
        let (story, other) = if is_first {
            (longer, &second)
        } else {
            (common.clone().mine(2), &first)
        };
        other.tell(story);
        pocket.follow(&source).expect("the longer is followed");
        assert_eq!(pocket.tip().height, 22);
        first.tell(common.clone().mine(1));
        second.tell(common.clone().pay(&[Pocket::new("tie").script(0)]));
    }
}
