//! Tags that are wrong by a bit: nothing of the plaintext is left behind, and every failure is the same.

use super::{Counted, rounds};
use crate::alg::{Forged, TAG_BYTES, aes_gcm, aes_gcm_siv, sm4_gcm};
use crate::entropy::Entropy as _;
use crate::material::Material;

const PLAINTEXT: [u8; 48] = *b"nothing of this may be seen when the tag is off.";
const NONCE: [u8; 12] = [3; 12];

/// Seals and opens in place.
type Open<'a> = &'a dyn Fn(&mut [u8], &[u8; TAG_BYTES]) -> Result<(), Forged>;

/// Flips each bit of the tag; counts the buffers in which eight bytes in a row are those of the plaintext.
fn flips(open: Open<'_>, sealed: &[u8], tag: &[u8; TAG_BYTES]) -> (usize, usize) {
    let mut buffer = sealed.to_vec();
    assert_eq!((open(&mut buffer, tag), buffer.as_slice()), (Ok(()), PLAINTEXT.as_slice()), "as it is");
    let (mut tried, mut leaked) = (0, 0);
    for bit in 0..8 * TAG_BYTES {
        let (mut buffer, mut tag) = (sealed.to_vec(), *tag);
        tag[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(open(&mut buffer, &tag), Err(Forged), "bit {bit}");
        let left = buffer.chunks(8).zip(PLAINTEXT.chunks(8)).any(|(left, clear)| left == clear);
        leaked += usize::from(left);
        tried += 1;
    }
    (tried, leaked)
}

#[test]
fn wrong_tags_leave_nothing_of_the_plaintext() {
    let random = Counted::default();
    let (mut tried, mut leaked) = (0, 0);
    for _ in 0..rounds(300, 3_000) {
        let mut key = [0; 32];
        random.fill(&mut key).expect("hashing does not fail");
        let short: &[u8; 16] = key.first_chunk().expect("32 bytes hold 16");
        let sealer = aes_gcm_siv::Sealer::new(&Material::copy_of(&key));
        let (mut aes, mut sm4, mut siv) = (PLAINTEXT, PLAINTEXT, PLAINTEXT);
        let tags = [
            aes_gcm::seal(&key, &NONCE, b"place", &mut aes),
            sm4_gcm::seal(short, &NONCE, b"place", &mut sm4),
            sealer.seal(&NONCE, b"place", &mut siv),
        ];
        let opens: [(Open<'_>, &[u8]); 3] = [
            (&|buffer, tag| aes_gcm::open(&key, &NONCE, b"place", buffer, tag), &aes),
            (&|buffer, tag| sm4_gcm::open(short, &NONCE, b"place", buffer, tag), &sm4),
            (&|buffer, tag| sealer.open(&NONCE, b"place", buffer, tag), &siv),
        ];
        for ((open, sealed), tag) in opens.into_iter().zip(&tags) {
            let (more, seen) = flips(open, sealed, tag);
            (tried, leaked) = (tried + more, leaked + seen);
        }
    }
    println!("figure wrong_tags_with_plaintext_left {leaked} of {tried}");
    assert_eq!(leaked, 0);
}
