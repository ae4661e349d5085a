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

#[test]
fn a_queue_is_closed_until_it_is_opened() {
    let (queue, links) = (Queue::<Host>::new(), links());
    assert_eq!(queue.post(&links, 0), Err(Closed));
    assert_eq!(queue.call(0), Err(Closed));
    assert!(queue.is_empty() && !queue.is_waiting(0));
    assert!(queue.take(&links).is_empty());
    assert_eq!(queue.take_call(), None);
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
    let lost: Vec<Message> = queue.condemn(&links).into_iter().flatten().collect();
    assert_eq!(lost, [Message::Post(0), Message::Call(1)], "the nodes come back");
    assert!(queue.is_closed() && !queue.is_waiting(1));
    assert!(queue.condemn(&links).is_none());
    assert_eq!((queue.post(&links, 1), queue.call(2)), (Err(Closed), Err(Closed)));
    assert!(queue.take(&links).is_empty());
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
    assert_eq!(queue.take_call(), None);
    let batch = queue.take(&links);
    assert!(queue.is_empty() && !queue.is_waiting(3));
    // Sent while the batch runs: for the next one.
    assert_eq!(queue.post(&links, 1), FIRST);
    assert_eq!(batch.collect::<Vec<_>>(), sent);
    assert_eq!(queue.take(&links).collect::<Vec<_>>(), [Message::Post(1)]);
    assert_eq!(queue.take(&links).next(), None);
    assert_eq!(queue.takes(), 2);
}

#[test]
fn a_node_may_be_sent_again_as_soon_as_it_was_handed_out() {
    let (queue, links) = (open(), links());
    assert_eq!((queue.post(&links, 0), queue.post(&links, 1)), (FIRST, LATER));
    let mut batch = queue.take(&links);
    assert_eq!(batch.next(), Some(Message::Post(0)));
    assert_eq!(queue.post(&links, 0), FIRST);
    assert_eq!(batch.collect::<Vec<_>>(), [Message::Post(1)]);
    assert_eq!(queue.take(&links).collect::<Vec<_>>(), [Message::Post(0)]);
}

#[test]
fn the_short_way_takes_one_call_and_nothing_else() {
    let (queue, links) = (open(), links());
    assert_eq!(queue.take_call(), None);
    assert_eq!(queue.post(&links, 0), FIRST);
    assert_eq!(queue.take_call(), None);
    assert_eq!(queue.call(1), LATER);
    assert_eq!(queue.take_call(), None);
    assert_eq!(queue.take(&links).count(), 2);
    for caller in [0, Queue::<Host>::CALLERS - 1] {
        assert_eq!(queue.call(caller), FIRST);
        assert_eq!(queue.take_call(), Some(caller));
        assert!(queue.is_empty());
    }
    assert_eq!(queue.takes(), 3);
}

#[test]
fn closing_returns_what_was_accepted() {
    let (queue, links) = (open(), links());
    assert_eq!((queue.call(1), queue.post(&links, 4)), (FIRST, LATER));
    let kept = queue.close(&links);
    assert_eq!((queue.call(2), queue.post(&links, 5)), (Err(Closed), Err(Closed)));
    assert_eq!(kept.collect::<Vec<_>>(), [Message::Call(1), Message::Post(4)]);
    assert!(queue.close(&links).is_empty(), "closing twice");
    queue.open();
    assert_eq!(queue.post(&links, 4), FIRST);
}

#[test]
fn a_receiver_that_does_not_move_is_noticed_and_told_once_in_a_while() {
    let (queue, links) = (open(), links());
    assert!(!queue.is_stalled(1_000, 10), "stalled with nothing to take");
    assert_eq!(queue.post(&links, 0), FIRST);
    assert_eq!(queue.take(&links).count(), 1);
    assert_eq!(queue.post(&links, 0), FIRST);
    assert!(!queue.is_stalled(1_000, 10), "it has moved since the last look");
    assert!(!queue.is_stalled(1_009, 10));
    assert!(queue.is_stalled(1_010, 10));
    assert!(!queue.is_stalled(1_019, 10), "told just now");
    assert!(queue.is_stalled(1_020, 10));
    assert_eq!(queue.take(&links).count(), 1);
    assert_eq!(queue.post(&links, 0), FIRST);
    assert!(!queue.is_stalled(1_030, 10));
    // The time that the watch has room for wraps.
    let late = (1 << 48) + 1_035;
    assert!(!queue.is_stalled(late, 10));
    assert!(queue.is_stalled(late + 5, 10));
}

#[test]
fn what_moved_twice_has_moved() {
    let (queue, links) = (open(), links());
    assert_eq!(queue.post(&links, 0), FIRST);
    assert!(queue.is_stalled(1_000, 10), "nothing was ever taken");
    for _ in 0..2 {
        assert!(!queue.take(&links).is_empty());
        assert_eq!(queue.post(&links, 0), FIRST);
    }
    assert!(!queue.is_stalled(1_020, 10), "it has moved since the last look");
}

#[test]
fn a_counter_beyond_what_the_watch_keeps_leaves_the_time_alone() {
    let links = links();
    let queue = Queue::<Host>::from_parts(AtomicU64::new(0), AtomicU64::new(1 << 20), AtomicU64::new(0));
    assert_eq!(queue.post(&links, 0), FIRST);
    assert!(!queue.is_stalled(0, 10));
    assert!(queue.is_stalled(16, 10));
}

#[test]
fn a_batch_is_empty_when_nothing_is_left() {
    let (queue, links) = (open(), links());
    assert_eq!(queue.post(&links, 0), FIRST);
    assert!(!queue.take(&links).is_empty());
    assert_eq!(queue.call(0), FIRST);
    let mut batch = queue.take(&links);
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
    assert!(queue.take(&links).eq(expected));
}
