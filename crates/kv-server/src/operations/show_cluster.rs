//! Look at one cluster: what is known of it, and how it is at this moment.
//!
//! The cluster is asked for its version and for nothing else; not even that is asked for a credential that was revoked.

use super::list_clusters::known_cluster;
use crate::{
    caller::Caller,
    failure::Failure,
    upstreams::{Upstreams, failure as unanswered},
    view::View,
};
use kv_authz::audit::{Detail, Event, Finish, Target};
use kv_store::ClusterRecord;

/// How a cluster is.
#[derive(Debug)]
pub enum Health {
    /// It answers to its credentials.
    Healthy {
        /// The version of Kubernetes, as it says.
        version: String,
    },
    /// It does not.
    Unhealthy {
        /// The code that a request to it would be answered with.
        code: &'static str,
        /// Why, in a sentence.
        detail: String,
    },
}

/// Looks at a cluster.
///
/// # Errors
/// [`Failure`]: 404 for a cluster the caller may not know of.
pub async fn show_cluster(
    caller: &Caller,
    upstreams: &Upstreams,
    name: &str,
) -> Result<(ClusterRecord, Health), Failure> {
    let target = Target::of("clusters").named(name);
    let app = caller.app();
    let decide = async |view: &View| {
        let record = known_cluster(view, name, app.policy(), app.clock.now())?.clone();
        let connection = upstreams.connection(record.id, &view.clusters).await;
        Ok(((record, connection), Detail::none()))
    };
    let ((record, connection), begun) = caller.begin(true, Event::ClusterShow, target, decide).await?;
    let guard = caller.guard().clone();
    // In a task of its own: a client that hangs up does not keep the entry from its end.
    let task = actix_web::rt::spawn(async move {
        let asked = async { Ok(Health::Healthy { version: connection?.version().await.map_err(unanswered)? }) };
        let result = match guard.unless_revoked(asked).await {
            Ok(asked) => asked.or_else(unhealthy),
            Err(why) => Err(why.into()),
        };
        begun.end(match &result {
            Ok(_) => Finish::with_status(200),
            Err(failure) => failure.finish(),
        });
        result
    });
    let health = task.await.map_err(|error| Failure::internal("asking a cluster how it is", error))??;
    Ok((record, health))
}

/// What is wrong with the cluster is the answer; what is wrong here is a failure.
fn unhealthy(failure: Failure) -> Result<Health, Failure> {
    match failure {
        Failure::Upstream { code, detail, .. } => Ok(Health::Unhealthy { code, detail }),
        other => Err(other),
    }
}
