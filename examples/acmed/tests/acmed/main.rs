//! acmed as its users meet it: a program with flags, files, signals and exit statuses.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

mod config;
mod dev;
mod dns_persist;
mod eab;
mod init;
mod sealing;
mod serve;
