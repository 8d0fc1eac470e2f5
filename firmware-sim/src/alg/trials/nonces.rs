//! What SM2 draws: points of ciphertexts and nonces of signatures are never the same, never small, and look like chance.

use std::collections::{HashMap, HashSet};

use sm2::elliptic_curve::group::Group as _;
use sm2::elliptic_curve::sec1::ToSec1Point as _;
use sm2::{ProjectivePoint, Scalar};

use super::{Counted, key, rounds};
use crate::alg::sm2::{PUBLIC_BYTES, encrypt};
use crate::alg::sm3;
use crate::entropy::Fixed;

/// The first numbers of signatures.
type Firsts = HashSet<[u8; 32]>;

fn coordinate(point: &ProjectivePoint) -> Vec<u8> {
    point.to_affine().to_sec1_point(false).x().map(|x| x.to_vec()).unwrap_or_default()
}

#[test]
fn points_of_sm2_ciphertexts_do_not_repeat() {
    let (public, random) = (key().public(), Counted::default());
    let many = rounds(5_000, 100_000);
    let draw = |_| encrypt(&public, b"x", &random).expect("a ciphertext")[..PUBLIC_BYTES].to_vec();
    let points: HashSet<Vec<u8>> = (0..many).map(draw).collect();
    println!("figure sm2_ciphertexts_same_point {} of {many}", many - points.len());
    assert_eq!(points.len(), many);
}

/// Baby steps and giant steps: a nonce of few bits, as a library once drew them, would be found.
#[test]
fn nonces_of_sm2_ciphertexts_are_not_small() {
    let steps = rounds(1 << 13, 1 << 17) as u64;
    let (mut baby, mut point) = (HashMap::new(), ProjectivePoint::GENERATOR);
    for number in 1..=steps {
        baby.insert(coordinate(&point), number);
        point += ProjectivePoint::GENERATOR;
    }
    let giant = ProjectivePoint::GENERATOR * Scalar::from(steps);
    let is_small = |point: &[u8]| {
        let public = sm2::PublicKey::from_sec1_bytes(point).expect("C1 is a point of the curve");
        let mut point = public.to_projective();
        for _ in 0..=steps {
            if bool::from(point.is_identity()) || baby.contains_key(&coordinate(&point)) {
                return true;
            }
            point -= giant;
        }
        false
    };
    let small = ProjectivePoint::GENERATOR * Scalar::from(steps * (steps - 3) + 5);
    assert!(is_small(small.to_affine().to_sec1_point(false).as_bytes()), "one that is small is found");
    let (public, random) = (key().public(), Counted::default());
    let samples = 4;
    let found = (0..samples)
        .filter(|_| is_small(&encrypt(&public, b"x", &random).expect("a ciphertext")[..PUBLIC_BYTES]))
        .count();
    println!("figure sm2_nonces_below_{} {found} of {samples}", steps * steps);
    assert_eq!(found, 0);
}

/// How far the first bytes are from an even spread: 255 are expected of chance, with a deviation of 23.
fn chi_square(firsts: &Firsts) -> f64 {
    let mut counts = [0_u32; 256];
    firsts.iter().for_each(|first| counts[usize::from(first[0])] += 1);
    let expected = firsts.len() as f64 / 256.0;
    counts.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum()
}

#[test]
fn first_numbers_of_sm2_signatures_do_not_repeat_whatever_the_entropy() {
    let (key, random, many) = (key().signing_key(), Counted::default(), rounds(10_000, 100_000) as u32);
    let first = |signature: [u8; 64]| signature[..32].try_into().expect("r has 32 bytes");
    let digest = |number: u32| sm3::digest(&number.to_be_bytes());
    let stuck = [Fixed::new(&[0]), Fixed::new(&[0x55])];
    let sets: [(&str, Firsts); 3] = [
        (
            "one_digest",
            (0..many).map(|_| first(key.sign_digest(&[7; 32], &random).expect("a signature"))).collect(),
        ),
        (
            "entropy_stuck_at_zero",
            (0..many)
                .map(|at| first(key.sign_digest(&digest(at), &stuck[0]).expect("a signature")))
                .collect(),
        ),
        (
            "entropy_stuck",
            (0..many)
                .map(|at| first(key.sign_digest(&digest(at), &stuck[1]).expect("a signature")))
                .collect(),
        ),
    ];
    for (name, firsts) in &sets {
        let spread = chi_square(firsts);
        println!("figure sm2_signatures_same_r_{name} {} of {many}", many as usize - firsts.len());
        println!("figure sm2_signatures_chi_square_{name} {spread:.0} of 255 expected");
        assert_eq!(firsts.len(), many as usize, "{name}");
        // Six deviations from what is expected, on either side.
        assert!((120.0..390.0).contains(&spread), "{name}: {spread}");
    }
    let all: Firsts = sets.iter().flat_map(|(_, firsts)| firsts).copied().collect();
    assert_eq!(all.len(), 3 * many as usize, "nor from one source to the other");
}
