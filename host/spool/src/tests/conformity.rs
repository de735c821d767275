//! Both implementations pass the suite.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::rolling_at;
use crate::{MemorySpool, Spool, SqliteSpool, conformance};

#[tokio::test]
async fn the_spool_in_memory_conforms() {
    conformance::suite(&|| Arc::new(MemorySpool::new()) as Arc<dyn Spool>).await;
}

#[tokio::test]
async fn the_embedded_spool_conforms() {
    let directory = tempfile::tempdir().unwrap();
    let next = AtomicU32::new(0);
    let factory = || {
        let state = directory.path().join(next.fetch_add(1, Ordering::Relaxed).to_string());
        Arc::new(SqliteSpool::open(&state).unwrap()) as Arc<dyn Spool>
    };
    conformance::suite(&factory).await;
}

#[tokio::test]
async fn the_embedded_spool_conforms_with_a_segment_for_each_message() {
    let directory = tempfile::tempdir().unwrap();
    let next = AtomicU32::new(0);
    let factory = || {
        let state = directory.path().join(next.fetch_add(1, Ordering::Relaxed).to_string());
        Arc::new(SqliteSpool::open_with(&state, rolling_at(1)).unwrap()) as Arc<dyn Spool>
    };
    conformance::suite(&factory).await;
}
