//! A failover to a synchronous standby: what was acknowledged is there (S5), and the old primary admits nobody.

use crate::world::World;
use kv_tests::{Answer, Key, Node, Postgres};
use std::{cell::RefCell, time::Duration};

#[test]
fn a_failover_forgets_nothing_and_the_old_primary_admits_nobody() {
    kv_tests::run(async {
        let postgres = tokio::task::spawn_blocking(|| Postgres::with_standby(&[])).await.unwrap();
        let world = World::on(postgres).await;
        let (mut answers, mut revoked): (Vec<Answer>, Vec<Key>) = (Vec::new(), Vec::new());
        for round in 0..20 {
            let key = world.app.key(&world.session, &format!("round {round}")).await;
            answers.push(world.app.get("/api/v1/clusters").key(&key).send().await.expect(200));
            answers.push(world.app.revoke(&world.session, &key).await.expect(204));
            revoked.push(key);
        }
        let asked = RefCell::new(Vec::new());
        // From here on the old primary has no standby, and everything still leads to it.
        let begin = async || world.postgres.promote().await;
        let end = async || {
            // It answers reads, and what is asked of it changes nothing.
            let old = world.postgres.database(Node::Primary);
            assert!(old.count("api_keys", "revoked_at IS NOT NULL") >= 20);
            let making = world.app.post("/api/v1/api-keys").session(&world.session);
            let made = making.json(&serde_json::json!({"name": "on the old primary"})).send().await;
            assert_eq!(made.status, 503, "{}", made.text());
            asked.borrow_mut().push(made);
            world.link.lead_to(world.postgres.address(Node::Standby));
            world.link.reset();
        };
        world.goes_through("failover", Duration::from_secs(4), begin, end).await;
        let promoted = world.postgres.database(Node::Standby);
        world.is_on_record(&promoted, &answers);
        assert_eq!(promoted.count("api_keys", "name = 'on the old primary'"), 0);
        for key in revoked {
            let id = promoted.literal(key.id.parse::<kv_authz::KeyId>().unwrap());
            assert_eq!(promoted.count("api_keys", &format!("id = {id} AND revoked_at IS NOT NULL")), 1);
            world.app.get("/api/v1/clusters").key(&key).send().await.expect(401);
        }
    });
}
