//! SM2: the example of GM/T 0003.5, Botan, Tongsuo. Botan's vectors of encryption, and most of its signatures, are on other
//! curves than the recommended one or with SHA-256: they fit no adapter.

use sm2::pkcs8::der::asn1::AnyRef;
use sm2::pkcs8::der::{Decode, Encode};
use sm2::pkcs8::{DecodePrivateKey, Document};

use super::{Count, bytes, groups, hex, json, read, value};
use crate::alg::public_key;
use crate::alg::sm2::{
    PrivateKey, SigningKey, decode_public, decode_signature, encode_public, encrypt_encoded, verify,
};
use crate::alg::sm3;
use crate::entropy::Fixed;
use crate::material::Material;

fn private(number: &[u8]) -> PrivateKey {
    PrivateKey::from_material(Material::copy_of(number)).expect("a number in range")
}

/// e of GB/T 32918.2 section 6 for any identity: what callers of the service compute.
fn digest(public: &[u8; 65], identity: &[u8], message: &[u8]) -> [u8; 32] {
    let curve = hex(concat!(
        "fffffffeffffffffffffffffffffffffffffffff00000000fffffffffffffffc",
        "28e9fa9e9d9f5e344d5a9e4bcf6509a7f39789f515ab8f92ddbcbd414d940e93",
        "32c4ae2c1f1981195f9904466a39c9948fe30bbff2660be1715a4589334c74c7",
        "bc3736a2f4f6779c59bdcee36b692153d0a9877cc62a474002df32e52139f0a0",
    ));
    let bits = (8 * identity.len() as u16).to_be_bytes();
    let z = sm3::digest(&[&bits, identity, &curve, &public[1..]].concat());
    sm3::digest(&[&z, message].concat())
}

fn verifies(key: &SigningKey, digest: &[u8; 32], signature: &[u8]) -> bool {
    decode_signature(signature).is_ok_and(|signature| key.verify_digest(digest, &signature).is_ok())
}

#[test]
fn gmt_0003_5() {
    let Some(file) = json("gmt0003_5_sm2.json") else { return };
    let (key, mut count) = (private(&bytes(&file, "priv")), Count::default());
    let (public, signing) = (key.public(), key.signing_key());
    let (sign, encryption) = (&file["sign"], &file["encrypt"]);
    let message = sign["msg_ascii"].as_str().expect("a text").as_bytes();
    let signature: [u8; 64] =
        [bytes(sign, "r"), bytes(sign, "s")].concat().try_into().expect("two numbers of 32 bytes");
    count.add(verify(&public, message, &signature).is_ok(), || "signature".into());
    let e = digest(&public, b"1234567812345678", message);
    count.add(e == crate::alg::answers::sm2::DIGEST, || "e among the known answers".into());
    count.add(verifies(&signing, &e, &signature), || "signature of e".into());
    for identity in [b"".as_slice(), b"1234567812345679", b"ALICE123@YAHOO.COM"] {
        let other = digest(&public, identity, message);
        count.add(!verifies(&signing, &other, &signature), || "another identity".into());
    }
    let (plaintext, der) = (encryption["msg_ascii"].as_str().expect("a text"), bytes(encryption, "ct_der"));
    let opened = key.decrypt_encoded(&der);
    count.add(opened.is_ok_and(|opened| *opened == plaintext.as_bytes()), || "decryption".into());
    let made = encrypt_encoded(&public, plaintext.as_bytes(), &Fixed::new(&bytes(&file, "k")));
    count.add(made.is_ok_and(|made| made == der), || "encryption".into());
    count.finish("gmt_0003_5_sm2", 8);
}

/// On the recommended curve and with SM3 there is one; under the default identity, and with one letter less, it is none.
#[test]
fn botan_sm2_signatures() {
    let Some(text) = read("botan/sm2_sig.vec") else { return };
    let (mut recommended, mut count) = (false, Count::default());
    for group in groups(&text) {
        if let Some(curve) = value(&group, "Oid") {
            recommended = curve == "1.2.156.10197.1.301";
        }
        let fields = ["Ident", "Msg", "x", "Signature"].map(|name| value(&group, name));
        let [Some(identity), Some(message), Some(x), Some(signature)] = fields else { continue };
        if !recommended || value(&group, "Hash") != Some("SM3") {
            continue;
        }
        let x = x.strip_prefix("0x").unwrap_or(x);
        let (key, message, signature) = (private(&hex(x)), hex(message), hex(signature));
        let (public, signing) = (key.public(), key.signing_key());
        let of = |identity: &str| digest(&public, identity.as_bytes(), &message);
        count.add(verifies(&signing, &of(identity), &signature), || identity.into());
        count.add(!verifies(&signing, &of(&identity[1..]), &signature), || "a letter less".into());
        let raw = signature.as_slice().try_into().expect("r ‖ s");
        count.add(verify(&public, &message, raw).is_err(), || "the default identity".into());
    }
    count.finish("botan_sm2_signatures", 3);
}

/// Signatures of digests and ciphertexts as DER, among them coordinates that are shorter and longer than 32 bytes. Those with
/// digests of other lengths and functions test the library's parameters, which the adapter has none of; a digest of another
/// length is no argument here.
#[test]
fn tongsuo_sm2() {
    let Some(text) = read("tongsuo/evppkey_sm2.txt") else { return };
    let pem = text.find("-----BEGIN").zip(text.find("-----END")).expect("a private key");
    let pem = format!("{}-----END PRIVATE KEY-----\n", &text[pem.0..pem.1]);
    let number = sm2::SecretKey::from_pkcs8_pem(&pem).expect("a private key on the curve").to_bytes();
    let (key, mut count) = (private(&number), Count::default());
    let signing = key.signing_key();
    for group in groups(&text) {
        let (Some(input), Some(output)) = (value(&group, "Input"), value(&group, "Output")) else { continue };
        let input = hex(input);
        if value(&group, "Result").is_some() {
            continue;
        }
        if value(&group, "Verify").is_some() {
            let (digest, signature) = (input.try_into().expect("a digest of SM3"), hex(output));
            count.add(verifies(&signing, &digest, &signature), || "verification".into());
            let mut other = digest;
            other[31] ^= 1;
            count.add(!verifies(&signing, &other, &signature), || "another digest".into());
        } else if value(&group, "Decrypt").is_some() {
            let opened = key.decrypt_encoded(&input);
            let expected = output.trim_matches('"').as_bytes();
            count.add(opened.is_ok_and(|opened| *opened == expected), || output.into());
        }
    }
    count.finish("tongsuo_sm2", 8);
}

/// A public key beside its private half.
#[test]
fn tongsuo_public_key() {
    let files = ["tongsuo/certs/sm2pub.key", "tongsuo/certs/sm2.key"].map(read);
    let [Some(public), Some(secret)] = files else { return };
    let der = public_key::der(public.as_bytes()).expect("PEM");
    let point = decode_public(&der).expect("a key on the curve");
    let number = sm2::SecretKey::from_pkcs8_pem(&secret).expect("a private key on the curve").to_bytes();
    let mut count = Count::default();
    count.add(encode_public(&point) == der, || "the same form again".into());
    count.add(private(&number).public() == point, || "its private half".into());
    count.finish("tongsuo_sm2_public_key", 2);
}

/// What is signed, by which key a certificate or a request is for, and its signature.
fn signed(file: &str) -> Option<(Vec<u8>, [u8; 65], [u8; 64])> {
    let text = read(&format!("tongsuo/certs/{file}"))?;
    // The first of several.
    let pem = &text[text.find("-----BEGIN").expect("PEM")..];
    let end = pem.find("-----END").and_then(|end| pem[end..].find('\n').map(|more| end + more));
    let (_, document) = Document::from_pem(&pem[..end.expect("the last line")]).expect("PEM");
    let parts: Vec<AnyRef<'_>> = Decode::from_der(document.as_bytes()).expect("a sequence");
    let [content, _, signature] = parts.try_into().expect("what is signed, how, and a signature");
    let content = content.to_der().expect("the form that it has");
    // The curve, then the point; some name the curve also where others name the kind of key.
    let head = hex("2a811ccf5501822d034200");
    let at = content.windows(head.len()).position(|part| part == head).expect("a public key") + head.len();
    let public = content[at..at + 65].try_into().expect("65 bytes");
    // A string of bits: the first byte counts those that are not used.
    let signature = decode_signature(&signature.value()[1..]).expect("DER of two numbers");
    Some((content, public, signature))
}

/// Certificates and a request under the default identity, those that sign without Z, which must be refused, and others' keys.
#[test]
fn tongsuo_certificates() {
    let mut count = Count::default();
    for (file, issuer, genuine) in [
        ("sm2-root-cert.pem", "sm2-root-cert.pem", true),
        ("sm2-cert.pem", "sm2-root-cert.pem", true),
        ("sm2-first-crt.pem", "sm2-root-cert.pem", true),
        ("sm2-leaf.crt", "sm2-chain-ca.crt", true),
        ("sm2-csr.pem", "sm2-csr.pem", true),
        ("sm2-noza-root-cert.pem", "sm2-noza-root-cert.pem", false),
        ("sm2-noza-cert.pem", "sm2-noza-root-cert.pem", false),
        ("sm2-noza-csr.pem", "sm2-noza-csr.pem", false),
        ("sm2-leaf.crt", "sm2-leaf.crt", false),
        ("sm2-cert.pem", "sm2-cert.pem", false),
    ] {
        let (Some((content, _, signature)), Some((_, public, _))) = (signed(file), signed(issuer)) else {
            return;
        };
        let verified = verify(&public, &content, &signature).is_ok();
        count.add(verified == genuine, || format!("{file} by {issuer}"));
    }
    count.finish("tongsuo_sm2_certificates", 10);
}
