//! Make or take away a cluster's webhook token. It is shown once; its digest alone is kept.

use crate::{
    auth::opaque::{Kind, Opaque},
    failure::Failure,
    operations::Acting,
};
use kv_authz::{action::ChangeCluster, audit::Target};
use secrecy::SecretString;

/// Makes a token, in the place of the one before.
///
/// # Errors
/// [`Failure`]: 403 without `clusters:write`, 404 for a cluster there is not or that the caller may not know of.
pub async fn make_webhook_token(acting: &Acting<'_>, name: &str) -> Result<SecretString, Failure> {
    let token = Opaque::draw(Kind::Webhook, &acting.app.random)?;
    set(acting, name, Some(token.digest)).await?;
    Ok(token.text)
}

/// Takes it away; where there is none, nothing is missing.
///
/// # Errors
/// As [`make_webhook_token`].
pub async fn remove_webhook_token(acting: &Acting<'_>, name: &str) -> Result<(), Failure> {
    set(acting, name, None).await
}

async fn set(acting: &Acting<'_>, name: &str, digest: Option<Vec<u8>>) -> Result<(), Failure> {
    let app = acting.app;
    let permit = acting.authorize::<ChangeCluster>(Target::of("clusters").named(name))?;
    let cluster = acting.find_cluster(name).await?.id;
    let (basis, occasion) = (acting.basis, acting.occasion.clone());
    app.with_store(move |store| {
        store.set_webhook_token(&permit, basis.as_ref(), cluster, digest.as_deref(), &occasion)
    })
    .await?;
    app.refresh_clusters().await;
    // A question that came with the one before is answered no more.
    acting.settle().await;
    Ok(())
}
