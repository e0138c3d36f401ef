//! Nothing of a key stays in memory when it is dropped: the process looks for it in itself, through `/proc/self/mem`.
//!
//! No `unsafe`, so on Linux only. What is looked for is kept masked, or the search would find itself.

#![cfg(target_os = "linux")]

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use kv_keys::{ApiKey, Credential, Environment};
use zeroize::Zeroize;

use crate::support::Script;

const MASK: u8 = 0xa5;
/// Shorter pieces occur by chance; a vector register holds this much.
const PIECE: usize = 16;

/// Sixteen bytes of a secret, masked.
type Masked = [u8; PIECE];

fn masked(secret: &[u8]) -> Vec<Masked> {
    secret.windows(PIECE).step_by(4).map(|piece| std::array::from_fn(|i| piece[i] ^ MASK)).collect()
}

/// How often any of the pieces occurs in the writable memory of this process.
fn occurrences(pieces: &[Masked]) -> usize {
    let memory = File::open("/proc/self/mem").unwrap();
    let mut found = 0;
    for line in fs::read_to_string("/proc/self/maps").unwrap().lines() {
        let (range, rest) = line.split_once(' ').unwrap();
        if !rest.starts_with("rw") {
            continue;
        }
        let (start, end) = range.split_once('-').unwrap();
        let [start, end] = [start, end].map(|address| u64::from_str_radix(address, 16).unwrap());
        let mut block = vec![0; usize::try_from(end - start).unwrap()];
        if memory.read_exact_at(&mut block, start).is_err() {
            continue;
        }
        // Masked at once, so that the copy under search is no occurrence of its own.
        block.iter_mut().for_each(|byte| *byte ^= MASK);
        let first: [bool; 256] = std::array::from_fn(|byte| pieces.iter().any(|piece| usize::from(piece[0]) == byte));
        found += block.windows(PIECE).filter(|w| first[usize::from(w[0])] && pieces.iter().any(|p| p == w)).count();
    }
    found
}

/// Everything that is done with a key, in a frame of its own.
#[inline(never)]
fn live(seed: u64) -> (Vec<Masked>, ApiKey) {
    // One byte at a time (Knuth's MMIX generator): unlike a real one it holds no block of what it gave.
    let bytes = std::iter::successors(Some(seed), |n| {
        Some(n.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407))
    });
    let key = ApiKey::generate(Environment::Live, &mut Script::new(bytes.map(|n| (n >> 56) as u8))).unwrap();

    // All forms of the secret: the characters, the bytes they stand for, and these as words of a little-endian machine.
    let body = &key.expose().as_bytes()[8..];
    let mut raw = URL_SAFE_NO_PAD.decode(body).unwrap();
    let mut pieces = [masked(body), masked(&raw)].concat();
    raw[..32].as_chunks_mut::<8>().0.iter_mut().for_each(|word| word.reverse());
    pieces.extend(masked(&raw));
    raw.zeroize();

    let mut value = format!("ApiKey {}", key.expose()).into_bytes();
    let Ok(Credential::ApiKey(again)) = Credential::parse(&value, Environment::Live) else { panic!("a key") };
    value.zeroize();
    assert_eq!(again.digest(), key.digest());

    // From hand to hand, through a heap and a thread.
    let again = std::thread::spawn(move || Box::new([Some(again)])).join().unwrap();
    drop(again);
    (pieces, key)
}

#[test]
fn attack_44_no_copy_of_a_dropped_key_is_left_in_memory() {
    let (pieces, key) = live(44);
    let alive = occurrences(&pieces);
    assert!(alive > 0, "the search finds what is there");
    drop(key);
    assert_eq!(occurrences(&pieces), 0, "{alive} pieces before the drop");
}
