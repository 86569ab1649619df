use std::sync::Arc;

use tokio::sync::Barrier;

/// How often a race is run: what goes wrong once in a hundred times is to be seen most of the time.
pub(super) const ROUNDS: usize = 50;

/// How many take part in it.
pub(super) const CONTENDERS: usize = 8;

/// Starts all contenders at the same moment, each as a task, and answers what became of them, in their order.
pub(super) async fn race<F>(contenders: impl IntoIterator<Item = F>) -> Vec<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    let contenders: Vec<F> = contenders.into_iter().collect();
    let start = Arc::new(Barrier::new(contenders.len()));
    let run = |contender: F| {
        let start = start.clone();
        tokio::spawn(async move {
            start.wait().await;
            contender.await
        })
    };
    let tasks: Vec<_> = contenders.into_iter().map(run).collect();
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.expect("a contender panicked"));
    }
    results
}
