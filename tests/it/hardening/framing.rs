//! Requests whose end is a matter of opinion. Each carries a signed call that would make a key: behind the outer request,
//! inside of its body, or where opinions differ. The service must see it in one place only, the same one as everybody
//! who goes by RFC 9112, or refuse the lot and hang up.

use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use super::wire::{Response, connector, ended, exchange, responses, tls};
use super::{Target, attack};
use crate::kit::new_id;
use crate::ledger::figure;

/// What must become of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// The framing is refused by 4xx at the latest after the head was answered, the connection ends, nothing hidden is executed.
    Refused,
    /// The outer request is answered; what is hidden is its body, or comes after the last request and may get 400.
    Hidden,
    /// Two requests, in this order.
    Both,
}

use Fate::{Both, Hidden, Refused};

/// A head line that is not the usual one, an outer request up to where the inner one begins, and its fate.
type Case = (&'static str, Vec<u8>, Fate);

/// An outer request with these header lines, each with its line end, and these bytes after the head.
fn post(lines: &str, rest: &str) -> Vec<u8> {
    format!("POST /v1/none HTTP/1.1\r\nHost: a\r\n{lines}\r\n{rest}").into_bytes()
}

/// Lengths that are none, are two, or are written unusually.
fn lengths(inner: usize) -> Vec<Case> {
    let one = |line: &str| post(&format!("{line}\r\n"), "hello");
    vec![
        ("no length", post("", ""), Both),
        ("length 0", post("Content-Length: 0\r\n", ""), Both),
        ("length of what follows", one("Content-Length: 5"), Both),
        ("length of the inner request", post(&format!("Content-Length: {inner}\r\n"), ""), Hidden),
        ("twice the same", one("Content-Length: 5\r\nContent-Length: 5"), Refused),
        ("twice different", one("Content-Length: 5\r\nContent-Length: 50"), Refused),
        ("zero and five", one("Content-Length: 0\r\nContent-Length: 5"), Refused),
        ("a list", one("Content-Length: 5, 5"), Refused),
        ("plus", one("Content-Length: +5"), Refused),
        ("minus", one("Content-Length: -5"), Refused),
        ("minus zero", one("Content-Length: -0"), Refused),
        ("hexadecimal", one("Content-Length: 0x5"), Refused),
        ("exponent", one("Content-Length: 5e0"), Refused),
        ("fraction", one("Content-Length: 5.0"), Refused),
        ("space inside", one("Content-Length: 5 0"), Refused),
        ("nothing", one("Content-Length:"), Refused),
        ("blank", one("Content-Length:  \t"), Refused),
        ("quoted", one("Content-Length: \"5\""), Refused),
        ("parameter", one("Content-Length: 5;a=b"), Refused),
        ("other digits", one("Content-Length: \u{ff15}"), Refused),
        ("above 64 bits", one("Content-Length: 18446744073709551621"), Refused),
        ("64 bits", one("Content-Length: 18446744073709551615"), Hidden),
        ("63 bits", one("Content-Length: 9223372036854775808"), Hidden),
        ("leading zeros", one("Content-Length: 0005"), Both),
        ("tab and blanks around", one("Content-Length:\t 5 \t"), Both),
        ("upper case", one("CONTENT-LENGTH: 5"), Both),
        ("an underscore is another name", post("Content_Length: 5\r\n", ""), Both),
        ("space before the colon", one("Content-Length : 5"), Refused),
        ("tab before the colon", one("Content-Length\t: 5"), Refused),
        ("a name with NUL", one("Content-Length\0: 5"), Refused),
        ("a value with NUL", one("Content-Length: 5\0"), Refused),
        ("a value with CR", one("Content-Length: 5\rX: y"), Refused),
        ("a value with vertical tab", one("Content-Length: \u{b}5"), Refused),
    ]
}

/// What the transfer may be encoded by.
fn encodings() -> Vec<Case> {
    let one = |line: &str| post(&format!("{line}\r\n"), "5\r\nhello\r\n0\r\n\r\n");
    let empty = |lines: &str| post(lines, "0\r\n\r\n");
    vec![
        ("chunked", one("Transfer-Encoding: chunked"), Both),
        ("in upper case", one("TRANSFER-ENCODING: CHUNKED"), Both),
        ("tab and blanks around", one("Transfer-Encoding:\t chunked \t"), Both),
        ("and a length", empty("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), Refused),
        ("after a length", empty("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), Refused),
        ("after a length of 0", empty("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n"), Refused),
        ("and a broken length", empty("Transfer-Encoding: chunked\r\nContent-Length: x\r\n"), Refused),
        ("then identity", one("Transfer-Encoding: chunked, identity"), Refused),
        ("after identity", one("Transfer-Encoding: identity, chunked"), Refused),
        ("after gzip", one("Transfer-Encoding: gzip, chunked"), Refused),
        ("twice in a list", one("Transfer-Encoding: chunked, chunked"), Refused),
        ("twice", one("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), Refused),
        ("and identity", one("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"), Refused),
        ("identity and chunked", one("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked"), Refused),
        ("identity alone", one("Transfer-Encoding: identity"), Refused),
        ("nothing", one("Transfer-Encoding:"), Refused),
        ("xchunked", one("Transfer-Encoding: xchunked"), Refused),
        ("quoted", one("Transfer-Encoding: \"chunked\""), Refused),
        ("parameter", one("Transfer-Encoding: chunked;q=1"), Refused),
        ("comma before", one("Transfer-Encoding: ,chunked"), Refused),
        ("vertical tab", one("Transfer-Encoding: \u{b}chunked"), Refused),
        ("no-break space", one("Transfer-Encoding: \u{a0}chunked"), Refused),
        ("CR in it", one("Transfer-Encoding: \rchunked"), Refused),
        ("NUL behind it", one("Transfer-Encoding: chunked\0"), Refused),
        ("space before the colon", one("Transfer-Encoding : chunked"), Refused),
        ("folded value", one("Transfer-Encoding:\r\n chunked"), Refused),
        ("folded by tab", one("X: y\r\n\tTransfer-Encoding: chunked"), Refused),
        ("folded length", one("X: y\r\n Content-Length: 5"), Refused),
    ]
}

/// Chunks as they should not be, and as they seldom are.
fn chunks() -> Vec<Case> {
    let body = |text: &str| post("Transfer-Encoding: chunked\r\n", text);
    vec![
        ("no digit", body("g\r\nhello\r\n0\r\n\r\n"), Refused),
        ("minus", body("-5\r\nhello\r\n0\r\n\r\n"), Refused),
        ("plus", body("+5\r\nhello\r\n0\r\n\r\n"), Refused),
        ("0x", body("0x5\r\nhello\r\n0\r\n\r\n"), Refused),
        ("space before", body(" 5\r\nhello\r\n0\r\n\r\n"), Refused),
        ("space inside", body("5 5\r\nhello\r\n0\r\n\r\n"), Refused),
        ("space behind", body("5 \r\nhello\r\n0\r\n\r\n"), Both),
        ("empty size", body("\r\nhello\r\n0\r\n\r\n"), Refused),
        ("above 64 bits", body("10000000000000005\r\nhello\r\n0\r\n\r\n"), Refused),
        ("64 bits", body("ffffffffffffffff\r\n"), Hidden),
        ("capital digits", body("A\r\nhellohello\r\n0\r\n\r\n"), Both),
        ("no line end after the data", body("5\r\nhello0\r\n\r\n"), Refused),
        ("more data than said", body("5\r\nhello, world\r\n0\r\n\r\n"), Refused),
        ("bare LF after the size", body("5\nhello\r\n0\r\n\r\n"), Refused),
        ("bare CR after the size", body("5\rhello\r\n0\r\n\r\n"), Refused),
        ("bare LF after the data", body("5\r\nhello\n0\r\n\r\n"), Refused),
        ("bare LF at the end", body("5\r\nhello\r\n0\n\n"), Refused),
        ("extension", body("5;a=b\r\nhello\r\n0\r\n\r\n"), Both),
        ("extension with LF", body("5;a\nb\r\nhello\r\n0\r\n\r\n"), Refused),
        ("extension with NUL", body("5;a\0\r\nhello\r\n0\r\n\r\n"), Refused),
        ("trailer", body("5\r\nhello\r\n0\r\nX: y\r\n\r\n"), Both),
        // What follows is a trailer up to its empty line, then bytes that are no request.
        ("no end after the last chunk", body("0\r\n"), Refused),
        ("LF for the end of the trailers", body("0\r\n\n"), Refused),
    ]
}

/// First lines and other heads.
fn heads() -> Vec<Case> {
    let line = |line: &str| format!("{line}\r\nHost: a\r\n\r\n").into_bytes();
    let with = |lines: &str| post(lines, "");
    let long = format!("GET /{} HTTP/1.1", "a".repeat(200_000));
    vec![
        ("version 0.9", b"GET /\r\n".to_vec(), Refused),
        ("version 1.0", b"GET /none HTTP/1.0\r\n\r\n".to_vec(), Hidden),
        ("version 1.0, post, no length", b"POST /none HTTP/1.0\r\n\r\n".to_vec(), Refused),
        (
            "version 1.0, chunked",
            b"POST /none HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_vec(),
            Refused,
        ),
        ("version 1.2", line("GET /none HTTP/1.2"), Refused),
        ("version 2.0", line("GET /none HTTP/2.0"), Refused),
        ("version in lower case", line("GET /none http/1.1"), Refused),
        ("preface of version 2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), Refused),
        ("method in lower case", line("get /none HTTP/1.1"), Both),
        ("unknown method", line("BREW /none HTTP/1.1"), Both),
        ("method with a control character", line("GE\u{1}T /none HTTP/1.1"), Refused),
        ("no target", line("GET HTTP/1.1"), Refused),
        ("two spaces", line("GET  /none HTTP/1.1"), Refused),
        ("tabs", line("GET\t/none\tHTTP/1.1"), Refused),
        ("NUL in the target", line("GET /no\0ne HTTP/1.1"), Refused),
        ("space in the target", line("GET /no ne HTTP/1.1"), Refused),
        ("absolute target", line("GET https://a/none HTTP/1.1"), Both),
        ("absolute target of another host", line("GET https://b/none HTTP/1.1"), Both),
        ("a target that is a host", line("GET a:443 HTTP/1.1"), Both),
        ("asterisk", line("OPTIONS * HTTP/1.1"), Both),
        ("too long a line", line(&long), Refused),
        ("empty line before", b"\r\nGET /none HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), Both),
        ("space before", line(" GET /none HTTP/1.1"), Refused),
        // RFC 9112 section 2.2 lets a server take LF alone for a line end; then it does so everywhere in the head.
        ("LF for every line end", b"GET /none HTTP/1.1\nHost: a\n\n".to_vec(), Both),
        ("LF before a length", post("X: y\nContent-Length: 5\r\n", "hello"), Both),
        (
            "LF before both framings",
            post("X: y\nContent-Length: 5\nTransfer-Encoding: chunked\r\n", ""),
            Refused,
        ),
        ("CR for every line end", b"GET /none HTTP/1.1\rHost: a\r\r".to_vec(), Refused),
        ("no host", b"GET /none HTTP/1.1\r\n\r\n".to_vec(), Refused),
        ("two hosts", with("Host: b\r\n"), Refused),
        ("the same host twice", with("Host: a\r\n"), Refused),
        ("a line without a colon", with("nonsense\r\n"), Refused),
        ("a line without a name", with(": a\r\n"), Refused),
        ("a bracket in a name", with("X[: a\r\n"), Refused),
        ("blank before the first name", b"GET /none HTTP/1.1\r\n Host: a\r\n\r\n".to_vec(), Refused),
        ("a request that wants to be the last", with("Connection: close\r\n"), Hidden),
        ("connect", line("CONNECT a:443 HTTP/1.1"), Hidden),
        ("another protocol", with("Connection: upgrade\r\nUpgrade: websocket\r\n"), Hidden),
        ("another protocol, not by name", with("Upgrade: WebSocket\r\n"), Hidden),
        (
            "another protocol and a length",
            post("Upgrade: websocket\r\nContent-Length: 5\r\n", "hello"),
            Hidden,
        ),
        ("a protocol that nobody speaks", with("Connection: upgrade\r\nUpgrade: h2c\r\n"), Both),
    ]
}

/// Methods that usually have no body, with the inner request for a body.
fn bodies(inner: usize) -> Vec<Case> {
    let with = |method: &str| {
        format!("{method} /none HTTP/1.1\r\nHost: a\r\nContent-Length: {inner}\r\n\r\n").into_bytes()
    };
    let expect = format!("Expect: 100-continue\r\nContent-Length: {inner}\r\n");
    vec![
        ("GET", with("GET"), Hidden),
        ("DELETE", with("DELETE"), Hidden),
        ("OPTIONS", with("OPTIONS"), Hidden),
        ("unknown", with("BREW"), Hidden),
        ("expected", post(&expect, ""), Hidden),
    ]
}

/// Whether the responses are those of this fate.
fn fits(fate: Fate, responses: &[Response]) -> bool {
    let statuses: Vec<u16> = responses.iter().map(|response| response.status).collect();
    let outer = |status: u16| (400..500).contains(&status);
    match (fate, statuses.as_slice()) {
        (Refused, []) => true,
        // The head was answered before the body turned out to be broken.
        (Refused, [one]) => outer(*one),
        (Refused, [one, two]) => outer(*one) && *two == 400,
        (Hidden, [one]) => outer(*one),
        (Hidden, [one, two]) => outer(*one) && *two == 400,
        (Both, [one, two]) => outer(*one) && *two == 200,
        (Refused | Hidden | Both, _) => false,
    }
}

#[test]
fn a_request_has_one_end() {
    let target = Target::start(&[]);
    let inner = |alias: &str| {
        let request = target
            .admin
            .request("/cmkManage/createKey", json!({ "aliasName": alias }).to_string().as_bytes());
        let authorization = request.authorization();
        let lines =
            request.headers(&authorization).map(|(name, value)| format!("{name}: {value}\r\n")).concat();
        let length = request.body.len();
        let head =
            format!("POST {} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n{lines}\r\n", request.path);
        [head.into_bytes(), request.body].concat()
    };
    let length = inner(&format!("alias/{}", new_id())).len();
    let cases = [lengths(length), encodings(), chunks(), heads(), bodies(length)].concat();
    let mut wrong = Vec::new();
    attack(async {
        let connector = connector(&[]);
        for (number, (name, outer, fate)) in cases.iter().enumerate() {
            let alias = format!("alias/{}", new_id());
            let bytes = [outer.as_slice(), &inner(&alias)].concat();
            let endpoint = &target.admin.endpoint;
            let responses = exchange(endpoint, &connector, &bytes, name).await;
            let answer = target.admin.call("/keyManage/describeKey", json!({ "cmkUuid": alias }));
            let executed = answer.success().is_some();
            assert!(executed || answer.code() == "KMS.9003", "{answer:?}");
            if !fits(*fate, &responses) || executed != (*fate == Both) {
                wrong.push(format!("{number} {name}: {fate:?}, executed {executed}: {responses:#?}"));
            }
        }
    });
    figure("framing", format!("{} requests, {}", cases.len(), wrong.len()), "ambiguous accepted");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What comes after it would be the other protocol: there is no body to wait for.
#[test]
fn another_protocol_is_refused_at_once() {
    let target = Target::start(&[("YAOKU_HTTP_BODY_SECONDS", "600")]);
    let request = target.admin.request("/get/messageDigest", b"");
    let authorization = request.authorization();
    let lines = request.headers(&authorization).map(|(name, value)| format!("{name}: {value}\r\n")).concat();
    attack(async {
        for upgrade in
            ["Upgrade: websocket", "Connection: upgrade\r\nUpgrade: WebSocket\r\nContent-Length: 0"]
        {
            let head = format!("POST {} HTTP/1.1\r\nHost: a\r\n{upgrade}\r\n{lines}\r\n", request.path);
            let mut stream = tls(&target.admin.endpoint, &connector(&[])).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            let answers = responses(&ended(&mut stream, upgrade).await);
            assert_eq!(answers.len(), 1, "{answers:?}");
            assert!(answers[0].body.contains("cannot change its protocol"), "{answers:?}");
        }
    });
}
