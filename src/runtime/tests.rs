use std::time::Duration;

use super::channel::{Nothing, channel};
use super::sync::{Condvar, Mutex};
use super::*;

#[test]
fn what_is_sent_arrives_in_order_and_the_end_is_told() {
    let (sender, receiver) = channel();
    assert_eq!(receiver.try_recv(), Err(Nothing::Yet));
    let thread = thread::spawn("sender", move || {
        (0..100).for_each(|number| sender.send(number).unwrap());
        let other = sender.clone();
        drop(sender);
        thread::sleep(Duration::from_millis(5));
        other.send(100).unwrap();
    })
    .unwrap();
    let received: Vec<i32> = std::iter::from_fn(|| receiver.recv()).collect();
    assert_eq!(received, (0..=100).collect::<Vec<_>>());
    assert_eq!(receiver.try_recv(), Err(Nothing::Ever));
    assert!(thread.join().is_ok());
}

#[test]
fn a_receiver_waits_no_longer_than_it_is_told() {
    let (sender, receiver) = channel::<u8>();
    let begun = now();
    assert_eq!(receiver.recv_timeout(Duration::from_millis(20)), Err(Nothing::Yet));
    assert!(since(begun) >= Duration::from_millis(20));
    drop(receiver);
    assert_eq!(sender.send(7), Err(7));
}

#[test]
fn a_lock_outlives_a_panic_under_it() {
    let lock = std::sync::Arc::new(Mutex::new(1));
    let theirs = lock.clone();
    let thread = thread::spawn("panics", move || {
        let mut value = theirs.lock();
        *value = 2;
        std::panic::resume_unwind(Box::new("under the lock"));
    })
    .unwrap();
    assert!(thread.join().is_err());
    assert_eq!(*lock.lock(), 2);
    assert_eq!(lock.try_lock().as_deref(), Some(&2));
}

#[test]
fn who_waits_for_a_change_is_told_of_it() {
    let shared = std::sync::Arc::new((Mutex::new(false), Condvar::new()));
    let theirs = shared.clone();
    thread::spawn("changes", move || {
        *theirs.0.lock() = true;
        theirs.1.notify_all();
    })
    .unwrap();
    let (lock, changed) = &*shared;
    let mut is_set = lock.lock();
    while !*is_set {
        is_set = changed.wait(is_set);
    }
    assert!(lock.try_lock().is_none(), "the lock is held again");
    drop(is_set);
    let guard = changed.wait_timeout(lock.lock(), Duration::from_millis(1));
    assert!(*guard);
}

#[test]
fn a_thread_knows_its_name() {
    let thread = thread::spawn("by name", thread::name).unwrap();
    assert_eq!(thread.join().unwrap(), "by name");
}
