//! The two schemas: the same migrations, the same tables, the same columns.

use kv_store::testing::{Backend, TestDatabase};
use std::{collections::BTreeMap, fs, path::Path};

fn migrations(backend: &str) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations").join(backend);
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let mut files: Vec<_> = fs::read_dir(entry.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
            files.sort();
            assert_eq!(files, ["down.sql", "up.sql"]);
            entry.file_name().into_string().unwrap()
        })
        .collect();
    names.sort();
    names
}

/// Each table's columns with their kind and whether they may be NULL.
fn columns(backend: Backend) -> BTreeMap<String, Vec<String>> {
    let database = TestDatabase::fresh(backend);
    drop(database.open());
    let (tables, of_table): (_, fn(&str) -> String) = match backend {
        Backend::Sqlite => {
            ("SELECT name AS value FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'", |table| {
                format!(
                    "SELECT name || CASE type WHEN 'BLOB' THEN ' bytes' WHEN 'INTEGER' THEN ' integer' ELSE ' text' END || \
                 CASE \"notnull\" WHEN 1 THEN '' ELSE ' null' END AS value FROM pragma_table_info('{table}') ORDER BY cid"
                )
            })
        }
        Backend::Postgres => (
            "SELECT c.relname::text AS value FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace \
             AND c.relkind IN ('r', 'p') AND NOT c.relispartition",
            |table| {
                format!(
                    "SELECT column_name || CASE data_type WHEN 'bytea' THEN ' bytes' WHEN 'bigint' THEN ' integer' ELSE ' text' END || \
                     CASE is_nullable WHEN 'NO' THEN '' ELSE ' null' END AS value FROM information_schema.columns \
                     WHERE table_schema = 'public' AND table_name = '{table}' ORDER BY ordinal_position"
                )
            },
        ),
    };
    let tables = database.texts(tables).into_iter().flatten().filter(|table| table != "__diesel_schema_migrations");
    tables.map(|table| (table.clone(), database.texts(&of_table(&table)).into_iter().flatten().collect())).collect()
}

#[test]
fn both_databases_have_the_same_migrations() {
    assert_eq!(migrations("sqlite"), migrations("postgres"));
    assert!(!migrations("sqlite").is_empty());
}

#[test]
fn both_databases_have_the_same_tables_and_columns() {
    let (sqlite, postgres) = (columns(Backend::Sqlite), columns(Backend::Postgres));
    assert_eq!(sqlite, postgres);
    assert!(
        sqlite["api_keys"].contains(&"digest bytes".to_owned())
            && sqlite["api_keys"].contains(&"revoked_at integer null".to_owned())
    );
}
