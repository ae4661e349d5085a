#![no_std]
//! Shared parts of the on-target tests.
