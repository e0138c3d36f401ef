//! Clusters: registered, listed by name, removed; each change moves the version of the list.

use crate::world::{World, id, occasion, permit, refusal};
use kv_authz::action::{AddCluster, ChangeCluster, RemoveCluster};
use kv_store::{ActError, ClusterRefused, NewCluster, testing::Backend};

kv_store::on_both!(
    clusters_come_and_go,
    a_name_has_one_cluster,
    whom_calls_are_made_as_is_changed,
    a_webhook_token_is_known_by_its_cluster_alone
);

fn new(name: &str, sealed: &[u8]) -> NewCluster {
    NewCluster {
        id: id(),
        name: name.into(),
        server: format!("https://{name}:6443"),
        sealed: sealed.to_vec(),
        impersonate: false,
    }
}

fn add(world: &World, cluster: &NewCluster) -> Result<(), ActError<ClusterRefused>> {
    world.store.add_cluster(&permit::<AddCluster>(), None, cluster, &occasion())
}

fn clusters_come_and_go(backend: Backend) {
    let world = World::new(backend);
    let empty = world.store.list_clusters().unwrap();
    assert!(empty.clusters.is_empty());
    let (b, a) = (new("b", &[0, 255, 0]), new("a", &[]));
    add(&world, &b).unwrap();
    add(&world, &a).unwrap();
    let list = world.store.list_clusters().unwrap();
    let names: Vec<_> = list.clusters.iter().map(|cluster| (&*cluster.name, &*cluster.server, cluster.id)).collect();
    assert_eq!(names, [("a", "https://a:6443", a.id), ("b", "https://b:6443", b.id)]);
    assert_eq!(list.version, empty.version + 2);
    assert_eq!(world.store.sealed_cluster(b.id).unwrap(), Some(vec![0, 255, 0]));
    assert_eq!(world.store.sealed_cluster(a.id).unwrap(), Some(vec![]));
    let remove = |cluster| world.store.remove_cluster(&permit::<RemoveCluster>(), None, cluster, &occasion());
    remove(b.id).unwrap();
    assert_eq!(refusal(remove(b.id)), ClusterRefused::NoSuchCluster);
    assert_eq!(world.store.sealed_cluster(b.id).unwrap(), None);
    let list = world.store.list_clusters().unwrap();
    assert_eq!((list.version, list.clusters.len()), (empty.version + 3, 1));
    assert_eq!(world.database.count("audit_entries", "action LIKE 'cluster.%' AND outcome = 'succeeded'"), 3);
}

fn a_name_has_one_cluster(backend: Backend) {
    let world = World::new(backend);
    add(&world, &new("a", &[1])).unwrap();
    let before = world.store.list_clusters().unwrap();
    assert_eq!(refusal(add(&world, &new("a", &[2]))), ClusterRefused::NameTaken);
    assert_eq!(world.store.list_clusters().unwrap(), before);
}

fn whom_calls_are_made_as_is_changed(backend: Backend) {
    let world = World::new(backend);
    let (a, b) = (new("a", &[1]), NewCluster { impersonate: true, ..new("b", &[1]) });
    add(&world, &a).unwrap();
    add(&world, &b).unwrap();
    let now = || world.store.list_clusters().unwrap();
    let so = || now().clusters.iter().map(|cluster| cluster.impersonate).collect::<Vec<_>>();
    assert_eq!(so(), [false, true]);
    let before = now().version;
    let set = |cluster, on| world.store.set_impersonation(&permit::<ChangeCluster>(), None, cluster, on, &occasion());
    set(a.id, true).unwrap();
    assert_eq!((so(), now().version), (vec![true, true], before + 1), "what was decided before is stale");
    set(b.id, false).unwrap();
    assert_eq!(so(), [true, false]);
    assert_eq!(refusal(set(id(), true)), ClusterRefused::NoSuchCluster);
    let changes = "action = 'cluster.change' AND status_code = 200";
    let told = format!("{changes} AND detail LIKE '%impersonate: false%impersonate: true%'");
    assert_eq!((world.database.count("audit_entries", changes), world.database.count("audit_entries", &told)), (2, 1));
}

fn a_webhook_token_is_known_by_its_cluster_alone(backend: Backend) {
    let world = World::new(backend);
    let (a, b) = (new("a", &[1]), new("b", &[1]));
    add(&world, &a).unwrap();
    add(&world, &b).unwrap();
    let set = |cluster, digest: Option<&[u8]>| {
        world.store.set_webhook_token(&permit::<ChangeCluster>(), None, cluster, digest, &occasion())
    };
    let known = |name: &str, digest: &[u8]| world.store.cluster_of_webhook(name, digest).unwrap();
    assert_eq!(known("a", b""), None, "no token is not an empty one");
    set(a.id, Some(&[1, 2, 3])).unwrap();
    set(b.id, Some(&[4, 5, 6])).unwrap();
    assert_eq!((known("a", &[1, 2, 3]), known("b", &[4, 5, 6])), (Some(a.id), Some(b.id)));
    for (name, digest) in [("b", &[1, 2, 3][..]), ("a", &[1, 2]), ("a", &[1, 2, 3, 4]), ("a", b""), ("c", &[1, 2, 3])] {
        assert_eq!(known(name, digest), None, "{name} {digest:?}");
    }
    set(a.id, Some(&[7])).unwrap();
    assert_eq!((known("a", &[1, 2, 3]), known("a", &[7])), (None, Some(a.id)), "a new one takes its place");
    set(a.id, None).unwrap();
    set(a.id, None).unwrap();
    assert_eq!(known("a", &[7]), None);
    assert_eq!(refusal(set(id(), None)), ClusterRefused::NoSuchCluster);
    assert_eq!(world.database.count("audit_entries", "action = 'cluster.change' AND outcome = 'succeeded'"), 5);
}
