//! Rights that change under load: each answer is that of the rights as they were while it was asked for.

use kv_tests::{Backend, Cluster, Connection, Request, TestApp, on_both};
use serde_json::json;
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

on_both!(two_hundred_flips_under_load_and_every_answer_is_of_its_version);

const FLIPS: u64 = 200;
const LANES: usize = 4;
const PODS: &str = "/api/v1/clusters/prod/namespaces/team/pods";

/// Even versions may create pods, odd ones may not.
async fn two_hundred_flips_under_load_and_every_answer_is_of_its_version(backend: Backend) {
    let (app, cluster) = (TestApp::start(backend).await, Cluster::start());
    app.add_cluster("prod", &cluster).await;
    let admin = app.admin().await;
    let lead = json!({"name": "lead", "grants": ["pods:*"]});
    app.post("/api/v1/roles").session(&admin).json(&lead).send().await.expect(201);
    let (ann, session, key) = app.someone("ann", "lead", Some("prod")).await;
    app.get(PODS).key(&key).send().await.expect(200);

    // A version that is being made is `begun`, one whose making has answered is `done`.
    let (begun, done, over) =
        (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let address = app.address();
    let lanes: Vec<_> = (0..LANES)
        .map(|lane| {
            let (begun, done, over) = (begun.clone(), done.clone(), over.clone());
            let credential = match lane % 2 {
                0 => format!("ApiKey {}", key.text),
                _ => format!("Bearer {}", session.token),
            };
            tokio::spawn(async move {
                let mut connection = Connection::open(address).await.unwrap();
                let (mut allowed, mut refused) = (0_u64, 0_u64);
                while !over.load(Ordering::Relaxed) {
                    let earliest = done.load(Ordering::SeqCst);
                    let pod = json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p"}});
                    let request = Request::new(address, "POST", PODS).header("authorization", credential.as_str());
                    let answer = match connection.send(request.json(&pod)).await {
                        Ok(answer) => answer,
                        Err(_) => {
                            connection = Connection::open(address).await.unwrap();
                            continue;
                        }
                    };
                    let latest = begun.load(Ordering::SeqCst);
                    let could_be = |parity: u64| (earliest..=latest).any(|version| version % 2 == parity);
                    match answer.status {
                        201 => {
                            assert!(could_be(0), "allowed between versions {earliest} and {latest}");
                            allowed += 1;
                        }
                        403 => {
                            assert!(could_be(1), "refused between versions {earliest} and {latest}");
                            refused += 1;
                        }
                        // Cut in the middle, by rights that were taken then.
                        401 => assert!(latest > earliest, "cut between versions {earliest} and {latest}"),
                        status => assert_eq!(status, 503, "{}", answer.text()),
                    }
                }
                (allowed, refused)
            })
        })
        .collect();
    for version in 1..=FLIPS {
        begun.store(version, Ordering::SeqCst);
        // By the role itself, by the user's role, and by what they are assigned, in turn.
        let may = version % 2 == 0;
        let user = format!("/api/v1/users/{}", ann.id);
        let flip = match (version - 1) / 2 % 3 {
            0 => app.patch("/api/v1/roles/lead").json(&json!({"grants": [if may { "pods:*" } else { "pods:read" }]})),
            1 => app.patch(&user).json(&json!({"role": if may { "lead" } else { "readonly" }})),
            _ => app
                .patch("/api/v1/roles/lead")
                .json(&json!({"grants": if may { json!(["pods:*"]) } else { json!([]) }})),
        };
        flip.session(&admin).send().await.expect(if (version - 1) / 2 % 3 == 1 { 200 } else { 204 });
        done.store(version, Ordering::SeqCst);
        tokio::time::sleep(std::time::Duration::from_millis(3)).await;
    }
    over.store(true, Ordering::Relaxed);
    let (mut allowed, mut refused) = (0, 0);
    for lane in lanes {
        let (some, others) = lane.await.expect("a lane that saw nothing wrong");
        allowed += some;
        refused += others;
    }
    assert!(allowed > 20 && refused > 20, "{allowed} allowed, {refused} refused");
}
