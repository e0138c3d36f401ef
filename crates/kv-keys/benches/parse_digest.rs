//! What a request pays before the database: reading the key and hashing it, beside hashing alone.
//!
//! `cargo bench -p kv-keys`. The bar is 1.3 times the bare digest, in the column "fastest": 138 to 107 ns (1.29) on an
//! EPYC with SHA instructions. A busy neighbour on the same core slows the reading more than the digest.

#![allow(clippy::unwrap_used)]

use std::hint::black_box;

use divan::Bencher;
use kv_keys::{ApiKey, Credential, Environment};
use sha2::{Digest, Sha256};

const KEY: &str = "kv_live_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyCH5uwl";

fn main() {
    // Enough iterations a sample that the timer's own step does not show.
    divan::Divan::from_args().sample_size(200).sample_count(5_000).main();
}

#[divan::bench]
fn bare_digest(bencher: Bencher) {
    bencher.bench(|| Sha256::digest(black_box(KEY.as_bytes())));
}

#[divan::bench]
fn parse(bencher: Bencher) {
    bencher.bench(|| ApiKey::parse(black_box(KEY), Environment::Live).unwrap());
}

#[divan::bench]
fn parse_and_digest(bencher: Bencher) {
    bencher.bench(|| ApiKey::parse(black_box(KEY), Environment::Live).unwrap().digest());
}

#[divan::bench]
fn header_and_digest(bencher: Bencher) {
    let value = format!("Bearer {KEY}");
    bencher.bench(|| match Credential::parse(black_box(value.as_bytes()), Environment::Live).unwrap() {
        Credential::ApiKey(key) => key.digest(),
        Credential::Bearer(_) => unreachable!(),
    });
}

#[divan::bench]
fn refuse_100_kib(bencher: Bencher) {
    let value = vec![b'A'; 100 * 1024];
    bencher.bench(|| Credential::parse(black_box(&value), Environment::Live).is_err());
}
