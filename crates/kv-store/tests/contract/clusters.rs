//! Clusters: registered, listed by name, removed; each change moves the version of the list.

use crate::world::{World, id, occasion, permit, refusal};
use kv_authz::action::{AddCluster, RemoveCluster};
use kv_store::{ActError, ClusterRefused, NewCluster, testing::Backend};

kv_store::on_both!(clusters_come_and_go, a_name_has_one_cluster);

fn new(name: &str, sealed: &[u8]) -> NewCluster {
    NewCluster { id: id(), name: name.into(), server: format!("https://{name}:6443"), sealed: sealed.to_vec() }
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
