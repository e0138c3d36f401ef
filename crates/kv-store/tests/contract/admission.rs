//! Admission: every verdict and what it leaves in the log; batches keep their order and their members' troubles apart.

use crate::world::{World, entry, id, micros, now, occasion, permit, request};
use kv_authz::{
    Assignment, ClusterScope, EntryId, NamespaceScope, Unusable,
    action::{AddCluster, AssignUser},
    audit::{Detail, Event, Fact, Finish, Outcome},
};
use kv_store::{
    AuditFilter, Basis, Credential, NewCluster, PageRequest,
    admission::{Request, Verdict},
    testing::Backend,
};
use time::Duration;

kv_store::on_both!(
    each_verdict_leaves_what_it_should,
    a_reason_is_one_of_several_in_a_fixed_order,
    rights_that_moved_are_stale,
    reads_that_are_not_audited_leave_nothing_unless_refused,
    a_finished_request_is_written_whole_or_as_a_refusal,
    a_batch_keeps_its_order,
    no_text_fails_its_neighbours,
    a_key_seen_expired_stays_dead,
    the_instant_of_expiry_is_too_late,
    an_empty_batch_is_nothing,
);

fn read(world: &World, entry: EntryId) -> Option<kv_store::AuditRecord> {
    let page = world.store.read_audit(&AuditFilter::default(), PageRequest::new(200, None)).unwrap();
    page.items.into_iter().find(|record| record.id == entry)
}

fn each_verdict_leaves_what_it_should(backend: Backend) {
    let world = World::new(backend);
    let past = format!("{}", micros(now()) - 1_000_000);
    let user = |name: &str| {
        let user = world.user(name);
        (user, world.basis(world.key(user, "ci")), world.session(name))
    };
    let (_, alive, (_, alive_session)) = user("alive");
    let (disabled, disabled_key, (_, disabled_session)) = user("disabled");
    world.set("users", disabled, "disabled_at = 1");
    let (deleted, deleted_key, (_, deleted_session)) = user("deleted");
    world.set("users", deleted, "deleted_at = 1");
    let owner = world.user("ann");
    let revoked = world.key(owner, "revoked");
    let revoked_basis = world.basis(revoked);
    world.revoke(revoked);
    let expired = world.key_until(owner, "expired", Some(now() - Duration::SECOND));
    let (ended, ended_basis) = world.session("ann");
    world.set("sessions", ended, "ended_at = 1");
    let (late, late_basis) = world.session("ann");
    world.set("sessions", late, &format!("expires_at = {past}"));
    let unknown = |credential| Basis { credential, ..alive };

    let refused = |reason| Verdict::Refused(reason);
    let cases = [
        (alive, Verdict::Admitted),
        (alive_session, Verdict::Admitted),
        (unknown(Credential::Key(id())), refused(Unusable::Unknown)),
        (unknown(Credential::Session(id())), refused(Unusable::Unknown)),
        (revoked_basis, refused(Unusable::Revoked)),
        (world.basis(expired), refused(Unusable::Expired)),
        (late_basis, refused(Unusable::Expired)),
        (ended_basis, refused(Unusable::SessionEnded)),
        (disabled_key, refused(Unusable::OwnerDisabled)),
        (disabled_session, refused(Unusable::OwnerDisabled)),
        (deleted_key, refused(Unusable::OwnerDeleted)),
        (deleted_session, refused(Unusable::OwnerDeleted)),
        (Basis { user_version: alive.user_version + 1, ..alive }, Verdict::Stale),
        (Basis { user_version: alive.user_version - 1, ..alive }, Verdict::Stale),
        // The same versions, but of what another primary said; and what is refused is refused, whoever said what.
        (Basis { timeline: alive.timeline + 1, ..alive }, Verdict::Stale),
        (Basis { timeline: alive.timeline - 1, ..alive_session }, Verdict::Stale),
        (Basis { timeline: alive.timeline - 1, ..revoked_basis }, refused(Unusable::Revoked)),
    ];
    for together in [true, false] {
        let batch: Vec<Request> = cases.iter().map(|(basis, _)| request(Some(*basis))).collect();
        let decisions = if together {
            world.admit(&batch)
        } else {
            batch.iter().flat_map(|request| world.admit(std::slice::from_ref(request))).collect()
        };
        for ((basis, expected), (request, decision)) in cases.iter().zip(batch.iter().zip(decisions)) {
            assert_eq!(decision.verdict, *expected, "{basis:?}");
            let record = read(&world, request.entry.id);
            match expected {
                Verdict::Stale => assert!(record.is_none()),
                Verdict::Admitted => {
                    let record = record.unwrap();
                    assert_eq!((record.status_code, record.outcome, record.at), (None, Outcome::Unknown, decision.at));
                }
                Verdict::Refused(reason) => {
                    let record = record.unwrap();
                    assert_eq!((record.status_code, record.outcome), (Some(401), Outcome::Denied));
                    assert_eq!(record.detail.into_iter().collect::<Vec<_>>(), [("reason".into(), reason.to_string())]);
                    assert_eq!((record.user, record.at), ("ann".into(), decision.at));
                }
            }
        }
    }
}

fn a_reason_is_one_of_several_in_a_fixed_order(backend: Backend) {
    let world = World::new(backend);
    let ann = world.user("ann");
    let key = world.key(ann, "ci");
    let (session, session_basis) = world.session("ann");
    let stale = Basis { user_version: 99, ..world.basis(key) };
    let expect = |basis, reason| assert_eq!(world.verdict(basis), Verdict::Refused(reason));
    world.set("api_keys", key.id, "expires_at = 1");
    world.set("users", ann, "disabled_at = 1");
    expect(stale, Unusable::OwnerDisabled);
    world.set("users", ann, "deleted_at = 1");
    expect(stale, Unusable::OwnerDeleted);
    world.set("api_keys", key.id, "expired_seen_at = 1");
    expect(stale, Unusable::Expired);
    world.set("api_keys", key.id, "revoked_at = 1");
    expect(stale, Unusable::Revoked);
    expect(session_basis, Unusable::OwnerDeleted);
    world.set("sessions", session, "ended_at = 1");
    expect(session_basis, Unusable::SessionEnded);
}

fn rights_that_moved_are_stale(backend: Backend) {
    let world = World::new(backend);
    let ann = world.user("ann");
    let key = world.key(ann, "ci");
    let clusters = world.store.list_clusters().unwrap().version;
    let basis = Basis { clusters_version: Some(clusters), ..world.basis(key) };
    assert_eq!(world.verdict(basis), Verdict::Admitted);
    let cluster =
        NewCluster { id: id(), name: "one".into(), server: String::new(), sealed: vec![], impersonate: false };
    world.store.add_cluster(&permit::<AddCluster>(), None, &cluster, &occasion()).unwrap();
    assert_eq!(world.verdict(basis), Verdict::Stale);
    // It plays no part where none was looked at.
    assert_eq!(world.verdict(Basis { clusters_version: None, ..basis }), Verdict::Admitted);
    let basis = Basis { clusters_version: Some(clusters + 1), ..basis };
    assert_eq!(world.verdict(basis), Verdict::Admitted);
    let line = Assignment { cluster: ClusterScope::Every, namespaces: NamespaceScope::All };
    world.store.assign_user(&permit::<AssignUser>(), None, &world.read(ann), (id(), &line), &occasion()).unwrap();
    assert_eq!(world.verdict(basis), Verdict::Stale);
    assert_eq!(world.verdict(Basis { user_version: basis.user_version + 1, ..basis }), Verdict::Admitted);
    // A key and its uses move nothing.
    world.key(ann, "other");
    world.store.note_uses(&[(key.id, now(), None)]).unwrap();
    assert_eq!(world.verdict(world.basis(key)), Verdict::Admitted);
}

fn reads_that_are_not_audited_leave_nothing_unless_refused(backend: Backend) {
    let world = World::new(backend);
    world.user("ann");
    let (session, basis) = world.session("ann");
    let quiet = || Request { audited: false, ..request(Some(basis)) };
    let (seen, loud) = (quiet(), request(Some(basis)));
    let decisions = world.admit(&[seen.clone(), loud.clone()]);
    assert!(decisions.iter().all(|decision| decision.verdict == Verdict::Admitted));
    assert_eq!((world.entries(seen.entry.id), world.entries(loud.entry.id)), (0, 1));
    world.set("sessions", session, "ended_at = 1");
    let refused = quiet();
    assert_eq!(world.admit(std::slice::from_ref(&refused))[0].verdict, Verdict::Refused(Unusable::SessionEnded));
    assert_eq!(world.entries(refused.entry.id), 1);
}

fn a_finished_request_is_written_whole_or_as_a_refusal(backend: Backend) {
    let world = World::new(backend);
    let key = world.key(world.user("ann"), "ci");
    let basis = world.basis(key);
    let list = || Request {
        finish: Some(Finish::with_status(200).because(Detail::none().with(Fact::Route, "/keys"))),
        count: 7,
        ..request(Some(basis))
    };
    let (done, refused) = (list(), list());
    world.admit(std::slice::from_ref(&done));
    world.revoke(key);
    world.admit(std::slice::from_ref(&refused));
    let done = read(&world, done.entry.id).unwrap();
    assert_eq!((done.status_code, done.outcome, done.count), (Some(200), Outcome::Succeeded, 7));
    assert_eq!(done.detail["route"], "/keys");
    let refused = read(&world, refused.entry.id).unwrap();
    assert_eq!((refused.status_code, refused.outcome, refused.count), (Some(401), Outcome::Denied, 7));
    assert_eq!(refused.detail.keys().collect::<Vec<_>>(), ["reason"]);
    // What only reports needs no credential.
    let report = Request { entry: entry(Event::AuthRefuse), ..Request { basis: None, ..list() } };
    assert_eq!(world.admit(&[report])[0].verdict, Verdict::Admitted);
}

fn a_batch_keeps_its_order(backend: Backend) {
    let world = World::new(backend);
    let ann = world.user("ann");
    let (alive, dead) = (world.key(ann, "alive"), world.key(ann, "dead"));
    let (alive, dead_basis) = (world.basis(alive), world.basis(dead));
    world.revoke(dead);
    let (_, session) = world.session("ann");
    let kinds = [
        (Some(alive), Verdict::Admitted),
        (Some(dead_basis), Verdict::Refused(Unusable::Revoked)),
        (None, Verdict::Admitted),
        (Some(Basis { user_version: 0, ..alive }), Verdict::Stale),
        (Some(session), Verdict::Admitted),
        (Some(Basis { credential: Credential::Key(id()), ..alive }), Verdict::Refused(Unusable::Unknown)),
        (Some(dead_basis), Verdict::Refused(Unusable::Revoked)),
    ];
    // Not a simple alternation: what is next to what changes through the batch.
    let pick = |n: usize| &kinds[(n * n + n / 3) % kinds.len()];
    let mut batch: Vec<Request> = (0..200).map(|n| request(pick(n).0)).collect();
    // Nor do ids rise with the position.
    let ids: Vec<EntryId> = batch.iter().map(|request| request.entry.id).collect();
    batch.iter_mut().zip(ids.into_iter().rev()).for_each(|(request, id)| request.entry.id = id);
    let decisions = world.admit(&batch);
    assert_eq!(decisions.len(), 200);
    let mut written = 0;
    for (n, (request, decision)) in batch.iter().zip(&decisions).enumerate() {
        assert_eq!(decision.verdict, pick(n).1, "{n}");
        assert_eq!(world.entries(request.entry.id), i64::from(decision.verdict != Verdict::Stale), "{n}");
        written += i64::from(decision.verdict != Verdict::Stale);
    }
    assert_eq!(world.database.count("audit_entries", "action = 'kubernetes.get'"), written);
}

fn no_text_fails_its_neighbours(backend: Backend) {
    let world = World::new(backend);
    let texts = [
        "plain",
        "nul \0",
        "\0",
        "🦀🚀𝔘",
        "\u{fffd}\u{ffff}",
        "é\u{301}\u{200d}",
        "'; DROP TABLE users; --",
        "\"\\u0000\\",
        "{1,NULL,\"a\"}",
        "NULL",
        "",
        "line\nbreak\r\ttab",
        "\u{1b}[31m",
        "\u{202e}rtl",
    ];
    let batch: Vec<Request> = texts
        .iter()
        .map(|text| {
            let mut entry = entry(Event::KubernetesGet);
            let named = Some(text.to_string());
            (entry.actor.user, entry.actor.agent) = (text.to_string(), text.to_string());
            (entry.target.resource, entry.target.name) = (text.to_string(), named.clone());
            (entry.target.cluster, entry.target.namespace) = (named.clone(), named);
            (entry.origin.user_agent, entry.origin.request_id) = (text.to_string(), text.to_string());
            entry.detail.add(Fact::Route, *text);
            Request { entry, finish: Some(Finish::with_status(200)), ..request(None) }
        })
        .collect();
    world.admit(&batch);
    for (request, text) in batch.iter().zip(texts) {
        let record = read(&world, request.entry.id).unwrap();
        let kept = text.replace('\0', "\u{fffd}");
        assert_eq!([&record.user, &record.agent, &record.resource, &record.user_agent], [&kept; 4]);
        assert_eq!(
            [record.resource_name, record.cluster, record.namespace],
            [const { None::<String> }; 3].map(|_| Some(kept.clone()))
        );
        if !text.contains("\\u0000") {
            assert_eq!(record.detail["route"], kept);
        }
    }
    let ends: Vec<_> = batch
        .iter()
        .map(|request| kv_store::admission::EntryEnd {
            entry: request.entry.id,
            entry_at: now(),
            finish: Finish::with_status(200).because(request.entry.detail.clone()),
        })
        .collect();
    world.store.end_entries(&ends, now()).unwrap();
}

fn a_key_seen_expired_stays_dead(backend: Backend) {
    let world = World::new(backend);
    let ann = world.user("ann");
    let end = now() - Duration::SECOND;
    let (key, unseen) = (world.key_until(ann, "seen", Some(end)), world.key_until(ann, "unseen", Some(end)));
    let basis = world.basis(key);
    assert_eq!(world.verdict(basis), Verdict::Refused(Unusable::Expired));
    let seen = world.store.find_key(key.id).unwrap().unwrap();
    assert!(seen.expired_seen_at.unwrap() >= end);
    assert_eq!(seen.state(end - Duration::DAY, Duration::ZERO), kv_authz::KeyState::Expired);
    // Again and again: the first time stands.
    assert_eq!(world.verdict(basis), Verdict::Refused(Unusable::Expired));
    assert_eq!(world.store.find_key(key.id).unwrap().unwrap().expired_seen_at, seen.expired_seen_at);
    // The clock goes back, which on SQLite is this process's.
    if backend == Backend::Sqlite {
        let back = end - Duration::HOUR;
        assert_eq!(
            world.store.admit(&[request(Some(basis))], back).unwrap()[0].verdict,
            Verdict::Refused(Unusable::Expired)
        );
        let unseen = request(Some(world.basis(unseen)));
        assert_eq!(world.store.admit(&[unseen], back).unwrap()[0].verdict, Verdict::Admitted);
    }
    // Or the date moves, or goes.
    for later in [(micros(now()) + 3_600_000_000).to_string(), "NULL".into()] {
        world.set("api_keys", key.id, &format!("expires_at = {later}"));
        assert_eq!(world.verdict(basis), Verdict::Refused(Unusable::Expired));
    }
    world.set("api_keys", unseen.id, "expires_at = NULL");
    assert_eq!(world.verdict(world.basis(unseen)), Verdict::Admitted);
    // A session past its end marks no key.
    assert_eq!(world.database.count("api_keys", "expired_seen_at IS NOT NULL"), 1);
}

fn the_instant_of_expiry_is_too_late(backend: Backend) {
    let world = World::new(backend);
    let end = now() + Duration::milliseconds(400);
    let key = world.key_until(world.user("ann"), "ci", Some(end));
    let basis = world.basis(key);
    if backend == Backend::Sqlite {
        let verdict = |at| world.store.admit(&[request(Some(basis))], at).unwrap()[0].verdict;
        assert_eq!(verdict(end - Duration::MICROSECOND), Verdict::Admitted);
        assert_eq!(verdict(end), Verdict::Refused(Unusable::Expired));
        return;
    }
    // PostgreSQL goes by its own clock, and says what it was.
    loop {
        let decision = world.admit(&[request(Some(basis))])[0];
        let expected = if decision.at < end { Verdict::Admitted } else { Verdict::Refused(Unusable::Expired) };
        assert_eq!(decision.verdict, expected);
        if decision.at >= end {
            break;
        }
    }
}

fn an_empty_batch_is_nothing(backend: Backend) {
    let world = World::new(backend);
    assert!(world.admit(&[]).is_empty());
}
