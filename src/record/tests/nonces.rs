//! A nonce is used once, and follows from nothing but the place of the record (RFC 5288 §3, RFC 7905 §2, RFC 8446 §5.3).

use super::*;
use std::collections::HashSet;

/// In the suites whose nonce travels in part, that part is the epoch and the sequence number: nothing random, and none twice.
#[test]
fn r6_no_nonce_of_dtls12_is_random_or_used_twice() {
    for suite in usable_suites(&default_provider()) {
        let Suite::Dtls12(of_12) = &suite else { continue };
        if of_12.aead.explicit_nonce_len() == 0 {
            continue;
        }
        let mut seen = HashSet::new();
        // Epochs as they would come, were there renegotiation; numbers as far as they go.
        for epoch in [Epoch(1), Epoch(2), Epoch(0xffff)] {
            let (mut sender, _) = pair(epoch, &keys(&suite, 1));
            for sequence in 0..500_u64 {
                let record = seal(&mut sender, epoch, b"data");
                let place = (u64::from(epoch.0) << 48 | sequence).to_be_bytes();
                assert_eq!((&record[3..11], &record[13..21]), (&place[..], &place[..]), "{:?}", of_12.id);
                assert!(seen.insert(place));
            }
        }
        assert_eq!(seen.len(), 1500);
    }
}

/// The same plaintext under the same key never gives the same ciphertext: the number counts, also where it does not travel.
#[test]
fn r6_no_record_is_sealed_like_another() {
    for (epoch, keys) in all_keys() {
        let (mut sender, _) = pair(epoch, &keys);
        let mut seen = HashSet::new();
        for _ in 0..2000 {
            let record = seal(&mut sender, epoch, &[7; 32]);
            assert!(seen.insert(record[record.len() - 48..].to_vec()));
        }
    }
}
