//! A thousand keys, and not one of them anywhere but in the answer that made it.

use crate::SERVER;
use kv_store::DatabaseUrl;
use kv_tests::{Answer, Backend, Connection, Key, PASSWORD, Process, Request, TestDatabase, on_both};
use serde_json::json;
use std::{net::SocketAddr, path::Path};

on_both!(attack_37_45_no_key_is_in_database_log_or_answer);

const KEYS: usize = 1_000;
const AT_ONCE: usize = 20;

/// What is looked for: the parts of the keys that nobody is shown again.
struct Canaries {
    /// By their first three bytes, whether there are any, so that most places are passed quickly.
    starts: Vec<bool>,
    all: std::collections::HashSet<[u8; 12]>,
}

impl Canaries {
    fn of<'a>(texts: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut canaries = Self { starts: vec![false; 1 << 24], all: std::collections::HashSet::new() };
        for text in texts {
            let canary: [u8; 12] = text[..12].try_into().unwrap();
            canaries.starts[Self::start(&canary)] = true;
            canaries.all.insert(canary);
        }
        canaries
    }

    fn start(bytes: &[u8]) -> usize {
        usize::from(bytes[0]) << 16 | usize::from(bytes[1]) << 8 | usize::from(bytes[2])
    }

    fn found_in(&self, bytes: &[u8]) -> Option<usize> {
        bytes.windows(12).position(|window| self.starts[Self::start(window)] && self.all.contains(window))
    }

    fn absent(&self, place: &str, bytes: &[u8]) {
        if let Some(at) = self.found_in(bytes) {
            let around =
                String::from_utf8_lossy(&bytes[at.saturating_sub(120)..(at + 60).min(bytes.len())]).into_owned();
            panic!("a key is in {place}: {around}");
        }
    }
}

async fn on_many<T: Send + 'static, F: Future<Output = T> + Send>(
    address: SocketAddr,
    work: impl Fn(Connection, usize) -> F + Clone + Send + Sync + 'static,
) -> Vec<T> {
    let tasks: Vec<_> = (0..AT_ONCE)
        .map(|lane| {
            let work = work.clone();
            tokio::spawn(async move {
                let connection = Connection::open(address).await.unwrap();
                work(connection, lane).await
            })
        })
        .collect();
    let mut done = Vec::new();
    for task in tasks {
        done.push(task.await.unwrap());
    }
    done
}

async fn attack_37_45_no_key_is_in_database_log_or_answer(backend: Backend) {
    let database = TestDatabase::fresh(backend);
    let folder = tempfile::tempdir().unwrap();
    let url = database.url_text();
    let mut process = Process::start(
        SERVER,
        folder.path(),
        &[
            ("KUBEVISION_DATABASE_URL", url.as_str()),
            ("KUBEVISION_ADMIN_PASSWORD", PASSWORD),
            ("KUBEVISION_RATE_LIMIT", "off"),
            ("KUBEVISION_API_KEYS__MAX_PER_USER", "2000"),
            ("KUBEVISION_LOG", "trace"),
        ],
    );
    process.serves().await;
    let address = process.address;
    let login = json!({"username": "admin", "password": PASSWORD});
    let token = Request::new(address, "POST", "/api/v1/auth/login").json(&login).send().await.expect(200).json();
    let bearer = format!("Bearer {}", token["access_token"].as_str().unwrap());
    let owner = bearer.clone();

    // Each made, used well and badly, and every third revoked.
    let lanes = on_many(address, move |mut connection, lane| {
        let owner = owner.clone();
        async move {
            let (mut keys, mut answers): (Vec<Key>, Vec<Answer>) = (Vec::new(), Vec::new());
            for number in 0..KEYS / AT_ONCE {
                let body = json!({"name": format!("key {lane} {number}")});
                let make = Request::new(address, "POST", "/api/v1/api-keys").header("authorization", owner.as_str());
                let made = connection.send(make.json(&body)).await.unwrap().expect(201).json();
                let text = |field: &str| made[field].as_str().unwrap().to_owned();
                let key = Key { id: text("id"), text: text("key") };
                let mut requests = vec![
                    Request::new(address, "GET", "/api/v1/api-keys/current").key(&key),
                    Request::new(address, "GET", "/api/v1/nowhere").key(&key),
                    Request::new(address, "GET", "/api/v1/clusters")
                        .header("authorization", format!("apikey  {}", key.text)),
                    Request::new(address, "POST", "/api/v1/auth/login").key(&key).body("application/json", "{"),
                ];
                if number % 3 == 0 {
                    requests.push(Request::new(address, "DELETE", "/api/v1/api-keys/current").key(&key));
                    requests.push(Request::new(address, "GET", "/api/v1/api-keys/current").key(&key));
                }
                for request in requests {
                    answers.push(connection.send(request).await.unwrap());
                }
                keys.push(key);
            }
            (keys, answers)
        }
    })
    .await;
    let (keys, answers): (Vec<_>, Vec<_>) = lanes.into_iter().unzip();
    let (keys, mut answers): (Vec<Key>, Vec<Answer>) = (keys.concat(), answers.concat());
    assert_eq!(keys.len(), KEYS);
    for path in ["/api/v1/api-keys?state=all&limit=200", "/api/v1/audit-logs?limit=200", "/api/v1/clusters"] {
        answers
            .push(Request::new(address, "GET", path).header("authorization", bearer.as_str()).send().await.expect(200));
    }

    // Behind the twelve characters that lists show: as they are, and in hexadecimal.
    let texts = Canaries::of(keys.iter().map(|key| &key.text.as_bytes()[12..]));
    let hex: Vec<String> =
        keys.iter().map(|key| key.text[12..].bytes().map(|byte| format!("{byte:02x}")).collect()).collect();
    let hex = Canaries::of(hex.iter().map(String::as_bytes));
    assert_eq!(texts.found_in(format!("...{}...", keys[7].text).as_bytes()), Some(15), "what is there is found");
    let absent = |place: &str, bytes: &[u8]| {
        texts.absent(place, bytes);
        hex.absent(place, bytes);
    };
    for answer in &answers {
        absent("an answer", format!("{:?} {}", answer.headers, answer.text()).as_bytes());
    }
    let files = |folder: &Path| {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            absent(&path.display().to_string(), &std::fs::read(&path).unwrap());
        }
    };
    // While it runs, with everything still in the write-ahead log; and when it has ended.
    files(folder.path());
    match &database.url {
        DatabaseUrl::Sqlite(path) => {
            assert!(path.with_extension("db-wal").exists());
            files(path.parent().unwrap());
        }
        DatabaseUrl::Postgres(_) => dumped(&database, &absent),
    }
    process.signal("TERM");
    let ended = process.ended().await;
    assert_eq!(ended.code, Some(0));
    files(folder.path());
    if let DatabaseUrl::Sqlite(path) = &database.url {
        files(path.parent().unwrap());
    }
    assert!(ended.words.contains("TRACE"), "everything was logged");
    absent("the log", ended.words.as_bytes());
    assert!(!ended.words.contains(&bearer[7..]) && !ended.words.contains(PASSWORD));
}

/// Every row of every table, as text.
fn dumped(database: &TestDatabase, absent: &impl Fn(&str, &[u8])) {
    let tables = "SELECT tablename AS value FROM pg_tables WHERE schemaname = 'public'";
    let mut rows = 0;
    for table in database.texts(tables).into_iter().flatten() {
        for row in database.texts(&format!("SELECT t::text AS value FROM {table} t")).into_iter().flatten() {
            rows += 1;
            absent(&table, row.as_bytes());
        }
    }
    assert!(rows > KEYS, "{rows}");
}
