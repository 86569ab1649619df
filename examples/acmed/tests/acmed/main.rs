//! acmed as its users meet it: a program with flags, files, signals and exit statuses.

mod support;

mod config;
mod dev;
mod init;
mod serve;
