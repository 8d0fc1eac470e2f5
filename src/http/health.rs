//! Health for load balancers and service managers, and the page at the root. They cost next to nothing, need no
//! signature and leave no audit record.

use actix_web::HttpResponse;
use actix_web::http::header::CONTENT_SECURITY_POLICY;
use actix_web::web::Data;

use crate::gateway::Door;

const PAGE: &str = include_str!("page.html");

/// The process answers.
pub async fn live() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(r#"{"status":"live"}"#)
}

/// The cipher machine is unlocked and works, the store writes, cron ticks.
pub async fn ready(door: Data<Door>) -> HttpResponse {
    let (mut response, body) = match door.gateway().map(|gateway| gateway.app().is_ready()) {
        Some(true) => (HttpResponse::Ok(), r#"{"status":"ready"}"#),
        Some(false) => (HttpResponse::ServiceUnavailable(), r#"{"status":"unavailable"}"#),
        None => (HttpResponse::ServiceUnavailable(), r#"{"status":"locked"}"#),
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
