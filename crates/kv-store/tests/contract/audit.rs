//! The audit log: each filter, pages, ends of entries, the days of PostgreSQL.

use crate::world::{World, entry, id, now, request};
use kv_authz::{
    EntryId, KeyId,
    audit::{Detail, Entry, Event, Fact, Finish, Outcome, Target},
    principal::Actor,
};
use kv_store::{
    AuditFilter, AuditRecord, PageRequest,
    admission::{EntryEnd, Request},
    testing::Backend,
};
use time::Duration;

kv_store::on_both!(
    an_entry_is_read_back_whole,
    each_filter_selects_its_entries,
    attack_224_an_entry_ends_once,
    an_entry_that_came_finished_keeps_its_outcome,
    entries_are_paged,
    damaged_rows_are_told,
    the_days_of_the_log_are_made_ahead,
);

fn read(world: &World, filter: AuditFilter) -> Vec<AuditRecord> {
    world.store.read_audit(&filter, PageRequest::new(200, None)).unwrap().items
}

fn finished(status: u16) -> Request {
    Request { finish: Some(Finish::with_status(status)), ..request(None) }
}

fn an_entry_is_read_back_whole(backend: Backend) {
    let world = World::new(backend);
    let ann = world.user("ann");
    let key: KeyId = id();
    let entry = Entry {
        actor: Actor { user_id: Some(ann), user: "ann\0é".into(), agent: "ci 🚀".into(), key_id: Some(key) },
        target: Target {
            resource: "pods".into(),
            name: Some("web-0".into()),
            cluster: Some("prod".into()),
            namespace: Some("shop".into()),
        },
        detail: Detail::none().with(Fact::Route, "/a/{b}").with(Fact::Before, "\0 \\u0000 \"🚀\""),
        ..entry(Event::KubernetesDelete)
    };
    let request = Request { entry: entry.clone(), count: 3, ..finished(403) };
    let at = world.admit(&[request])[0].at;
    let read = read(&world, AuditFilter { key_id: Some(key), ..AuditFilter::default() }).remove(0);
    assert_eq!((read.id, read.at, read.user_id, read.key_id), (entry.id, at, Some(ann), Some(key)));
    assert_eq!((&*read.user, &*read.agent, &*read.action), ("ann\u{fffd}é", "ci 🚀", "kubernetes.delete"));
    let object = [read.resource_name, read.cluster, read.namespace].map(Option::unwrap);
    assert_eq!((&*read.resource, object), ("pods", ["web-0", "prod", "shop"].map(String::from)));
    assert_eq!((read.status_code, read.outcome, read.count), (Some(403), Outcome::Denied, 3));
    assert_eq!((read.ip.as_deref(), &*read.user_agent, &*read.request_id), (Some("192.0.2.7"), "curl/8", "req-1"));
    assert_eq!(read.detail["route"], "/a/{b}");
    assert!(read.detail["before"].ends_with("\"🚀\"") && !read.detail["before"].contains('\0'));
}

fn each_filter_selects_its_entries(backend: Backend) {
    let world = World::new(backend);
    let key: KeyId = id();
    let with = |change: &dyn Fn(&mut Entry), finish: Option<u16>| {
        let mut entry = entry(Event::KubernetesGet);
        change(&mut entry);
        Request { entry, finish: finish.map(Finish::with_status), ..request(None) }
    };
    let batch = [
        with(&|entry| entry.actor.user = "bob".into(), Some(200)),
        with(&|entry| entry.actor.agent = "ci".into(), Some(200)),
        with(&|entry| entry.actor.key_id = Some(key), Some(200)),
        with(&|entry| entry.event = Event::KubernetesPatch, Some(200)),
        with(&|entry| entry.target.resource = "secrets".into(), Some(200)),
        with(&|entry| entry.target.cluster = Some("prod".into()), Some(200)),
        with(&|entry| entry.target.namespace = Some("shop".into()), Some(200)),
        with(&|_| (), Some(403)),
        with(&|_| (), Some(500)),
        with(&|_| (), None),
        with(&|_| (), None),
        with(&|_| (), None),
    ];
    let at = world.admit(&batch)[0].at;
    let ids: Vec<EntryId> = batch.iter().map(|request| request.entry.id).collect();
    let end = |entry, finish| world.store.end_entries(&[EntryEnd { entry, entry_at: at, finish }], now()).unwrap();
    end(ids[10], Finish::with_status(404));
    end(ids[11], Finish { outcome: Outcome::Unknown, ..Finish::with_status(502) });
    let all = AuditFilter::default;
    let select = |filter| read(&world, filter).iter().map(|entry| entry.id).rev().collect::<Vec<_>>();

    assert_eq!(select(all()), ids);
    assert_eq!(select(AuditFilter { user: Some("bob".into()), ..all() }), ids[0..1]);
    assert_eq!(select(AuditFilter { agent: Some("ci".into()), ..all() }), ids[1..2]);
    assert_eq!(select(AuditFilter { key_id: Some(key), ..all() }), ids[2..3]);
    assert_eq!(select(AuditFilter { action: Some(Event::KubernetesPatch), ..all() }), ids[3..4]);
    assert_eq!(select(AuditFilter { resource: Some("secrets".into()), ..all() }), ids[4..5]);
    assert_eq!(select(AuditFilter { cluster: Some("prod".into()), ..all() }), ids[5..6]);
    assert_eq!(select(AuditFilter { namespace: Some("shop".into()), ..all() }), ids[6..7]);
    assert_eq!(select(AuditFilter { outcome: Some(Outcome::Succeeded), ..all() }), ids[0..7]);
    assert_eq!(select(AuditFilter { outcome: Some(Outcome::Denied), ..all() }), [ids[7], ids[10]]);
    assert_eq!(select(AuditFilter { outcome: Some(Outcome::Failed), ..all() }), [ids[8]]);
    assert_eq!(select(AuditFilter { outcome: Some(Outcome::Unknown), ..all() }), [ids[9], ids[11]]);
    assert_eq!(select(AuditFilter { status: Some(200), ..all() }), ids[0..7]);
    assert_eq!(select(AuditFilter { status: Some(404), ..all() }), [ids[10]]);
    assert_eq!(select(AuditFilter { status: Some(502), ..all() }), [ids[11]]);
    assert_eq!(select(AuditFilter { since: Some(at), ..all() }), ids);
    assert_eq!(select(AuditFilter { since: Some(at + Duration::MICROSECOND), ..all() }), []);
    assert_eq!(select(AuditFilter { until: Some(at), ..all() }), []);
    assert_eq!(select(AuditFilter { until: Some(at + Duration::MICROSECOND), ..all() }), ids);
    // Every field given must match.
    let both = AuditFilter { user: Some("bob".into()), agent: Some("ci".into()), ..all() };
    assert_eq!(select(both), []);
    // What cannot be there is not there; it is no trouble of the database's.
    assert_eq!(select(AuditFilter { user: Some("bob\0".into()), ..all() }), []);
    assert_eq!(select(AuditFilter { namespace: Some("' OR 1=1 --".into()), ..all() }), []);
}

fn attack_224_an_entry_ends_once(backend: Backend) {
    let world = World::new(backend);
    let batch = [request(None), request(None), request(None)];
    let decisions = world.admit(&batch);
    let end = |n: usize, status, code: &str| EntryEnd {
        entry: batch[n].entry.id,
        entry_at: decisions[n].at,
        finish: Finish::with_status(status).because(Detail::none().with(Fact::Code, code)),
    };
    // Twice in one batch, and again in a later one, among others.
    world.store.end_entries(&[end(0, 200, "first"), end(0, 500, "second")], now()).unwrap();
    world.store.end_entries(&[end(0, 403, "third"), end(1, 404, "only")], now()).unwrap();
    world.store.end_entries(&[], now()).unwrap();
    let read = read(&world, AuditFilter::default());
    let ends: Vec<_> = read
        .iter()
        .rev()
        .map(|entry| (entry.status_code, entry.outcome, entry.detail.get("code").map(String::as_str)))
        .collect();
    assert_eq!(
        ends,
        [
            (Some(200), Outcome::Succeeded, Some("first")),
            (Some(404), Outcome::Denied, Some("only")),
            (None, Outcome::Unknown, None)
        ]
    );
}

fn an_entry_that_came_finished_keeps_its_outcome(backend: Backend) {
    let world = World::new(backend);
    let unknown = Finish { outcome: Outcome::Unknown, ..Finish::with_status(500) };
    let batch = [finished(403), Request { finish: Some(unknown), ..request(None) }];
    let decisions = world.admit(&batch);
    for (request, decision) in batch.iter().zip(&decisions) {
        let finish = Finish::with_status(200).because(Detail::none().with(Fact::Code, "late"));
        let end = EntryEnd { entry: request.entry.id, entry_at: decision.at, finish };
        world.store.end_entries(&[end], now()).unwrap();
    }
    let outcomes = |filter| read(&world, filter).iter().rev().map(|entry| entry.outcome).collect::<Vec<_>>();
    assert_eq!(outcomes(AuditFilter::default()), [Outcome::Denied, Outcome::Unknown]);
    assert!(read(&world, AuditFilter::default()).iter().all(|entry| entry.detail.is_empty()));
    for outcome in Outcome::ALL {
        let found = outcomes(AuditFilter { outcome: Some(outcome), ..AuditFilter::default() });
        assert!(found.iter().all(|other| *other == outcome), "{outcome}: {found:?}");
    }
    assert_eq!(outcomes(AuditFilter { outcome: Some(Outcome::Unknown), ..AuditFilter::default() }).len(), 1);
    assert_eq!(outcomes(AuditFilter { status: Some(200), ..AuditFilter::default() }), []);
}

fn entries_are_paged(backend: Backend) {
    let world = World::new(backend);
    let batch: Vec<Request> = (0..205).map(|_| finished(200)).collect();
    batch.chunks(100).for_each(|chunk| drop(world.admit(chunk)));
    let (mut seen, mut sizes, mut cursor) = (Vec::new(), Vec::new(), None);
    loop {
        let request = PageRequest::after(60, cursor.as_deref()).unwrap();
        let page = world.store.read_audit(&AuditFilter::default(), request).unwrap();
        sizes.push(page.items.len());
        seen.extend(page.items.into_iter().map(|entry| entry.id));
        let Some(next) = page.next else { break };
        cursor = Some(next.to_string());
        // New entries belong before the first page.
        world.admit(&[finished(200)]);
    }
    assert_eq!(seen, batch.iter().rev().map(|request| request.entry.id).collect::<Vec<_>>());
    assert_eq!(sizes, [60, 60, 60, 25]);
    assert!(PageRequest::after(10, Some("' OR 1=1")).is_err());
}

fn damaged_rows_are_told(backend: Backend) {
    let world = World::new(backend);
    let request = finished(200);
    world.admit(std::slice::from_ref(&request));
    world.set("audit_entries", request.entry.id, "outcome = 'splendid'");
    let read = world.store.read_audit(&AuditFilter::default(), PageRequest::default());
    assert!(matches!(read, Err(kv_store::StoreError::Unreadable { what: "outcome" })), "{read:?}");
}

fn the_days_of_the_log_are_made_ahead(backend: Backend) {
    let world = World::new(backend);
    // The first entries are there before the server has made any day.
    let early = request(None);
    world.admit(std::slice::from_ref(&early));
    let today = now();
    world.store.prepare_audit_days(today).unwrap();
    world.store.prepare_audit_days(today).unwrap();
    world.store.prepare_audit_days(today + Duration::DAY).unwrap();
    let late = request(None);
    let at = world.admit(std::slice::from_ref(&late))[0].at;
    world
        .store
        .end_entries(&[EntryEnd { entry: late.entry.id, entry_at: at, finish: Finish::with_status(200) }], now())
        .unwrap();
    let read = read(&world, AuditFilter::default());
    assert_eq!(read.iter().map(|entry| entry.outcome).collect::<Vec<_>>(), [Outcome::Succeeded, Outcome::Unknown]);
    if backend == Backend::Postgres {
        let days = world.database.count("pg_inherits", "inhparent = 'audit_entries'::regclass");
        // The default one, the seven days ahead, and an eighth from tomorrow on; today is in the default one.
        assert_eq!(days, 1 + 7 + 1);
        let ends = world.database.count("pg_inherits", "inhparent = 'audit_outcomes'::regclass");
        assert_eq!(ends, 1 + 8 + 1);
    }
}
