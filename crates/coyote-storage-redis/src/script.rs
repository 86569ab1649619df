//! What runs inside Redis: each script is one step that nothing comes between.

use std::sync::LazyLock;

use redis::{FromRedisValue, RedisResult, Script, ToRedisArgs};

use crate::link::{Link, Question};

/// Answers the epoch, which begins if there is none.
pub(crate) static LEARN: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(include_str!("scripts/incarnation.lua"), include_str!("scripts/learn.lua")))
});

/// Marks a nonce as used.
pub(crate) static CONSUME: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(include_str!("scripts/incarnation.lua"), include_str!("scripts/consume.lua")))
});

/// Compares a value and replaces it.
pub(crate) static REPLACE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/replace.lua")));

/// Runs a script. It is one round trip, once the server knows the script.
pub(crate) async fn run<T: FromRedisValue>(
    script: &Script,
    keys: &[&str],
    arguments: &[impl ToRedisArgs],
    link: &Link,
) -> RedisResult<T> {
    let mut invocation = script.prepare_invoke();
    for key in keys {
        invocation.key(*key);
    }
    for argument in arguments {
        invocation.arg(argument);
    }
    link.ask(Question::Script(&invocation)).await
}
