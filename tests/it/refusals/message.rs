//! Requests of both planes as they go over the wire, whole, so that a test can spoil any part of one.

use serde_json::{Map, Value};
use ureq::Agent;
use yaoku::env::Timestamp;
use yaoku::model::principal::Plane;

use crate::kit::{AccessPoint, Answer, EopRequest, OpenApi, access_point_date, eop_date, send};

/// The fields of a request.
pub type Body = Map<String, Value>;

/// Who calls, on the plane of their credential.
#[derive(Clone)]
pub enum Caller {
    Person(OpenApi),
    Application(AccessPoint),
}

/// A request, signed.
#[derive(Clone)]
pub struct Message {
    pub method: &'static str,
    pub url: String,
    pub headers: Vec<(&'static str, String)>,
    pub bytes: Vec<u8>,
}

impl Caller {
    pub fn plane(&self) -> Plane {
        match self {
            Self::Person(_) => Plane::OpenApi,
            Self::Application(_) => Plane::AccessPoint,
        }
    }

    /// The credential as it signs: access key and secret key.
    pub fn credential(&mut self) -> (&mut String, &mut String) {
        match self {
            Self::Person(person) => (&mut person.access_key, &mut person.secret_key),
            Self::Application(application) => (&mut application.access_key, &mut application.secret_key),
        }
    }

    fn now(&self) -> Timestamp {
        match self {
            Self::Person(person) => person.clock.now(),
            Self::Application(application) => application.clock.now(),
        }
    }

    /// A correct call of a whole path.
    pub fn post(&self, path: &str, body: &Body) -> Message {
        self.message("POST", path, body, Value::Object(body.clone()).to_string().as_bytes(), 0)
    }

    /// A correct call that reads: the fields stand in the query.
    pub fn get(&self, path: &str, body: &Body) -> Message {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let pairs = body.iter().map(|(name, value)| format!("{name}={}", percent_encoded(&text(value))));
        let query = pairs.collect::<Vec<_>>().join("&");
        let mark = if query.is_empty() { "" } else { "?" };
        self.message("GET", &format!("{path}{mark}{query}"), body, b"", 0)
    }

    /// A call dated this many seconds from now, signed for `body` and carrying `bytes`. The person's signature covers the
    /// bytes, the application's the values of the fields.
    pub fn message(
        &self,
        method: &'static str,
        target: &str,
        body: &Body,
        bytes: &[u8],
        seconds: i64,
    ) -> Message {
        let at = Timestamp::from_seconds(self.now().seconds() + seconds);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let (endpoint, headers) = match self {
            Self::Person(person) => {
                let request = EopRequest {
                    signed_query: query.to_owned(),
                    date: eop_date(at),
                    ..person.request("", bytes)
                };
                let authorization = request.authorization();
                let headers = request.headers(&authorization).map(|(name, value)| (name, value.to_owned()));
                (&person.endpoint, headers)
            }
            Self::Application(application) => {
                let date = access_point_date(at);
                let mac = application.mac(path, &Value::Object(body.clone()), &date);
                let headers = [
                    ("content-type", "application/json".to_owned()),
                    ("accessKey", application.access_key.clone()),
                    ("requestDate", date),
                    ("hmac", mac),
                ];
                (&application.endpoint, headers)
            }
        };
        let url = format!("{endpoint}{target}");
        Message { method, url, headers: headers.to_vec(), bytes: bytes.to_vec() }
    }
}

impl Message {
    /// The same without one header.
    pub fn without(mut self, plane: Plane, openapi: &str, access_point: &str) -> Self {
        let name = if plane == Plane::OpenApi { openapi } else { access_point };
        self.headers.retain(|(header, _)| *header != name);
        self
    }

    /// Sends it; the answer, and the request id under which the audit trail knows it.
    pub fn send(&self, agent: &Agent) -> (Answer, String) {
        let headers: Vec<(&str, &str)> =
            self.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = send(agent, self.method, &self.url, &headers, &self.bytes);
        let sent = self.headers.iter().find(|(name, _)| *name == "ctyun-eop-request-id");
        let id = sent.map(|(_, id)| id.as_str()).or(answer.header("x-request-id"));
        let id = id.unwrap_or_default().to_owned();
        (answer, id)
    }
}

fn percent_encoded(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    let encode = |byte: u8| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(encode).collect()
}
