//! Who is cut, who waits for whom, and what the lease has to do with it. Nothing is asked of a database.

use super::*;
use crate::{admission::Guard, clock::Clock};
use futures_util::FutureExt;
use kv_authz::{KeyId, Unusable};
use std::time::Duration;

const REVOKED: Interruption = Interruption::Refused(Unusable::Revoked);

fn key(n: u8) -> Credential {
    Credential::Key(KeyId::from_parts(1, [n; 10]))
}

fn user(n: u8) -> UserId {
    UserId::from_parts(1, [n; 10])
}

#[tokio::test]
async fn a_cut_waits_for_the_requests_of_its_credential_alone() {
    let registry = InFlight::new(Lease::unlimited(Clock::system()));
    let (mine, other) = (registry.enter(key(1), user(1)), registry.enter(key(2), user(1)));
    let cut = tokio::spawn({
        let registry = registry.clone();
        async move { registry.mark(REVOKED, |candidate, _| candidate == key(1)).let_go().await }
    });
    mine.revoked().await;
    assert!(!cut.is_finished());
    assert!(other.interruption().is_none());
    drop(mine);
    cut.await.unwrap();
    assert!(registry.enter(key(1), user(1)).interruption().is_none(), "a later request has a slot of its own");
}

#[tokio::test]
async fn streams_of_a_cut_credential_wait_for_each_others_clients() {
    let registry = InFlight::new(Lease::unlimited(Clock::system()));
    let [first, second, other] = [1, 1, 2].map(|n| registry.enter(key(n), user(1)));
    let [client, last, kept] = [&first, &second, &other].map(Guard::client);
    drop(client);
    assert!(
        first.clients_gone().now_or_never().is_some(),
        "the credential goes on, and what ends alone waits for nobody"
    );
    let _cut = registry.mark(REVOKED, |candidate, _| candidate == key(1));
    let mut gone = std::pin::pin!(first.clients_gone());
    assert!(gone.as_mut().now_or_never().is_none());
    drop(last);
    gone.await;
    drop(kept);
}

#[tokio::test]
async fn attack_138_what_may_no_longer_be_done_ends_and_the_rest_goes_on() {
    let registry = InFlight::new(Lease::unlimited(Clock::system()));
    let reaching = |namespace: &str| Reaching {
        target: KubernetesTarget {
            cluster: kv_authz::ClusterId::from_parts(1, [4; 10]),
            cluster_name: "prod".into(),
            namespace: Some(namespace.into()),
            plural: "pods".into(),
            group: String::new(),
            namespaced: true,
            name: None,
            subresource: None,
            verb: kv_authz::kubernetes::KubernetesVerb::List,
        },
        reach: Reach::AsAsked,
        reveals: false,
        named_as: None,
    };
    let (lost, kept, idle) =
        (registry.enter(key(1), user(1)), registry.enter(key(1), user(1)), registry.enter(key(1), user(1)));
    lost.reaches(reaching("a"));
    kept.reaches(reaching("b"));
    assert_eq!(registry.reaching_users(), [user(1)]);
    let cut = tokio::spawn({
        let registry = registry.clone();
        async move {
            let lost = |_, what: &Reaching| what.target.namespace.as_deref() == Some("a");
            registry.mark_reaching(REVOKED, lost).let_go().await
        }
    });
    lost.revoked().await;
    assert!(!cut.is_finished() && kept.interruption().is_none() && idle.interruption().is_none());
    drop(lost);
    cut.await.unwrap();
    drop(kept);
    assert_eq!(registry.reaching_users(), []);
}

#[tokio::test]
async fn a_cut_of_a_user_ends_all_their_credentials() {
    let registry = InFlight::new(Lease::unlimited(Clock::system()));
    let guards = [registry.enter(key(1), user(1)), registry.enter(key(2), user(1)), registry.enter(key(3), user(2))];
    let cut = tokio::spawn({
        let registry = registry.clone();
        async move { registry.mark(REVOKED, |_, owner| owner == user(1)).let_go().await }
    });
    guards[0].revoked().await;
    guards[1].revoked().await;
    assert!(guards[2].interruption().is_none());
    drop(guards);
    cut.await.unwrap();
    assert_eq!(registry.credentials(), 0, "nothing is kept for requests that are over");
}

#[tokio::test]
async fn what_began_under_a_lease_ends_with_it_and_does_not_count_as_revoked() {
    let now = Arc::new(Mutex::new(Duration::from_secs(10)));
    let clock = now.clone();
    let lease = Lease::new(Clock::system().booted(move || *clock.lock()));
    lease.renew(Duration::from_secs(10));
    let registry = InFlight::new(lease.clone());
    let guard = registry.enter(key(1), user(1));
    assert_eq!(guard.interruption(), None);
    *now.lock() += Duration::from_secs(2);
    assert_eq!(guard.interruption(), Some(Interruption::Unconfirmed));
    let sent = guard.unless_revoked(async { panic!("nothing is sent without a lease") }).await;
    assert_eq!(sent, Err::<(), _>(Interruption::Unconfirmed));
    // Who waits is woken, and who is exempt from its own revocation is not from this.
    guard.exempt(key(1));
    lease.renew(Duration::from_secs(12));
    assert_eq!(guard.interruption(), Some(Interruption::Unconfirmed), "what was revoked in the gap is not known");
    assert_eq!(registry.enter(key(1), user(1)).interruption(), None);
}

#[tokio::test]
async fn who_ends_sessions_with_a_key_is_cut_with_that_key() {
    let registry = InFlight::new(Lease::unlimited(Clock::system()));
    let (acting, other) = (registry.enter(key(1), user(1)), registry.enter(key(2), user(1)));
    let sessions = |credential| matches!(credential, Credential::Session(_));
    acting.exempt_those_of(user(1), sessions);
    // An act that ends keys may answer with its own, if it is the user's.
    other.exempt_those_of(user(2), |_| true);
    let marked = registry.mark(REVOKED, |_, owner| owner == user(1));
    assert_eq!((acting.interruption(), other.interruption()), (Some(REVOKED), Some(REVOKED)));
    other.exempt_those_of(user(1), |credential| !sessions(credential));
    assert_eq!(other.interruption(), None);
    drop(acting);
    marked.let_go().await;
}

#[tokio::test]
async fn a_session_lasts_as_long_as_the_latest_word_says() {
    let registry = InFlight::new(Lease::unlimited(Clock::system()));
    let id = SessionId::from_parts(1, [1; 10]);
    let at = |second| OffsetDateTime::from_unix_timestamp(second).unwrap();
    let guard = registry.enter(Credential::Session(id), user(1));
    let _other = registry.enter(key(1), user(1));
    assert_eq!(registry.sessions_past(at(9_000)), [], "nobody has said when");
    guard.lasts_until(at(100));
    assert_eq!((registry.sessions_past(at(99)), registry.sessions_past(at(100))), (vec![], vec![id]));
    registry.session_lasts(id, at(200));
    // A request that read it before the renewal.
    guard.lasts_until(at(100));
    assert_eq!((registry.sessions_past(at(199)), registry.sessions_past(at(200))), (vec![], vec![id]));
    assert_eq!(guard.interruption(), None, "it may have been renewed");
}
