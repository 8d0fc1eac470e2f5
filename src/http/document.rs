//! The API document and the page that shows it to people. Each listener serves the document of its plane, the OpenAPI
//! listener also the page. They need no signature, leave no audit record and are made once, when somebody first asks.

use std::sync::OnceLock;

use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY};
use actix_web::web::{self, Bytes, Data, ServiceConfig};
use actix_web::{HttpResponse, HttpResponseBuilder};

use crate::document;
use crate::gateway::Door;
use crate::model::principal::Plane;

const PAGE: &str = include_str!("docs.html");
const SCRIPT: &str = include_str!("docs.js");
const STYLE: &str = include_str!("docs.css");

/// Only what this service serves itself, nothing inline, no frames.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

/// The documents of both planes, once they are made. A demo has another one on OpenAPI; nobody knows that it is one before its
/// cipher machine is unlocked.
#[derive(Default)]
pub struct Documents {
    openapi: OnceLock<Bytes>,
    demo: OnceLock<Bytes>,
    access_point: OnceLock<Bytes>,
}

impl Documents {
    fn of(&self, plane: Plane, door: &Door) -> Bytes {
        let demo = door.is_demo();
        let made = match (plane, demo) {
            (Plane::AccessPoint, _) => &self.access_point,
            (Plane::OpenApi | Plane::Internal, false) => &self.openapi,
            (Plane::OpenApi | Plane::Internal, true) => &self.demo,
        };
        let make = || Bytes::from(document::of(plane, &door.config().openapi, demo).to_string());
        made.get_or_init(make).clone()
    }
}

/// The document of the listener's plane.
pub async fn document(plane: Data<Plane>, door: Data<Door>, documents: Data<Documents>) -> HttpResponse {
    let body = documents.of(**plane, &door);
    answer("application/json").body(body)
}

/// Routes of the page.
pub fn pages(routes: &mut ServiceConfig) {
    routes
        .route("/docs", web::get().to(page))
        .route("/docs/docs.js", web::get().to(script))
        .route("/docs/docs.css", web::get().to(style));
}

/// The page.
async fn page() -> HttpResponse {
    answer("text/html; charset=utf-8").body(PAGE)
}

/// Its script.
async fn script() -> HttpResponse {
    answer("text/javascript; charset=utf-8").body(SCRIPT)
}

/// Its style.
async fn style() -> HttpResponse {
    answer("text/css; charset=utf-8").body(STYLE)
}

/// They change with the program and its settings, so a cache may keep them for minutes only.
fn answer(kind: &'static str) -> HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    response
        .content_type(kind)
        .insert_header((CACHE_CONTROL, "public, max-age=300"))
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        .insert_header(("x-content-type-options", "nosniff"));
    response
}
