//! Tests of the sealed file format: round trips, and every way to tamper.

use aes_gcm::aead::{Aead, Payload};

use super::*;

const BOTH: [Algorithm; 2] = [Algorithm::Aes256, Algorithm::Sm4];
const NONCE: [u8; NONCE_BYTES] = [7, 6, 5, 4, 3, 2, 1];
const CHUNK: usize = CHUNK_BYTES as usize;
const SEALED_CHUNK: usize = CHUNK + TAG_BYTES;

fn data_key(algorithm: Algorithm) -> Vec<u8> {
    (0..algorithm.key_bytes()).map(|i| i as u8 ^ 0x5a).collect()
}

fn plain(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| (i as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()
}

fn parts(algorithm: Algorithm) -> HeaderParts<'static> {
    HeaderParts {
        algorithm,
        cmk_uuid: "241ede22-6261-4617-9caf-10d89990516c",
        key_version_id: "27cfe4dc-e640-45f6-92ca-492ca73e8680",
        ciphertext_blob: "MDA2NA==",
    }
}

fn sealed_with(algorithm: Algorithm, nonce: [u8; NONCE_BYTES], bytes: usize) -> Vec<u8> {
    let mut output = Vec::new();
    let key = data_key(algorithm);
    let read =
        seal(&parts(algorithm), &key, nonce, &mut Trickle::of(&plain(bytes)), &mut output, &mut |_| ());
    assert_eq!(read.expect("seal"), bytes as u64);
    output
}

fn sealed(algorithm: Algorithm, bytes: usize) -> Vec<u8> {
    sealed_with(algorithm, NONCE, bytes)
}

fn opened_under(data_key: &[u8], file: &[u8]) -> Result<Vec<u8>, SealedFileError> {
    let mut input = Trickle::of(file);
    let (header, binding) = read_header(&mut input)?;
    let mut output = Vec::new();
    let written = open(&header, &binding, data_key, &mut input, &mut output, &mut |_| ())?;
    assert_eq!(written, output.len() as u64);
    Ok(output)
}

fn opened(algorithm: Algorithm, file: &[u8]) -> Result<Vec<u8>, SealedFileError> {
    opened_under(&data_key(algorithm), file)
}

fn head_bytes(file: &[u8]) -> usize {
    let mut rest = file;
    read_header(&mut rest).expect("header");
    file.len() - rest.len()
}

/// A reader that returns less than asked for and is interrupted now and then.
struct Trickle<'a> {
    rest: &'a [u8],
    calls: usize,
}

impl<'a> Trickle<'a> {
    fn of(rest: &'a [u8]) -> Self {
        Self { rest, calls: 0 }
    }
}

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.calls += 1;
        if self.calls.is_multiple_of(5) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let bytes = buffer.len().min(1 + self.calls * 4099 % 9973);
        self.rest.read(&mut buffer[..bytes])
    }
}

#[test]
fn sm4_gcm_gives_the_vector_of_rfc_8998() {
    let unhex = |text: &str| hex::decode(text).expect("hex");
    let plain = unhex(concat!(
        "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbccccccccccccccccdddddddddddddddd",
        "eeeeeeeeeeeeeeeeffffffffffffffffeeeeeeeeeeeeeeeeaaaaaaaaaaaaaaaa"
    ));
    let sealed = unhex(concat!(
        "17f399f08c67d5ee19d0dc9969c4bb7d5fd46fd3756489069157b282bb200735",
        "d82710ca5c22f0ccfa7cbf93d496ac15a56834cbcf98c397b4024a2691233b8d",
        "83de3541e4c2b58177e065a9bf7b62ec"
    ));
    let aead = Sm4Gcm::new_from_slice(&unhex("0123456789abcdeffedcba9876543210")).expect("key length");
    let nonce: [u8; 12] = unhex("00001234567800000000abcd").try_into().expect("nonce length");
    let aad = unhex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
    let found = aead.encrypt(&nonce.into(), Payload { msg: &plain, aad: &aad }).expect("encrypt");
    assert_eq!(found, sealed);
}

#[test]
fn chunks_are_plain_gcm_as_the_layout_says() {
    let file = sealed(Algorithm::Aes256, CHUNK + 5);
    let (head, chunks) = file.split_at(head_bytes(&file));
    assert_eq!(&head[..8], MAGIC);
    assert_eq!(head[8..12], (head.len() as u32 - 12).to_be_bytes());
    let header: serde_json::Value = serde_json::from_slice(&head[12..]).expect("JSON");
    assert_eq!(
        header,
        serde_json::json!({"algorithm": "AES_256", "chunkBytes": 65536, "nonce": "BwYFBAMCAQ==", "ciphertextBlob": "MDA2NA==",
            "cmkUuid": "241ede22-6261-4617-9caf-10d89990516c", "keyVersionId": "27cfe4dc-e640-45f6-92ca-492ca73e8680"})
    );
    let aead = Aes256Gcm::new_from_slice(&data_key(Algorithm::Aes256)).expect("key length");
    let aad = Sha256::digest(head);
    let mut found = Vec::new();
    for (msg, tail) in chunks.chunks(SEALED_CHUNK).zip([[0, 0, 0, 0, 0], [0, 0, 0, 1, 1]]) {
        let nonce: [u8; 12] = [&NONCE[..], &tail].concat().try_into().expect("nonce length");
        found.extend(aead.decrypt(&nonce.into(), Payload { msg, aad: &aad }).expect("decrypt"));
    }
    assert_eq!(found, plain(CHUNK + 5));
}

#[test]
fn files_of_every_length_come_back() {
    for algorithm in BOTH {
        for bytes in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 4 * CHUNK + 17] {
            let file = sealed(algorithm, bytes);
            assert_eq!(opened(algorithm, &file).expect("open"), plain(bytes), "{algorithm:?} {bytes}");
            let chunks = bytes.div_ceil(CHUNK).max(1);
            assert_eq!(file.len() - head_bytes(&file), bytes + chunks * TAG_BYTES);
            let (header, _) = read_header(&mut file.as_slice()).expect("header");
            assert_eq!(header.plain_bytes((file.len() - head_bytes(&file)) as u64), bytes as u64);
            assert_eq!(header.algorithm, algorithm);
        }
    }
}

#[test]
fn progress_counts_the_bytes_of_the_file() {
    let mut seen = Vec::new();
    let input = plain(2 * CHUNK + 1);
    let key = data_key(Algorithm::Sm4);
    let mut output = Vec::new();
    seal(&parts(Algorithm::Sm4), &key, NONCE, &mut input.as_slice(), &mut output, &mut |done| {
        seen.push(done)
    })
    .expect("seal");
    let mut rest = output.as_slice();
    let (header, binding) = read_header(&mut rest).expect("header");
    open(&header, &binding, &key, &mut rest, &mut io::sink(), &mut |done| seen.push(done)).expect("open");
    let each = [CHUNK, 2 * CHUNK, 2 * CHUNK + 1].map(|bytes| bytes as u64);
    assert_eq!(seen, [each, each].concat());
}

#[test]
fn a_file_cut_at_a_chunk_boundary_says_that_its_end_is_missing() {
    for algorithm in BOTH {
        let file = sealed(algorithm, 3 * CHUNK);
        let head = head_bytes(&file);
        for chunks in 0..3 {
            let found = opened(algorithm, &file[..head + chunks * SEALED_CHUNK]);
            assert!(matches!(found, Err(SealedFileError::Truncated)), "{chunks} chunks");
        }
    }
}

#[test]
fn a_file_cut_anywhere_does_not_open() {
    for algorithm in BOTH {
        let file = sealed(algorithm, 2 * CHUNK + 40);
        let head = head_bytes(&file);
        let inside = (0..3).flat_map(|chunk| [1, 15, 16, 17, 55].map(|at| head + chunk * SEALED_CHUNK + at));
        for end in (0..head).chain(inside).filter(|end| *end < file.len()) {
            assert!(opened(algorithm, &file[..end]).is_err(), "cut at {end}");
        }
        assert!(opened(algorithm, &file[..file.len() - 1]).is_err());
    }
}

#[test]
fn an_empty_file_cannot_be_made_from_another() {
    for algorithm in BOTH {
        let empty = sealed(algorithm, 0);
        assert!(matches!(
            opened(algorithm, &empty[..empty.len() - TAG_BYTES]),
            Err(SealedFileError::Truncated)
        ));
        let other = sealed(algorithm, 1);
        let forged = [&other[..head_bytes(&other)], &other[other.len() - TAG_BYTES..]].concat();
        assert!(matches!(opened(algorithm, &forged), Err(SealedFileError::NotAuthentic { chunk: 0 })));
    }
}

#[test]
fn swapped_doubled_and_missing_chunks_are_noticed() {
    for algorithm in BOTH {
        let file = sealed(algorithm, 4 * CHUNK);
        let (head, body) = file.split_at(head_bytes(&file));
        let chunks: Vec<&[u8]> = body.chunks(SEALED_CHUNK).collect();
        let orders: [(&[usize], u32); 7] = [
            (&[1, 0, 2, 3], 0),
            (&[0, 2, 1, 3], 1),
            (&[0, 1, 3, 2], 2),
            (&[0, 0, 1, 2, 3], 1),
            (&[0, 1, 1, 2, 3], 2),
            (&[0, 2, 3], 1),
            (&[1, 2, 3], 0),
        ];
        for (order, bad) in orders {
            let mut forged = head.to_vec();
            order.iter().for_each(|at| forged.extend_from_slice(chunks[*at]));
            let found = opened(algorithm, &forged);
            assert!(
                matches!(found, Err(SealedFileError::NotAuthentic { chunk }) if chunk == bad),
                "{order:?}"
            );
        }
    }
}

#[test]
fn appended_bytes_and_chunks_are_noticed() {
    for algorithm in BOTH {
        let other = sealed_with(algorithm, [9; NONCE_BYTES], 2 * CHUNK);
        let other_chunk = &other[head_bytes(&other)..][..SEALED_CHUNK];
        let own = sealed(algorithm, 2 * CHUNK);
        let own_last = &own[own.len() - SEALED_CHUNK..];
        for tail in [&b"x"[..], &[0; 16], other_chunk, own_last, &other] {
            let found = opened(algorithm, &[&own, tail].concat());
            assert!(matches!(found, Err(SealedFileError::TrailingData)), "after a full chunk: {found:?}");
            let short = sealed(algorithm, CHUNK + 3);
            assert!(opened(algorithm, &[&short, tail].concat()).is_err());
            let empty = sealed(algorithm, 0);
            assert!(opened(algorithm, &[&empty, tail].concat()).is_err());
        }
    }
}

#[test]
fn a_chunk_of_another_file_does_not_fit() {
    for algorithm in BOTH {
        let mut file = sealed(algorithm, 2 * CHUNK);
        let other = sealed_with(algorithm, [9; NONCE_BYTES], 2 * CHUNK);
        let head = head_bytes(&file);
        file[head..head + SEALED_CHUNK].copy_from_slice(&other[head..head + SEALED_CHUNK]);
        assert!(matches!(opened(algorithm, &file), Err(SealedFileError::NotAuthentic { chunk: 0 })));
    }
}

#[test]
fn every_flipped_header_bit_is_noticed() {
    for algorithm in BOTH {
        let file = sealed(algorithm, 10);
        for at in 0..head_bytes(&file) {
            for bit in 0..8 {
                let mut forged = file.clone();
                forged[at] ^= 1 << bit;
                assert!(opened(algorithm, &forged).is_err(), "byte {at} bit {bit}");
            }
        }
    }
}

#[test]
fn a_header_that_says_the_same_in_other_bytes_is_noticed() {
    let file = sealed(Algorithm::Aes256, 10);
    let head = head_bytes(&file);
    let json = [&file[12..head], b" "].concat();
    let length = (json.len() as u32).to_be_bytes();
    let forged = [MAGIC.as_slice(), &length, &json, &file[head..]].concat();
    assert!(matches!(opened(Algorithm::Aes256, &forged), Err(SealedFileError::NotAuthentic { chunk: 0 })));
}

#[test]
fn a_flip_names_its_chunk() {
    for algorithm in BOTH {
        let file = sealed(algorithm, 2 * CHUNK + 100);
        let head = head_bytes(&file);
        for (chunk, bytes) in [(0, SEALED_CHUNK), (1, SEALED_CHUNK), (2, 116)] {
            for at in [0, bytes / 2, bytes - TAG_BYTES, bytes - 1] {
                let mut forged = file.clone();
                forged[head + chunk as usize * SEALED_CHUNK + at] ^= 1;
                let found = opened(algorithm, &forged);
                assert!(
                    matches!(found, Err(SealedFileError::NotAuthentic { chunk: c }) if c == chunk),
                    "{chunk} {at}"
                );
            }
        }
    }
}

#[test]
fn nothing_behind_a_bad_chunk_is_written() {
    let mut file = sealed(Algorithm::Aes256, 3 * CHUNK);
    let at = head_bytes(&file) + SEALED_CHUNK;
    file[at] ^= 1;
    let mut rest = file.as_slice();
    let (header, binding) = read_header(&mut rest).expect("header");
    let mut output = Vec::new();
    let key = data_key(Algorithm::Aes256);
    assert!(open(&header, &binding, &key, &mut rest, &mut output, &mut |_| ()).is_err());
    assert_eq!(output, plain(3 * CHUNK)[..CHUNK]);
}

#[test]
fn the_wrong_data_key_does_not_open() {
    for algorithm in BOTH {
        let file = sealed(algorithm, 100);
        let mut key = data_key(algorithm);
        key[0] ^= 1;
        assert!(matches!(opened_under(&key, &file), Err(SealedFileError::NotAuthentic { chunk: 0 })));
        let found = opened_under(&key[1..], &file);
        assert!(matches!(found, Err(SealedFileError::DataKeyLength { bytes, .. }) if bytes == key.len() - 1));
    }
}

#[test]
fn an_empty_last_chunk_behind_a_full_one_is_refused() {
    let (head, binding) = Header {
        algorithm: Algorithm::Sm4,
        chunk_bytes: 4,
        cmk_uuid: String::new(),
        key_version_id: String::new(),
        ciphertext_blob: String::new(),
        nonce: NONCE,
    }
    .encode()
    .expect("header");
    let cipher = Cipher::new(Algorithm::Sm4, &data_key(Algorithm::Sm4), NONCE).expect("key length");
    let (mut full, mut empty) = (b"abcd".to_vec(), Vec::new());
    cipher.encrypt(0, false, &binding, &mut full);
    cipher.encrypt(1, true, &binding, &mut empty);
    let found = opened(Algorithm::Sm4, &[head, full, empty].concat());
    assert!(matches!(found, Err(SealedFileError::NotAuthentic { chunk: 1 })));
}

#[test]
fn headers_outside_the_limits_are_refused() {
    let with = |json: String| {
        let file = [MAGIC.as_slice(), &(json.len() as u32).to_be_bytes(), json.as_bytes()].concat();
        read_header(&mut file.as_slice()).err()
    };
    let json = |chunk: u64, nonce: &str, more: &str| {
        format!(
            r#"{{"algorithm":"AES_256","chunkBytes":{chunk},"cmkUuid":"","keyVersionId":"","ciphertextBlob":"","nonce":"{nonce}"{more}}}"#
        )
    };
    assert!(with(json(1_048_576, "BwYFBAMCAQ==", "")).is_none());
    assert!(matches!(with(json(0, "BwYFBAMCAQ==", "")), Some(SealedFileError::ChunkBytes { bytes: 0 })));
    assert!(matches!(with(json(1_048_577, "BwYFBAMCAQ==", "")), Some(SealedFileError::ChunkBytes { .. })));
    for bad in [
        json(1, "BwYFBAMC", ""),
        json(1, "BwYFBAMCAQ", ""),
        json(1, "BwYFBAMCAQ==", r#","more":1"#),
        json(1, "BwYFBAMCAQ==", r#","nonce":"BwYFBAMCAQ==""#),
        json(1, "BwYFBAMCAQ==", "").replace("AES_256", "AES_128"),
        json(u64::MAX, "BwYFBAMCAQ==", ""),
    ] {
        assert!(matches!(with(bad.clone()), Some(SealedFileError::HeaderInvalid(_))), "{bad}");
    }
    let long = [MAGIC.as_slice(), &u32::MAX.to_be_bytes()].concat();
    assert!(matches!(read_header(&mut long.as_slice()), Err(SealedFileError::HeaderTooLong { .. })));
    assert!(matches!(read_header(&mut &b"PK\x03\x04 an archive"[..]), Err(SealedFileError::NotSealed)));
    let blob = "A".repeat(HEADER_BYTES_MAX);
    let parts = HeaderParts { ciphertext_blob: &blob, ..parts(Algorithm::Aes256) };
    let key = data_key(Algorithm::Aes256);
    let found = seal(&parts, &key, NONCE, &mut io::empty(), &mut io::sink(), &mut |_| ());
    assert!(matches!(found, Err(SealedFileError::HeaderTooLong { .. })));
}

#[test]
fn the_counter_stops_before_it_would_wrap() {
    let mut next = u32::MAX - 1;
    assert_eq!(take_index(&mut next).expect("the last index"), u32::MAX - 1);
    let refused = take_index(&mut next).expect_err("one too many");
    assert!(matches!(refused, SealedFileError::TooLarge));
    assert!(refused.to_string().contains("4294967295 chunks"));
}

#[test]
fn failures_of_either_side_are_told_apart() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("broken"))
        }
    }
    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::Error::other("broken"))
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (parts, key) = (parts(Algorithm::Sm4), data_key(Algorithm::Sm4));
    let found = seal(&parts, &key, NONCE, &mut Broken, &mut io::sink(), &mut |_| ());
    assert!(matches!(found, Err(SealedFileError::Read(_))));
    let found = seal(&parts, &key, NONCE, &mut io::empty(), &mut Broken, &mut |_| ());
    assert!(matches!(found, Err(SealedFileError::Write(_))));
}
