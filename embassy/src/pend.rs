//! What embassy's executors call: when one has something to poll, and, by its tracing hooks, when tasks come and go.

use crate::interrupt;
use crate::kind::Kind;
use crate::node::{LOCAL, Node};
use core::sync::atomic::Ordering;

/// An executor whose queue was empty has something to poll. From any context.
#[unsafe(export_name = "__pender")]
fn pender(context: *mut ()) {
    match Node::of_local_context(context) {
        Some(node) => node.tell(LOCAL),
        None => pend_other(context),
    }
}

/// Apart, so that what is called most saves no registers.
#[inline(never)]
fn pend_other(context: *mut ()) {
    let Some((node, kind)) = Node::of_context(context) else {
        panic!("an executor that reveille-embassy has not made: {context:?}")
    };
    match kind {
        Kind::Local => node.tell(LOCAL),
        Kind::Movable => {
            if let Some(host) = node.host() {
                host.tell_of_guest(node.index());
            }
        }
        Kind::Interrupt => interrupt::pend(node),
    }
}

/// A task was spawned.
#[unsafe(no_mangle)]
fn _embassy_trace_task_new(executor: u32, _task: u32) {
    let Some((node, kind)) = Node::of_executor(executor) else { return };
    if kind.stays() {
        node.door.add();
    } else {
        // Relaxed, here and below: a number. A task that is being spawned is counted at the door besides, until it is.
        node.movables.fetch_add(1, Ordering::Relaxed);
    }
}

/// A task is over.
#[unsafe(no_mangle)]
fn _embassy_trace_task_end(executor: u32, _task: u32) {
    let Some((node, kind)) = Node::of_executor(executor) else { return };
    if kind.stays() {
        node.door.leave();
    } else {
        node.movables.fetch_sub(1, Ordering::Relaxed);
    }
}

#[unsafe(no_mangle)]
fn _embassy_trace_poll_start(_executor: u32) {}

#[unsafe(no_mangle)]
fn _embassy_trace_task_exec_begin(_executor: u32, _task: u32) {}

#[unsafe(no_mangle)]
fn _embassy_trace_task_exec_end(_executor: u32, _task: u32) {}

#[unsafe(no_mangle)]
fn _embassy_trace_task_ready_begin(_executor: u32, _task: u32) {}

#[unsafe(no_mangle)]
fn _embassy_trace_executor_idle(_executor: u32) {}
