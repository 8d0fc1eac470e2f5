//! Between HTTP and the gateway: reads a request of bounded size, hands it over in such a way that a client who hangs up
//! cannot stop a call half-way, and wraps the reply.

use std::borrow::Cow;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::HttpMessage as _;
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::Method as HttpMethod;
use actix_web::http::header::{HeaderMap, HeaderValue, UPGRADE, USER_AGENT};
use futures_core::Stream as _;

use super::connections::Connection;
use super::envelope;
use crate::error::{Error, Result};
use crate::gateway::{BODY_BYTES_MAX, Door, Method, Reply, Request};
use crate::model::principal::Plane;

/// Headers that an access-point call is proven by; the OpenAPI plane may sign any header.
const ACCESS_POINT_HEADERS: [&str; 3] = ["accesskey", "requestdate", "hmac"];

/// Serves every path that is not the appliance's own.
pub struct Adapter {
    /// Where calls go.
    pub door: Arc<Door>,
    /// The surface that they come in on.
    pub plane: Plane,
}

impl Adapter {
    /// Serves one request.
    pub async fn serve(
        self: Rc<Self>,
        mut request: ServiceRequest,
    ) -> std::result::Result<ServiceResponse, actix_web::Error> {
        let config = self.door.config();
        let payload = request.take_payload();
        let body = match is_upgrade(&request) {
            true => Err(Error::InvalidBody("the connection cannot change its protocol")),
            false => read_body(payload, Duration::from_secs(config.http.body_seconds)).await,
        };
        let call = Box::new(self.read(&request, body));
        // Nobody reads them again. After the call's commit they would be in no cache; now their memory serves the next request.
        drop(std::mem::take(request.headers_mut()));
        let connection = request.conn_data::<Rc<Connection>>();
        let _working = connection.map(Connection::work);
        let worker = Rc::clone(&self);
        let reply = Surviving::new(async move { worker.door.perform(call).await }).await;
        if reply.result.is_ok()
            && let Some(connection) = connection
        {
            connection.prove();
        }
        let response = envelope::wrap(self.plane, reply, &config.openapi);
        Ok(request.into_response(response))
    }

    fn read(&self, request: &ServiceRequest, body: Result<Vec<u8>>) -> Request {
        Request {
            plane: self.plane,
            source: request.peer_addr().map(|peer| peer.ip()),
            user_agent: request.headers().get(USER_AGENT).map(text).unwrap_or_default(),
            method: match *request.method() {
                HttpMethod::GET => Method::Get,
                HttpMethod::POST => Method::Post,
                _ => Method::Other,
            },
            path: request.path().to_owned(),
            query: request.query_string().to_owned(),
            headers: headers(self.plane, request.headers()),
            body,
        }
    }
}

/// Whether what follows the head is no body, whatever its length is said to be: the client asks for another protocol, and
/// actix-http would read up to the end of the connection. It is not read, so the connection closes after the answer.
fn is_upgrade(request: &ServiceRequest) -> bool {
    let protocols = request.headers().get_all(UPGRADE);
    let mut names = protocols.map(|name| name.as_bytes().trim_ascii());
    names.any(|name| name.eq_ignore_ascii_case(b"websocket")) || *request.method() == HttpMethod::CONNECT
}

/// A call that goes on when nobody waits for it any more: actix-web drops a handler whose client has gone, and a call
/// that is dropped half-way could have changed something without its caller, or its audit record, knowing. While the
/// client waits the call runs in place, which is cheaper than a task of its own.
struct Surviving(Option<Pin<Box<dyn Future<Output = Reply>>>>);

impl Surviving {
    fn new(call: impl Future<Output = Reply> + 'static) -> Self {
        Self(Some(Box::pin(call)))
    }
}

impl Future for Surviving {
    type Output = Reply;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Reply> {
        let Some(call) = self.0.as_mut() else { return Poll::Pending };
        let polled = call.as_mut().poll(context);
        if polled.is_ready() {
            self.0 = None;
        }
        polled
    }
}

impl Drop for Surviving {
    fn drop(&mut self) {
        if let Some(call) = self.0.take()
            && !std::thread::panicking()
        {
            actix_web::rt::spawn(call);
        }
    }
}

/// Reads a body of at most [`BODY_BYTES_MAX`] bytes within `time`.
async fn read_body(payload: Payload, time: Duration) -> Result<Vec<u8>> {
    const SLOW: Error = Error::InvalidBody("the body did not arrive in time");
    let mut reading = pin!(collect(payload));
    // Most bodies came with their head; only the others need a clock.
    match poll_fn(|context| Poll::Ready(reading.as_mut().poll(context))).await {
        Poll::Ready(body) => body,
        Poll::Pending => tokio::time::timeout(time, reading).await.map_err(|_| SLOW)?,
    }
}

/// Puts the parts of a body together. actix-web's own way takes 32 KiB for each, however short it is.
async fn collect(mut payload: Payload) -> Result<Vec<u8>> {
    const BROKEN: Error = Error::InvalidBody("the body could not be read");
    let mut body = Vec::new();
    while let Some(part) = poll_fn(|context| Pin::new(&mut payload).poll_next(context)).await {
        let part = part.map_err(|_| BROKEN)?;
        if body.len() + part.len() > BODY_BYTES_MAX {
            return Err(Error::TooLarge(BODY_BYTES_MAX));
        }
        body.extend_from_slice(&part);
    }
    Ok(body)
}

fn headers(plane: Plane, headers: &HeaderMap) -> Vec<(Cow<'static, str>, String)> {
    let all = headers.iter();
    match plane {
        Plane::AccessPoint => {
            let known = |name: &str| ACCESS_POINT_HEADERS.iter().find(|known| **known == name);
            let known = all.filter_map(|(name, value)| Some((known(name.as_str())?, value)));
            known.map(|(name, value)| (Cow::Borrowed(*name), text(value))).collect()
        }
        Plane::OpenApi | Plane::Internal => {
            all.map(|(name, value)| (Cow::Owned(name.as_str().to_owned()), text(value))).collect()
        }
    }
}

/// A header value as text. Bytes that are no UTF-8 cannot be part of a valid signature and are replaced.
fn text(value: &HeaderValue) -> String {
    match value.to_str() {
        Ok(text) => text.trim().to_owned(),
        Err(_) => String::from_utf8_lossy(value.as_bytes()).trim().to_owned(),
    }
}
