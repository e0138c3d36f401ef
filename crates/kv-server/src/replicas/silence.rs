//! Connections that will never say anything again, though nobody has closed them: a host between here and the database has
//! forgotten them and still takes what is sent, or the old primary's stands still. What waits for their answers waits for good,
//! and cannot be called back.
//!
//! Nothing is ended here. By then the lease has run out, and everybody is answered 503.

use crate::app::App;
use kv_store::{Store, StoreError};
use std::{sync::Arc, thread, time::Duration};
use time::OffsetDateTime;
use tokio::sync::oneshot;
use uuid::Uuid;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// After so long a call is not slow: the database ends statements after five seconds.
const SILENT: Duration = Duration::from_secs(6);
/// How long a new connection may take to bring a commit about.
const WELL: Duration = Duration::from_secs(2);

/// Resolves when the keeper of the lease waits in vain, while the database ends a commit of the same kind over a new connection.
pub async fn silence(app: &Arc<App>) {
    let mut trying: Option<oneshot::Receiver<()>> = None;
    loop {
        tokio::time::sleep(LOOK).await;
        let asking = *app.replicas.asking.lock();
        let silent = asking.is_some_and(|since| app.clock.since_boot().saturating_sub(since) >= SILENT);
        if !silent || app.in_flight.lease().holds() {
            continue;
        }
        // One at a time: this one may wait in vain as well.
        let mut told = match trying.take() {
            Some(told) => told,
            None => match attempt(app) {
                Some(told) => told,
                None => continue,
            },
        };
        match tokio::time::timeout(WELL, &mut told).await {
            Ok(Ok(())) => return,
            // It could not be done.
            Ok(Err(_)) => {}
            Err(_) => trying = Some(told),
        }
    }
}

/// Joins over a new connection, as somebody who serves nobody, and leaves. Nothing is told where that cannot be done.
fn attempt(app: &Arc<App>) -> Option<oneshot::Receiver<()>> {
    let now = app.clock.now();
    let (id, store) = (app.random.id(now).ok()?, app.store.clone());
    let (tell, told) = oneshot::channel();
    let tries = move || match try_it(&store, id, now) {
        Ok(()) => drop(tell.send(())),
        Err(error) => tracing::debug!(%error, "a new connection is of no use either"),
    };
    thread::Builder::new().name("new connection".into()).spawn(tries).ok()?;
    Some(told)
}

fn try_it(store: &Store, id: Uuid, now: OffsetDateTime) -> Result<(), StoreError> {
    let mut connection = store.connect_lease(id, false)?;
    connection.join(now)?;
    connection.leave()
}
