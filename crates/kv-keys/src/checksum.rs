//! CRC-32 (IEEE 802.3: reflected polynomial `EDB88320`, all ones before and after; gzip, PNG and ISO 3309 use it too).
//!
//! Eight bytes a step ("slicing by 8"), on words: there is no buffer of the secret to wipe or to wait for. Through memory
//! and a general crate, reading a key took 12 ns more, a tenth of its SHA-256.
//!
//! Never here: security. The checksum finds typing errors and the false alarms of secret scanners.

const POLYNOMIAL: u32 = 0xEDB8_8320;

/// `TABLES[n][byte]` is what `byte` does to the checksum when `n` bytes follow it.
static TABLES: [[u32; 256]; 8] = tables();

/// The CRC-32 of the 32 bytes that `words` are, read big-endian.
#[inline]
pub(crate) fn crc32(words: [u64; 4]) -> u32 {
    let step = |crc: u32, word: u64| {
        // The checksum so far goes into the first four bytes. They are looked up last, because the others need not wait.
        let bytes = (word ^ u64::from(crc.swap_bytes()) << 32).to_le_bytes();
        TABLES.iter().zip(bytes).fold(0, |crc, (table, byte)| crc ^ table[usize::from(byte)])
    };
    !words.into_iter().fold(!0, step)
}

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut n = 0;
        while n < tables.len() {
            let mut bit = 0;
            while bit < 8 {
                crc = if crc & 1 == 1 { POLYNOMIAL ^ crc >> 1 } else { crc >> 1 };
                bit += 1;
            }
            tables[n][byte] = crc;
            n += 1;
        }
        byte += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::crc32;

    proptest! {
        #[test]
        fn agrees_with_the_published_crate(words: [u64; 4]) {
            let bytes: Vec<u8> = words.into_iter().flat_map(u64::to_be_bytes).collect();
            prop_assert_eq!(crc32(words), crc32fast::hash(&bytes));
        }
    }
}
