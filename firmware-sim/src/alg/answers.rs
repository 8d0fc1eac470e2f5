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
    /// e of annex A: SM3 of Z ‖ `SIGNED`.
    pub(crate) const DIGEST: [u8; 32] =
        hex("f0b43e94ba45accaace692ed534382eb17e6ab5a19ce7b31f4486fdfc0d28640");
    /// `SIGNATURE` as GM/T 0009 section 7 writes it.
    pub(crate) const SIGNATURE_DER: [u8; 72] =
        hex("3046022100f5a03b0648d2c4630eeac513e1bb81a15944da3827d5b74143ac7eaceee720b3\
             022100b1b6aa29df212fd8763182bc0d421ca1bb9038fd1f7f42d4840b69c485bbc1aa");
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
    /// `CIPHERTEXT` as GM/T 0009 section 7 writes it; so does Tongsuo, test/sm2_internal_test.c.
    pub(crate) const CIPHERTEXT_DER: [u8; 126] =
        hex("307c022004ebfc718e8d1798620432268e77feb6415e2ede0e073c0f4f640ecd2e149a73\
             022100e858f9d81e5430a57b36daab8f950a3c64e6ee6a63094d99283aff767e124df0\
             042059983c18f809e262923c53aec295d30383b54e39d609d160afcb1908d0bd8766\
             041321886ca989ca9c7d58087307ca93092d651efa");
}

/// Project Wycheproof, the key of rsa_oaep_2048_sha256_mgf1sha256_test.json, which rsa_pkcs1_2048_sig_gen_test.json,
/// rsa_signature_2048_sha256_test.json and rsa_pss_2048_sha256_mgf1_32_test.json share, and their message "Test".
pub(crate) mod rsa {
    use super::hex;

    pub(crate) const MESSAGE: &[u8] = b"Test";
    /// p ‖ q.
    pub(crate) const PRIMES: [u8; 256] = hex(
        "dc431050f782e894fb5248247d98cb7d58b8d1e24f3b55d041c56e4de086b0d5bb028bda42eeb5d234d5681e5809d415\
         e6a289ad4cfbf78f978f6c35814f50eebff1c5b80a69f788e81e6bab5ddaa78369d659d143ec6f17e79813a575cfad9c\
         569156b90113e2e9110ad9e7b48a1c9348a6e653321191290ea36cfb3a5b18f1bd1a81e7977f9898122273ae3222b598\
         ea5fb19eb4eabc38308a5e32196603b2e500ffb79f5b886816611debc472fac45544070beb057c941378a6868af3b7a0\
         3d3f9880ec47d5e089b94fbde542aba9ae8d72c57088d7abf5b131f39098f7bc160f90536abc9492fd4e06f3ed7299d4\
         b97bb03677207d95669f140cfbc20f25",
    );
    /// SHA-256 of the message.
    pub(crate) const DIGEST: [u8; 32] =
        hex("532eaabd9574880dbf76b9b8cc00832c20a6ec113d682299550d7a6e0f345e25");
    /// rsa_pkcs1_2048_sig_gen_test.json, test 83, and rsa_signature_2048_sha256_test.json, test 3.
    pub(crate) const PKCS1_SIGNATURE: [u8; 256] = hex(
        "264491e844c119f14e425c03282139a558dcdaeb82a4628173cd407fd319f9076eaebc0dd87a1c22e4d17839096886d5\
         8a9d5b7f7aeb63efec56c45ac7bead4203b6886e1faa90e028ec0ae094d46bf3f97efdd19045cfbc25a1abda2432639f\
         9876405c0d68f8edbf047c12a454f7681d5d5a2b54bd3723d193dbad4338baad753264006e2d08931c4b8bb79aa1c9ca\
         d10eb6605f87c5831f6e2b08e002f9c6f21141f5841d92727dd3e1d99c36bc560da3c9067df99fcaf818941f72588be3\
         3032bad22caf6704223bb114d575b6d02d9d222b580005d930e8f40cce9f672eebb634a20177d84351627964b83f2053\
         d736a84ab1a005f63bd5ba943de6205c",
    );
    /// rsa_pss_2048_sha256_mgf1_32_test.json, test 3.
    pub(crate) const PSS_SIGNATURE: [u8; 256] = hex(
        "401eb03cdb47ca88033e3030f6bdecbac8f5c8fc1dd6a13d23d379ed9a2b309891d13d74fea9d21d159b9e6d8f37efa2\
         489962e24555f56dd434ff1d31ce4f9f5abd3f22cbea8b691d6a11e44efb83e2bca155e6a164325e0fde2a8865afd5c9\
         f51161a9d615f62af7ec2e31b3e5ab649c164490d31d88cfae35b84aea7925690f929a144b6d2f48e8fb894a52deecd1\
         b9a6496990c4ecf1588699a42cacd10c53af350514e4291ea9a058e77f101e32c1c0cefa61d945f7bc931f8bd19e7ba3\
         169358a60e5a8b0123bc3199b9fdcafe8e519c41ba675491a27b85e44ef2d77277c10fe107293c8290186913bc9a99b6\
         40d8da041b64f31eab1d35920985f4a5",
    );
    /// What the ciphertext below was made with, found with the private key.
    pub(crate) const OAEP_SHA_256_SEED: [u8; 32] =
        hex("709714b048c369732269a3d8f92302508770a44368014b3a5cb185c0c91d972c");
    /// rsa_oaep_2048_sha256_mgf1sha256_test.json, test 3.
    pub(crate) const OAEP_SHA_256: [u8; 256] = hex(
        "5eab3f0741e63986ed647d53e1cd71df041986900803d0f99c68355d249a15a47dc5b4f70a191477654299e5a2731f3b\
         4eec76dea18262fc696ac794e5f66cbfcddac4472c578e246c26707598055584540b839836b1404c5611ae558a984cee\
         8fd036cea924e0be2474a940f61e0acc14fcae95ebdc59942a9ce9af9a9c81999f7f6815f057ffdc2533cb15d6391d1e\
         2d95f16f9c04209c889a4c359c7d2926d28a66e2b030a416b928d2825627998e5191fb4983a6e65024262d94fc09187a\
         2d78162122433251d1bfcc8e507d06eba2d229c10031261da32ab8ccd15f1c5f9fbf07ed158483d736a110af4b44d6a4\
         da60d6cb519b4454213cf9f0dc560f2b",
    );
    /// What the ciphertext below was made with, found with the private key.
    pub(crate) const OAEP_SHA_1_SEED: [u8; 20] = hex("ad526802a1a9ca1784109606a51feb8a73a0abc8");
    /// Made with `openssl pkeyutl` 3.0.
    pub(crate) const OAEP_SHA_1: [u8; 256] = hex(
        "1d53b8de1f927dd0035920e0b8daa4e86d9f2e17359edd5960725afe479fd7f7e8e47b164354a393784e2c1298a19aac\
         af07bdd2220ca0aa310e83953a7a00a21fe22d23104477ec7bff6deda76172d81eb8e93dfcaba196f403f23f0054e826\
         a1905aa41e3f31335d2c0135cfb8b9004a76c282eeec16e7a0bef404f341a6ea8e4a397dd505c5cdaae93c519113a548\
         9b0324989dca4af8a030aaa16faf7f7469b8926723a2754d30efb68ffc61a09bdb848396763c209dfda6e6fbe1ee1089\
         d2c45fd5a8fcafe70e65a0f4c895fe953d8c6c5210da2f37285a3201434739d331c783527b3548edaa068cec3471bd6b\
         7310047aed9fba6247731760cc70db35",
    );
    /// Made with `openssl pkeyutl` 3.0.
    pub(crate) const PKCS1: [u8; 256] = hex(
        "53c3a8871dc415560139710eeb78dca1ce3c31cb9c57ab409c17be55e23efcf57a5ad19b3d322ca5c069fa7f47c23728\
         9521acb595a5e76bc933d4abc722d2f55fa967603ced495121104fa24f51e973824718e2fa0a71568eb13b3136dece23\
         0427c5892130b6be433ca1be210aac86839cbff1e4f253329b90d75e64ab4a1565f5eb60b725cd2d5c8a7c122609156c\
         c378de6977329a0b704e72b8dfd1a19a3c2ed9833a6af3b2a8bb45e3500fcb0c90e555721ad4a058d603304a2bc7d547\
         68118c90b13a48a2901fd1a5a1cbd62ec87176698a45873ac97cde0b5c86988a5b41633b1d5900365fde00f57f00c85a\
         8a69139661378adb564b1610103bd1ac",
    );
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
