extern crate std;

use core::sync::atomic::AtomicU64;
use std::vec::Vec;

use super::*;
use crate::testing::Host;

const FIRST: Result<Pushed, Closed> = Ok(Pushed { first: true });
const LATER: Result<Pushed, Closed> = Ok(Pushed { first: false });

fn links() -> [AtomicU64; 8] {
    [const { AtomicU64::new(u64::MAX) }; 8]
}

fn open() -> Queue<Host> {
    let queue = Queue::new();
    queue.open();
    queue
}

/// All that was taken, in order.
fn messages(taken: Taken, links: &[AtomicU64]) -> Vec<Message> {
    taken.in_order::<Host>(links).collect()
}

#[test]
fn a_queue_is_closed_until_it_is_opened() {
    let (queue, links) = (Queue::<Host>::new(), links());
    assert_eq!(queue.post(&links, 0), Err(Closed));
    assert_eq!(queue.call(0), Err(Closed));
    assert!(queue.is_empty() && !queue.is_waiting(0));
    let taken = queue.take();
    assert!(taken.is_empty() && taken.only_call().is_none() && messages(taken, &links).is_empty());
    assert_eq!(queue.call(0), Err(Closed), "taking has opened it");
    queue.open();
    assert_eq!(queue.call(0), FIRST);
    queue.open();
    assert!(queue.is_waiting(0), "opening an open queue has emptied it");
}

#[test]
fn the_queue_of_a_cpu_that_was_stopped_refuses() {
    let (queue, links) = (open(), links());
    assert_eq!((queue.post(&links, 0), queue.call(1)), (FIRST, Ok(Pushed { first: false })));
    let lost = queue.condemn().map(|lost| messages(lost, &links));
    assert_eq!(lost, Some([Message::Post(0), Message::Call(1)].into()), "the nodes come back");
    assert!(queue.is_closed() && !queue.is_waiting(1));
    assert!(queue.condemn().is_none());
    assert_eq!((queue.post(&links, 1), queue.call(2)), (Err(Closed), Err(Closed)));
    assert!(queue.take().is_empty());
}

#[test]
fn the_order_of_sending_is_kept() {
    let (queue, links) = (open(), links());
    let last = Queue::<Host>::CALLERS - 1;
    let sent = [
        Message::Call(last),
        Message::Post(7),
        Message::Post(0),
        Message::Call(3),
        Message::Call(5),
        Message::Post(2),
        Message::Call(0),
    ];
    for (index, message) in sent.into_iter().enumerate() {
        let pushed = match message {
            Message::Call(caller) => queue.call(caller),
            Message::Post(node) => queue.post(&links, node),
        };
        assert_eq!(pushed, if index == 0 { FIRST } else { LATER });
    }
    assert!(!queue.is_empty() && queue.is_waiting(3) && queue.is_waiting(last) && !queue.is_waiting(4));
    let taken = queue.take();
    assert!(queue.is_empty() && !queue.is_waiting(3) && taken.only_call().is_none());
    // Sent while the batch runs: for the next one.
    assert_eq!(queue.post(&links, 1), FIRST);
    assert_eq!(messages(taken, &links), sent);
    assert_eq!(messages(queue.take(), &links), [Message::Post(1)]);
    assert_eq!(messages(queue.take(), &links), []);
}

#[test]
fn a_node_may_be_sent_again_as_soon_as_it_was_handed_out() {
    let (queue, links) = (open(), links());
    assert_eq!((queue.post(&links, 0), queue.post(&links, 1)), (FIRST, LATER));
    let mut batch = queue.take().in_order::<Host>(&links);
    assert_eq!(batch.next(), Some(Message::Post(0)));
    assert_eq!(queue.post(&links, 0), FIRST);
    assert_eq!(batch.collect::<Vec<_>>(), [Message::Post(1)]);
    assert_eq!(messages(queue.take(), &links), [Message::Post(0)]);
}

#[test]
fn a_call_is_the_only_one_or_is_not() {
    let (queue, links) = (open(), links());
    assert_eq!(queue.take().only_call(), None);
    assert_eq!(queue.post(&links, 0), FIRST);
    assert_eq!(queue.take().only_call(), None);
    assert_eq!((queue.post(&links, 0), queue.call(1)), (FIRST, LATER));
    assert_eq!(queue.take().only_call(), None);
    assert_eq!((queue.call(1), queue.call(2)), (FIRST, LATER));
    assert_eq!(queue.take().only_call(), None);
    let last = Queue::<Host>::CALLERS - 1;
    assert_eq!((queue.call(0), queue.call(last)), (FIRST, LATER));
    assert_eq!(queue.take().only_call(), None);
    for caller in [0, last] {
        assert_eq!(queue.call(caller), FIRST);
        assert_eq!(queue.take().only_call(), Some(caller));
        assert!(queue.is_empty());
    }
    assert_eq!(Taken::NOTHING.only_call(), None);
}

#[test]
fn closing_returns_what_was_accepted() {
    let (queue, links) = (open(), links());
    assert_eq!((queue.call(1), queue.post(&links, 4)), (FIRST, LATER));
    let kept = queue.close();
    assert_eq!((queue.call(2), queue.post(&links, 5)), (Err(Closed), Err(Closed)));
    assert_eq!(messages(kept, &links), [Message::Call(1), Message::Post(4)]);
    assert!(queue.close().is_empty(), "closing twice");
    queue.open();
    assert_eq!(queue.post(&links, 4), FIRST);
}

#[test]
fn a_receiver_that_does_not_move_is_noticed_and_told_once_in_a_while() {
    let (queue, links) = (open(), links());
    assert!(!queue.is_stalled(1_000, 10, || 0), "stalled with nothing to take");
    assert_eq!(queue.post(&links, 0), FIRST);
    assert!(!queue.is_stalled(1_000, 10, || 1), "it has moved since the last look");
    assert!(!queue.is_stalled(1_009, 10, || unreachable!("asked too often")));
    assert!(queue.is_stalled(1_010, 10, || 1));
    assert!(!queue.is_stalled(1_019, 10, || unreachable!("told just now")));
    assert!(queue.is_stalled(1_020, 10, || 1));
    assert!(!queue.is_stalled(1_030, 10, || 2));
    // The time that the watch has room for wraps.
    let late = (1 << 48) + 1_035;
    assert!(!queue.is_stalled(late, 10, || 2));
    assert!(queue.is_stalled(late + 5, 10, || 2));
}

#[test]
fn what_moved_twice_has_moved() {
    let (queue, links) = (open(), links());
    assert_eq!(queue.post(&links, 0), FIRST);
    assert!(queue.is_stalled(1_000, 10, || 0), "nothing was ever run");
    assert!(!queue.is_stalled(1_020, 10, || 2), "it has moved since the last look");
}

#[test]
fn a_number_beyond_what_the_watch_keeps_leaves_the_time_alone() {
    let (queue, links) = (open(), links());
    assert_eq!(queue.post(&links, 0), FIRST);
    assert!(queue.is_stalled(16, 10, || 1 << 20));
    assert!(!queue.is_stalled(25, 10, || unreachable!("told just now")));
    assert!(queue.is_stalled(26, 10, || 1 << 20));
}

#[test]
fn a_batch_is_empty_when_nothing_is_left() {
    let (queue, links) = (open(), links());
    assert_eq!(queue.post(&links, 0), FIRST);
    assert!(!queue.take().is_empty());
    assert_eq!(queue.call(0), FIRST);
    let mut batch = queue.take().in_order::<Host>(&links);
    assert!(!batch.is_empty());
    assert_eq!(batch.next(), Some(Message::Call(0)));
    assert!(batch.is_empty());
}

#[test]
fn the_parts_of_the_word_do_not_overlap() {
    let (queue, callers) = (open(), Queue::<Host>::CALLERS);
    let links: Vec<AtomicU64> = (0..Queue::<Host>::NODES).map(|_| AtomicU64::new(0)).collect();
    let newest = Queue::<Host>::NODES - 1;
    for caller in 0..callers {
        assert_eq!(queue.call(caller).is_ok_and(|pushed| pushed.first), caller == 0);
    }
    assert_eq!(queue.post(&links, newest), LATER);
    let expected = (0..callers).map(Message::Call).chain([Message::Post(newest)]);
    assert!(queue.take().in_order::<Host>(&links).eq(expected));
}
