//! Sessions: begun for the user whose password was checked, ended for good.

use crate::world::{World, entry, id, now, occasion, permit};
use kv_authz::{SessionId, Unusable, action::EndSession, audit::Event};
use kv_store::{ActError, NewSession, admission::Verdict, testing::Backend};
use time::Duration;

kv_store::on_both!(a_session_stands_for_its_user, a_changed_user_does_not_begin_one, an_ended_session_stays_ended);

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
        let session = NewSession { id: id(), user: ann, user_version: version, expires_at: now() + Duration::HOUR };
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
    world.user("ann");
    let (session, basis) = world.session("ann");
    let (_, other) = world.session("ann");
    let end = |session: SessionId| world.store.end_session(&permit::<EndSession>(), &basis, session, &occasion());
    end(session).unwrap();
    assert_eq!(world.verdict(basis), Verdict::Refused(Unusable::SessionEnded));
    assert!(matches!(end(session), Err(ActError::Unusable(Unusable::SessionEnded))));
    assert_eq!(world.verdict(other), Verdict::Admitted);
    assert_eq!(world.database.count("audit_entries", "action = 'auth.logout'"), 1);
}
