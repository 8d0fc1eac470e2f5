//! Health for load balancers and service managers, and the page at the root. They cost next to nothing, need no
//! signature and leave no audit record.

use actix_web::HttpResponse;
use actix_web::http::header::CONTENT_SECURITY_POLICY;
use actix_web::web::Data;

use crate::gateway::{Door, Readiness};

const PAGE: &str = include_str!("page.html");

/// The process answers.
pub async fn live() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(r#"{"status":"live"}"#)
}

/// The cipher machine is unlocked and passed its self-tests, the store writes, cron ticks.
pub async fn ready(door: Data<Door>) -> HttpResponse {
    let (mut response, body) = match door.readiness() {
        Readiness::Ready => (HttpResponse::Ok(), r#"{"status":"ready"}"#),
        Readiness::Unavailable => (HttpResponse::ServiceUnavailable(), r#"{"status":"unavailable"}"#),
        Readiness::Locked => (HttpResponse::ServiceUnavailable(), r#"{"status":"locked"}"#),
        Readiness::Failed(_) => (HttpResponse::ServiceUnavailable(), r#"{"status":"error"}"#),
    };
    response.content_type("application/json").body(body)
}

/// What a browser shows at the root.
pub async fn page() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
        ))
        .insert_header(("x-content-type-options", "nosniff"))
        .body(PAGE)
}
