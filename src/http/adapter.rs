//! Between HTTP and the gateway: reads a request of bounded size, hands it over in a task of its own, so that a client
//! who hangs up cannot stop a call half-way, and wraps the reply.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::Method as HttpMethod;
use actix_web::http::header::{HeaderMap, HeaderValue, USER_AGENT};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};

use super::envelope;
use crate::error::{Error, Result};
use crate::gateway::{BODY_BYTES_MAX, Gateway, Method, Reply, Request};
use crate::model::principal::Plane;

/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(10);
/// Headers that an access-point call is proven by; the OpenAPI plane may sign any header.
const ACCESS_POINT_HEADERS: [&str; 3] = ["accesskey", "requestdate", "hmac"];

/// Tells the planes apart: the address of the access-point listener.
pub struct AccessPointAddress(pub SocketAddr);

/// Serves every path that is not the appliance's own.
pub async fn serve(
    request: HttpRequest,
    payload: Payload,
    gateway: Data<Gateway>,
    access_point: Data<AccessPointAddress>,
) -> HttpResponse {
    let plane = match request.app_config().local_addr() == access_point.0 {
        true => Plane::AccessPoint,
        false => Plane::OpenApi,
    };
    let body = read_body(payload).await;
    let call = Request {
        plane,
        source: request.peer_addr().map(|peer| peer.ip()),
        user_agent: request.headers().get(USER_AGENT).map(text).unwrap_or_default(),
        method: match *request.method() {
            HttpMethod::GET => Method::Get,
            HttpMethod::POST => Method::Post,
            _ => Method::Other,
        },
        path: request.path().to_owned(),
        query: request.query_string().to_owned(),
        headers: headers(plane, request.headers()),
        body,
    };
    let worker = Arc::clone(&gateway);
    let reply = actix_web::rt::spawn(async move { worker.perform(call).await }).await;
    let reply = reply.unwrap_or_else(|panic| {
        tracing::error!(event = "panic", cause = %panic, "a call ended without an answer");
        Reply { request_id: String::new(), result: Err(Error::internal(panic)) }
    });
    envelope::wrap(plane, reply, &gateway.app().config.openapi)
}

/// Reads a body of at most [`BODY_BYTES_MAX`] bytes within [`BODY_TIME`].
async fn read_body(payload: Payload) -> Result<Vec<u8>> {
    const SLOW: Error = Error::InvalidBody("the body did not arrive in time");
    const BROKEN: Error = Error::InvalidBody("the body could not be read");
    let read = tokio::time::timeout(BODY_TIME, payload.to_bytes_limited(BODY_BYTES_MAX)).await;
    match read.map_err(|_| SLOW)? {
        Ok(Ok(bytes)) => Ok(bytes.to_vec()),
        Ok(Err(_)) => Err(BROKEN),
        Err(_) => Err(Error::TooLarge(BODY_BYTES_MAX)),
    }
}

fn headers(plane: Plane, headers: &HeaderMap) -> Vec<(String, String)> {
    let wanted = |name: &str| plane == Plane::OpenApi || ACCESS_POINT_HEADERS.contains(&name);
    let headers = headers.iter().filter(|(name, _)| wanted(name.as_str()));
    headers.map(|(name, value)| (name.as_str().to_owned(), text(value))).collect()
}

/// A header value as text. Bytes that are no UTF-8 cannot be part of a valid signature and are replaced.
fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).trim().to_owned()
}
