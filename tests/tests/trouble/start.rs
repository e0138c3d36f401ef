//! The look at the database before the server serves. Attack 233.

use crate::SERVER;
use kv_tests::{Ended, Node, Postgres, Process};

async fn postgres(settings: &'static [&'static str], standby: bool) -> Postgres {
    let start = move || if standby { Postgres::with_standby(settings) } else { Postgres::start(settings) };
    tokio::task::spawn_blocking(start).await.unwrap()
}

/// What the server says when it starts, or does not.
async fn started(url: &str, more: &[(&str, &str)]) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    let variables = [&[("KUBEVISION_DATABASE_URL", url)], more].concat();
    let mut process = Process::start(SERVER, folder.path(), &variables);
    // It listens a moment before it says that it serves.
    let said = |process: &Process| process.words().contains("\"serving\"");
    for _ in 0..1_000 {
        if process.has_ended() {
            break;
        }
        if said(&process) {
            process.signal("TERM");
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    process.ended().await
}

fn says(ended: &Ended, words: &[&str]) {
    for word in words {
        assert!(ended.words.contains(word), "{word:?} is not said: {}", ended.words);
    }
}

#[test]
fn attack_233_a_database_that_forgets_is_refused_unless_it_may() {
    kv_tests::run(async {
        let postgres = postgres(&["fsync=off", "full_page_writes=off"], false).await;
        let url = postgres.url(Node::Primary);
        let refused = started(url, &[]).await;
        assert_eq!(refused.code, Some(1), "{}", refused.words);
        says(&refused, &["fsync=off", "Set fsync=on", "KUBEVISION_ALLOW_DATA_LOSS=true"]);
        let served = started(url, &[("KUBEVISION_ALLOW_DATA_LOSS", "true")]).await;
        assert_eq!(served.code, Some(0), "{}", served.words);
        says(&served, &["fsync=off", "full_page_writes=off", "serving"]);
    });
}

#[test]
fn attack_233_a_standby_is_refused_and_a_missing_one_told() {
    kv_tests::run(async {
        let postgres = postgres(&[], true).await;
        let served = started(postgres.url(Node::Primary), &[]).await;
        assert_eq!(served.code, Some(0), "{}", served.words);
        assert!(!served.words.contains("WARN"), "there is nothing to warn of: {}", served.words);
        let refused = started(postgres.url(Node::Standby), &[("KUBEVISION_ALLOW_DATA_LOSS", "true")]).await;
        assert_eq!(refused.code, Some(1), "{}", refused.words);
        says(&refused, &["is a standby", "promote"]);
        // Its server has a schema already, so nothing is written before it is asked.
        postgres.stop(Node::Standby).await;
        let alone = started(postgres.url(Node::Primary), &[]).await;
        says(&alone, &["no such standby follows", "pg_stat_replication"]);
    });
}
