//! Sessions: begun for the user whose password was checked, ended for good.

use crate::world::{World, entry, id, now, occasion, permit};
use kv_authz::{
    SessionId, Unusable, UserId,
    action::{EndSession, EndUserSessions},
    audit::Event,
};
use kv_store::{ActError, NewSession, PageRequest, Renewal, Renewed, admission::Verdict, testing::Backend};
use std::thread;
use time::{Duration, OffsetDateTime};

kv_store::on_both!(
    a_session_stands_for_its_user,
    a_changed_user_does_not_begin_one,
    an_ended_session_stays_ended,
    a_session_is_renewed_by_each_token_once,
    a_renewal_deletes_the_tokens_that_are_over,
    a_renewal_takes_no_time_back,
    attack_174_a_token_used_twice_ends_its_session,
    two_tabs_renew_at_once,
    sessions_are_listed_while_they_go_on,
    who_is_gone_renews_nothing,
);

fn a_session_stands_for_its_user(backend: Backend) {
    let world = World::new(backend);
    let ann = world.user("ann");
    let (session, basis) = world.session("ann");
    let authority = world.store.session_authority(session).unwrap().unwrap();
    assert_eq!((authority.id, authority.owner.id, &*authority.owner.name), (session, ann, "ann"));
    assert_eq!(authority.user_version, basis.user_version);
    assert_eq!(world.verdict(basis), Verdict::Admitted);
    assert!(world.store.session_authority(id()).unwrap().is_none());
    assert_eq!(world.database.count("audit_entries", "action = 'auth.login' AND status_code = 200"), 1);
}

fn a_changed_user_does_not_begin_one(backend: Backend) {
    let world = World::new(backend);
    let ann = world.user("ann");
    let checked = world.store.sign_in("ann").unwrap().unwrap();
    let begin = |version| {
        let session = NewSession {
            id: id(),
            user: ann,
            user_version: version,
            expires_at: now() + Duration::HOUR,
            factor_shown_at: None,
            token: vec![1; 32],
        };
        world.store.begin_session(&session, &entry(Event::AuthLogin), now())
    };
    assert!(matches!(begin(checked.version + 1), Err(ActError::Stale)));
    world.disable(ann);
    assert!(matches!(begin(checked.version), Err(ActError::Stale)));
    let version = world.store.sign_in("ann").unwrap().unwrap().version;
    assert!(matches!(begin(version), Err(ActError::Unusable(Unusable::OwnerDisabled))));
    world.set("users", ann, "deleted_at = 1");
    assert!(matches!(begin(version), Err(ActError::Stale)));
    assert_eq!(world.database.count("sessions", "1 = 1"), 0);
    assert_eq!(world.database.count("audit_entries", "action = 'auth.login'"), 0);
}

fn an_ended_session_stays_ended(backend: Backend) {
    let world = World::new(backend);
    let ann = world.user("ann");
    let (session, basis) = world.session("ann");
    let (_, other) = world.session("ann");
    let end = |session: SessionId| {
        world.store.end_session(&permit::<EndSession>(), Some(&basis), (ann, session), &occasion())
    };
    end(session).unwrap();
    assert_eq!(world.verdict(basis), Verdict::Refused(Unusable::SessionEnded));
    assert!(matches!(end(session), Err(ActError::Unusable(Unusable::SessionEnded))));
    assert_eq!(world.verdict(other), Verdict::Admitted);
    assert_eq!(world.database.count("audit_entries", "action = 'auth.logout'"), 1);
}

/// A session of ann's whose refresh token has the digest 0.
fn renewable(world: &World) -> (UserId, SessionId) {
    let ann = world.user("ann");
    let version = world.store.sign_in("ann").unwrap().unwrap().version;
    let session = NewSession {
        id: id(),
        user: ann,
        user_version: version,
        expires_at: now() + Duration::HOUR,
        factor_shown_at: None,
        token: vec![0],
    };
    world.store.begin_session(&session, &entry(Event::AuthLogin), now()).unwrap();
    (ann, session.id)
}

fn renew(world: &World, sent: u8, next: u8, at: OffsetDateTime) -> Renewed {
    let renewal = Renewal { sent: vec![sent], next: vec![next], expires_at: at + Duration::hours(12) };
    world.store.renew_session(&renewal, &entry(Event::AuthRefresh), at).unwrap()
}

fn a_session_is_renewed_by_each_token_once(backend: Backend) {
    let world = World::new(backend);
    let (ann, session) = renewable(&world);
    let renewed = Renewed::Renewed { id: session, user: ann };
    let mut at = now();
    for step in 0..5 {
        assert_eq!(renew(&world, step, step + 1, at), renewed);
        at += Duration::minutes(30);
    }
    let unknown = Renewed::Refused { owner: None, reason: Unusable::Unknown };
    assert_eq!(renew(&world, 99, 100, at), unknown);
    // Twelve hours after the last renewal it is over.
    let over = at - Duration::minutes(30) + Duration::hours(12);
    let owner = Some((ann, "ann".to_owned()));
    assert_eq!(renew(&world, 5, 6, over), Renewed::Refused { owner, reason: Unusable::Expired });
    assert_eq!(world.database.count("audit_entries", "action = 'auth.refresh' AND status_code = 200"), 5);
}

fn a_renewal_deletes_the_tokens_that_are_over(backend: Backend) {
    let world = World::new(backend);
    let (ann, _) = renewable(&world);
    let found = |digest: u8| world.store.refresh_owner(&[digest]).unwrap().map(|owner| owner.id);
    assert_eq!((found(0), found(99)), (Some(ann), None));
    let mut at = now();
    for step in 0..5 {
        renew(&world, step, step + 1, at);
        at += Duration::hours(8);
    }
    // Each was good for twelve hours, the first for one: used or not, those that are over are gone.
    assert_eq!(world.database.count("refresh_tokens", "1 = 1"), 2);
    assert_eq!((found(3), found(5)), (None, Some(ann)));
}

fn a_renewal_takes_no_time_back(backend: Backend) {
    let world = World::new(backend);
    renewable(&world);
    let start = now();
    renew(&world, 0, 1, start + Duration::minutes(1));
    // It came first, and is written second.
    let renewed = renew(&world, 0, 2, start);
    assert!(matches!(renewed, Renewed::Renewed { .. }), "{renewed:?}");
    let ends = (start + Duration::minutes(1) + Duration::hours(12)).unix_timestamp_nanos() / 1_000;
    assert_eq!(world.database.count("sessions", &format!("expires_at = {ends}")), 1);
}

fn attack_174_a_token_used_twice_ends_its_session(backend: Backend) {
    let world = World::new(backend);
    let (ann, session) = renewable(&world);
    let start = now();
    renew(&world, 0, 1, start);
    renew(&world, 1, 2, start + Duration::minutes(1));
    let reused = renew(&world, 0, 3, start + Duration::seconds(11));
    assert_eq!(reused, Renewed::Reused { id: session, owner: (ann, "ann".into()) });
    let owner = Some((ann, "ann".to_owned()));
    for token in [1, 2, 3] {
        let refused = renew(&world, token, 9, start + Duration::minutes(2));
        assert!(matches!(refused, Renewed::Refused { .. }), "{token}: {refused:?}");
    }
    assert_eq!(renew(&world, 2, 9, start), Renewed::Refused { owner, reason: Unusable::SessionEnded });
    assert_eq!(world.database.count("audit_entries", "action = 'auth.refresh' AND status_code = 401"), 1);
}

fn two_tabs_renew_at_once(backend: Backend) {
    let world = World::new(backend);
    let (ann, session) = renewable(&world);
    let start = now();
    let renewed: Vec<Renewed> = thread::scope(|scope| {
        let world = &world;
        let tabs: Vec<_> = (1..=8).map(|tab| scope.spawn(move || renew(world, 0, tab, start))).collect();
        tabs.into_iter().map(|tab| tab.join().unwrap()).collect()
    });
    assert!(renewed.iter().all(|tab| *tab == Renewed::Renewed { id: session, user: ann }), "{renewed:?}");
    // Each tab goes on by itself, whatever the others do.
    for tab in 1..=8 {
        assert!(matches!(renew(&world, tab, tab + 100, start + Duration::minutes(20)), Renewed::Renewed { .. }));
    }
}

fn sessions_are_listed_while_they_go_on(backend: Backend) {
    let world = World::new(backend);
    let ann = world.user("ann");
    world.user("bob");
    let of_ann: Vec<SessionId> = (0..3).map(|_| world.session("ann").0).collect();
    world.session("bob");
    let listed = || -> Vec<SessionId> {
        let page = world.store.list_sessions(ann, PageRequest::default(), now()).unwrap();
        page.items.iter().map(|session| session.id).collect()
    };
    assert_eq!(listed(), of_ann.iter().rev().copied().collect::<Vec<_>>());
    world.set("sessions", of_ann[0], "expires_at = 1");
    assert_eq!(listed(), [of_ann[2], of_ann[1]]);
    let find = |user, session| world.store.find_session(user, session, now()).unwrap().map(|found| found.id);
    assert_eq!((find(ann, of_ann[1]), find(ann, of_ann[0]), find(id(), of_ann[1])), (Some(of_ann[1]), None, None));
    let end = |but| world.store.end_sessions(&permit::<EndUserSessions>(), None, (ann, but), &occasion()).unwrap();
    assert_eq!((end(Some(of_ann[1])), listed()), (1, vec![of_ann[1]]), "what was over by itself is not counted");
    assert_eq!(
        world.database.count("sessions", "ended_at IS NULL"),
        2,
        "but ended, beside bob's and the one that acts"
    );
    assert_eq!((end(None), listed()), (1, vec![]));
    assert_eq!(find(ann, of_ann[1]), None);
    let since = now() - Duration::DAY;
    assert!(world.store.has_signed_in_from(ann, "192.0.2.7", since).unwrap());
    assert!(!world.store.has_signed_in_from(ann, "192.0.2.8", since).unwrap());
    assert_eq!(world.store.purge_sessions(now() - Duration::DAY, 10).unwrap(), 1);
}

fn who_is_gone_renews_nothing(backend: Backend) {
    let world = World::new(backend);
    let (ann, _) = renewable(&world);
    let owner = Some((ann, "ann".to_owned()));
    world.set("users", ann, "disabled_at = 1");
    assert_eq!(renew(&world, 0, 1, now()), Renewed::Refused { owner: owner.clone(), reason: Unusable::OwnerDisabled });
    world.set("users", ann, "deleted_at = 1");
    assert_eq!(renew(&world, 0, 1, now()), Renewed::Refused { owner, reason: Unusable::OwnerDeleted });
}
