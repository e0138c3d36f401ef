//! Several namespaces, and several clusters: what somebody sees is the union of what is theirs.

use crate::world::{Person, World, config_map};
use kv_tests::{Backend, on_both};

on_both!(lists_across_namespaces_are_of_ones_own, clusters_that_are_not_assigned_are_not_there);

async fn lists_across_namespaces_are_of_ones_own(backend: Backend) {
    let mut world = World::new(backend, "kubectl-union").await;
    let (first, base) = (world.namespace.clone(), world.namespace.clone());
    let second = world.another_namespace(&format!("{base}-2"));
    let third = world.another_namespace(&format!("{base}-3"));
    for namespace in [&first, &second, &third] {
        world.directly(&["-n", namespace, "create", "-f", "-"], &config_map("shared", "1").to_string());
    }
    let one = world.person("one", "dev", &[&first]).await;
    let two = world.person("two", "dev", &[&first, &second]).await;
    let all = world.person("all", "ops", &[]).await;

    let spaces = [
        "-o",
        "jsonpath={range .items[*]}{.metadata.namespace}{\" \"}{end}",
        "--field-selector",
        "metadata.name=shared",
    ];
    let of = |who: &Person| {
        let listed = who.does(&[&["get", "configmaps", "-A"], &spaces[..]].concat());
        let mut listed: Vec<String> = listed.split_whitespace().map(str::to_owned).collect();
        listed.retain(|name| name.starts_with(&base));
        listed.sort();
        (listed, who.does(&["get", "configmaps", "-A", "--no-headers"]))
    };
    let (listed, table) = of(&one);
    assert_eq!(listed, [first.as_str()]);
    assert!(table.lines().all(|line| line.starts_with(&format!("{first} "))), "{table}");
    let (listed, table) = of(&two);
    assert_eq!(listed, [first.clone(), second.clone()]);
    assert!(table.contains(&second) && !table.contains(&third) && !table.contains("kube-system"), "{table}");
    let (listed, table) = of(&all);
    assert_eq!(listed, [first.clone(), second.clone(), third.clone()]);
    assert!(table.contains("kube-system"), "{table}");
    let named = two.does(&["get", "namespaces", "-o", "name"]);
    assert_eq!(named, format!("namespace/{first}\nnamespace/{second}\n"));

    let table = two.starts(&["get", "configmaps", "-A", "--watch-only"]);
    let begun = two.starts(&["get", "configmaps", "-A", "--watch", "-o", "name"]);
    begun.says("configmap/shared");
    // The watch is open once the server has it on record.
    kv_tests::until("both watches are open", || world.app.inside().streams.count() == 2).await;
    for namespace in [&third, &second, &first] {
        world.directly(&["-n", namespace, "create", "-f", "-"], &config_map("late", "1").to_string());
    }
    table.says(&first);
    table.says(&second);
    begun.says_so("both new ones come", |answer| answer.matches("configmap/late").count() == 2);
    let answer = table.answer();
    assert!(!answer.contains(&third) && answer.matches("late").count() == 2, "{answer}");

    // Nothing is done across namespaces by who has some of them.
    let path = "/api/v1/clusters/prod/k8s/api/v1/configmaps";
    let refused = two.fails(&["delete", "--raw", path]);
    assert!(refused.contains("name one"), "{refused}");
    assert!(world.directly(&["-n", &third, "get", "configmaps"], "").contains("late"));
}

async fn clusters_that_are_not_assigned_are_not_there(backend: Backend) {
    let world = World::new(backend, "kubectl-clusters").await;
    let ann = world.person("ann", "ops", &[]).await;
    let bob = world.own("bob", "dev").await;
    let ask = ["get", "namespace", &world.namespace, "-o", "name"];
    world.app.assign(&ann.user, "spare", &[]).await;
    let path = "/api/v1/clusters/spare/kubeconfig";
    let kubeconfig = world.app.get(path).key(&ann.key).send().await.expect(200).text();
    world.app.get(path).key(&bob.key).send().await.expect(404);
    // The same key, and another cluster: it does not have the namespace.
    assert!(ann.does(&ask).contains(&world.namespace));
    let said = ann.elsewhere(&kubeconfig, &ask);
    assert!(!said.success && said.complaint.contains("NotFound") && said.complaint.contains("not found"), "{said:?}");
    let said = ann.elsewhere(&kubeconfig, &["get", "namespace", "default", "-o", "name"]);
    assert_eq!((said.success, said.answer.as_str()), (true, "namespace/default\n"), "{said:?}");
    let said = bob.elsewhere(&kubeconfig, &["get", "pods"]);
    assert!(!said.success && said.complaint.contains("NotFound"), "{said:?}");
    let none = kubeconfig.replace("/clusters/spare/", "/clusters/none/");
    let unknown = bob.elsewhere(&none, &["get", "pods"]);
    assert_eq!(unknown.complaint.lines().last(), said.complaint.lines().last(), "both look alike");
}
