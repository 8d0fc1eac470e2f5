//! Health for load balancers and service managers, and the page at the root. They cost next to nothing, need no
//! signature and leave no audit record.

use actix_web::HttpResponse;
use actix_web::http::header::CONTENT_SECURITY_POLICY;
use actix_web::web::Data;

use crate::gateway::Gateway;

const PAGE: &str = include_str!("page.html");

/// The process answers.
pub async fn live() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(r#"{"status":"live"}"#)
}

/// The store writes, the cipher machine works, cron ticks.
pub async fn ready(gateway: Data<Gateway>) -> HttpResponse {
    let (mut response, body) = match gateway.app().is_ready() {
        true => (HttpResponse::Ok(), r#"{"status":"ready"}"#),
        false => (HttpResponse::ServiceUnavailable(), r#"{"status":"unavailable"}"#),
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
