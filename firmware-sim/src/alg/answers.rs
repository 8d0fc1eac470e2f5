//! Published vectors, each with its source: the start-up tests of the machine and the unit tests of the adapters read them
//! from here. Imports nothing.

/// Reads hexadecimal digits while the program is compiled.
const fn hex<const N: usize>(text: &str) -> [u8; N] {
    let digits = text.as_bytes();
    assert!(digits.len() == 2 * N, "two digits a byte");
    let mut bytes = [0; N];
    let mut at = 0;
    while at < N {
        bytes[at] = digit(digits[2 * at]) << 4 | digit(digits[2 * at + 1]);
        at += 1;
    }
    bytes
}

const fn digit(character: u8) -> u8 {
    match character {
        b'0'..=b'9' => character - b'0',
        b'a'..=b'f' => character - b'a' + 10,
        _ => panic!("not a lower-case hexadecimal digit"),
    }
}

/// FIPS 180-4, by the examples of NIST's Cryptographic Standards and Guidelines: SHA-256 of "abc".
pub(crate) const SHA_256: [u8; 32] = hex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");

/// GB/T 32905-2016 appendix A.1: SM3 of "abc".
pub(crate) const SM3: [u8; 32] = hex("66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0");

/// RFC 4231 section 4.3, test case 2: key "Jefe", message "what do ya want for nothing?".
pub(crate) const HMAC_SHA_256: [u8; 32] =
    hex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");

/// Project Wycheproof, hmac_sm3_test.json, test 12.
pub(crate) mod hmac_sm3 {
    use super::hex;

    pub(crate) const KEY: [u8; 32] = hex("835bc8241ed817735ec9d3d0e2df4c173ee4dded4a8ef0c04a96c48f11820463");
    pub(crate) const MESSAGE: [u8; 11] = hex("26f8083e944bacf04e9a4d");
    pub(crate) const TAG: [u8; 32] = hex("a8eb43dc04970632ba50eb5114b5e495f3142a5735e717338b4822bf57b228ee");
}

/// RFC 5869 appendix A.1. With SM3, which the RFC has no case of, the same input gives what
/// `openssl kdf -kdfopt digest:SM3 … HKDF` of OpenSSL 3.0 prints.
pub(crate) mod hkdf {
    use super::hex;

    pub(crate) const KEY: [u8; 22] = [0x0b; 22];
    pub(crate) const SALT: [u8; 13] = hex("000102030405060708090a0b0c");
    pub(crate) const INFO: [u8; 10] = hex("f0f1f2f3f4f5f6f7f8f9");
    pub(crate) const SHA_256: [u8; 42] =
        hex("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
    pub(crate) const SM3: [u8; 42] =
        hex("c69fe91b7aaee2dd5718d72dcaee0cce93f1b8e41f792da51261b6a517e68b36ed2c595572b01dfa359b");
}

/// The reference implementation of RFC 9106 (phc-winner-argon2, src/test.c), Argon2id version 0x13: 2 passes over 256 KiB,
/// 1 lane, "password", "somesalt". The cheapest published one; those of the RFC need a secret, which the machine uses none of.
pub(crate) const ARGON2ID: [u8; 32] = hex("9dfeb910e80bad0311fee20f9c0e2b12c17987b4cac90c2ef54d5b3021c68bfe");

/// The GCM specification (McGrew and Viega), appendix B, test case 16.
pub(crate) mod aes_gcm {
    use super::hex;

    pub(crate) const KEY: [u8; 32] = hex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308");
    pub(crate) const NONCE: [u8; 12] = hex("cafebabefacedbaddecaf888");
    pub(crate) const ASSOCIATED: [u8; 20] = hex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
    pub(crate) const PLAINTEXT: [u8; 60] =
        hex("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72\
                                                1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39");
    /// Ciphertext ‖ tag.
    pub(crate) const SEALED: [u8; 76] =
        hex("522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa\
                                             8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662\
                                             76fc6ece0f4e1768cddf8853bb2d551b");
}

/// RFC 8452 appendix C.2: AES-256-GCM-SIV, 8 bytes of plaintext, 1 byte of additional data.
pub(crate) mod aes_gcm_siv {
    use super::hex;

    pub(crate) const KEY: [u8; 32] = hex("0100000000000000000000000000000000000000000000000000000000000000");
    pub(crate) const NONCE: [u8; 12] = hex("030000000000000000000000");
    pub(crate) const ASSOCIATED: [u8; 1] = [1];
    pub(crate) const PLAINTEXT: [u8; 8] = hex("0200000000000000");
    /// Ciphertext ‖ tag.
    pub(crate) const SEALED: [u8; 24] = hex("1de22967237a813291213f267e3b452f02d01ae33e4ec854");
}

/// RFC 8998 appendix A.1.
pub(crate) mod sm4_gcm {
    use super::hex;

    pub(crate) const KEY: [u8; 16] = hex("0123456789abcdeffedcba9876543210");
    pub(crate) const NONCE: [u8; 12] = hex("00001234567800000000abcd");
    pub(crate) const ASSOCIATED: [u8; 20] = hex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
    pub(crate) const PLAINTEXT: [u8; 64] = hex(
        "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbccccccccccccccccdddddddddddddddd\
                                                eeeeeeeeeeeeeeeeffffffffffffffffeeeeeeeeeeeeeeeeaaaaaaaaaaaaaaaa",
    );
    /// Ciphertext ‖ tag.
    pub(crate) const SEALED: [u8; 80] =
        hex("17f399f08c67d5ee19d0dc9969c4bb7d5fd46fd3756489069157b282bb200735\
                                             d82710ca5c22f0ccfa7cbf93d496ac15a56834cbcf98c397b4024a2691233b8d\
                                             83de3541e4c2b58177e065a9bf7b62ec");
}

/// GB/T 32918.5-2017 annexes A (signature) and C (encryption).
pub(crate) mod sm2 {
    use super::hex;

    pub(crate) const PRIVATE: [u8; 32] =
        hex("3945208f7b2144b13f36e38ac6d39f95889393692860b51a42fb81ef4df7c5b8");
    pub(crate) const NONCE: [u8; 32] =
        hex("59276e27d506861a16680f3ad9c02dccef3cc1fa3cdbe4ce6d54b80deac1bc21");
    pub(crate) const SIGNED: &[u8] = b"message digest";
    pub(crate) const SIGNATURE: [u8; 64] = hex(
        "f5a03b0648d2c4630eeac513e1bb81a15944da3827d5b74143ac7eaceee720b3\
                                                b1b6aa29df212fd8763182bc0d421ca1bb9038fd1f7f42d4840b69c485bbc1aa",
    );
    /// Ours: what the adapter makes of `SIGNED` when `NONCE` is the entropy, which it mixes with key and digest as RFC 6979
    /// says. A unit test has OpenSSL verify it.
    pub(crate) const MADE_SIGNATURE: [u8; 64] =
        hex("354ab2243ced81e5a2077b64e9b23855f90c47c69cb765558a74647a5c2c3f88\
             938da175ac98ed98b3fbe91ab9f03b06d2d77388a6259402f1f1c00c62620af0");
    pub(crate) const PLAINTEXT: &[u8] = b"encryption standard";
    pub(crate) const CIPHERTEXT: [u8; 116] =
        hex("0404ebfc718e8d1798620432268e77feb6415e2ede0e073c0f4f640ecd2e149a73\
             e858f9d81e5430a57b36daab8f950a3c64e6ee6a63094d99283aff767e124df0\
             59983c18f809e262923c53aec295d30383b54e39d609d160afcb1908d0bd8766\
             21886ca989ca9c7d58087307ca93092d651efa");
}

/// Frames of contract section 1.3, computed from its text with Python's `hashlib`, `hmac` and `cryptography`: key version
/// 00 01 02 …, key id 10 11 …, version id a0 a1 …, the salt below, "hello yaoku", for the account and context of the tests.
pub(crate) mod frame {
    use super::hex;

    pub(crate) const SALT: [u8; 16] = hex("404142434445464748494a4b4c4d4e4f");
    pub(crate) const PLAINTEXT: &[u8] = b"hello yaoku";
    pub(crate) const ACCOUNT: &str = "0123456789abcdef0123456789abcdef";
    pub(crate) const CONTEXT: [(&str, &str); 2] = [("purpose", "test"), ("app", "钥库")];
    /// Everything behind the header.
    pub(crate) const AES_256: [u8; 76] =
        hex("01404142434445464748494a4b4c4d4e4f5e795c6b7811ac8c39029c82dfe0c926dff7a9312149d4ad60afa83b2c8b\
             b901a72b807f56199dc3656e64de9de82198dee99ea7decf384e88117b");
    /// Everything behind the header.
    pub(crate) const SM4: [u8; 76] =
        hex("01404142434445464748494a4b4c4d4e4f2cbac3fa3bec0a6a014ccfa6b87ad243c6c4c3bf01d8a93302d5134cd343\
             ebea8c26d820dfb18d9348da96708d03aed92ddde91f567db7624a7831");
}
