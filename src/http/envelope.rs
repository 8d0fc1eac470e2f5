//! The form of answers on each plane (contract section 3).

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use serde_json::{Value, json};

use crate::config::{EnvelopeForm, OpenApi};
use crate::error::{Error, Wire};
use crate::gateway::Reply;
use crate::model::principal::Plane;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const EOP_REQUEST_ID: HeaderName = HeaderName::from_static("ctyun-eop-request-id");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACE_ID: HeaderName = HeaderName::from_static("x-trace-id");

/// Wraps a reply as its plane and the settings ask.
pub fn wrap(plane: Plane, reply: Reply, settings: &OpenApi) -> HttpResponse {
    let (status, body) = match &reply.result {
        Ok(result) => (200, success(plane, result, settings.envelope)),
        Err(error) => {
            let wire = error.wire();
            let status = http_status(plane, &wire, settings);
            (status, failure(plane, &wire, &reply.request_id, settings.envelope).to_string())
        }
    };
    let mut response =
        HttpResponse::build(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
    response.insert_header((CONTENT_TYPE, JSON)).insert_header((CACHE_CONTROL, NO_STORE));
    let echo = match plane {
        Plane::OpenApi => EOP_REQUEST_ID,
        Plane::AccessPoint | Plane::Internal => REQUEST_ID,
    };
    // An id that is no header value cannot have come in a header; it then stands in the body alone.
    if let Ok(id) = HeaderValue::from_str(&reply.request_id) {
        response.insert_header((echo, id.clone())).insert_header((TRACE_ID, id));
    }
    if let Err(Error::Throttled(after)) = reply.result {
        response.insert_header((RETRY_AFTER, after.as_secs().max(1).to_string()));
    }
    if let Err(Error::MethodNotAllowed(methods)) = reply.result {
        response.insert_header((ALLOW, methods));
    }
    response.body(body)
}

/// The result is JSON already and goes in as it is.
fn success(plane: Plane, result: &str, form: EnvelopeForm) -> String {
    let (before, after) = match (plane, form) {
        (Plane::OpenApi, EnvelopeForm::Gateway) => {
            (r#"{"statusCode":800,"returnObj":{"code":200,"result":"#, r#","statusCode":200,"success":1}}"#)
        }
        (Plane::OpenApi, EnvelopeForm::Bare) => {
            (r#"{"code":200,"result":"#, r#","statusCode":200,"success":1}"#)
        }
        (Plane::AccessPoint | Plane::Internal, _) => (r#"{"code":200,"data":"#, "}"),
    };
    [before, result, after].concat()
}

fn failure(plane: Plane, wire: &Wire, request_id: &str, form: EnvelopeForm) -> Value {
    let bare = json!({
        "code": wire.code, "message": wire.message, "statusCode": wire.status, "success": 0, "requestId": request_id,
    });
    match (plane, form) {
        (Plane::OpenApi, EnvelopeForm::Gateway) => json!({
            "statusCode": 900, "error": wire.symbol, "errorCode": wire.code, "message": wire.message,
            "description": wire.description, "requestId": request_id, "returnObj": bare,
        }),
        (Plane::OpenApi, EnvelopeForm::Bare) => bare,
        (Plane::AccessPoint | Plane::Internal, _) => json!({
            "code": wire.status, "errorCode": wire.code, "message": wire.message, "data": null,
            "requestId": request_id,
        }),
    }
}

fn http_status(plane: Plane, wire: &Wire, settings: &OpenApi) -> u16 {
    let hidden = plane == Plane::OpenApi && settings.hides_status() && wire.is_business();
    if hidden { 200 } else { wire.status }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::StatusForm;

    fn settings(envelope: EnvelopeForm, http_status: StatusForm) -> OpenApi {
        OpenApi { envelope, http_status, ..crate::config::Config::default().openapi }
    }

    /// The samples of contract section 3.
    #[test]
    fn the_three_forms_are_the_published_ones() {
        assert_eq!(
            success(Plane::OpenApi, "{}", EnvelopeForm::Bare),
            r#"{"code":200,"result":{},"statusCode":200,"success":1}"#
        );
        assert_eq!(
            success(Plane::OpenApi, "{}", EnvelopeForm::Gateway),
            r#"{"statusCode":800,"returnObj":{"code":200,"result":{},"statusCode":200,"success":1}}"#
        );
        assert_eq!(success(Plane::AccessPoint, "{}", EnvelopeForm::Gateway), r#"{"code":200,"data":{}}"#);
    }

    #[test]
    fn the_status_is_hidden_only_where_the_vendor_hides_it() {
        use EnvelopeForm::{Bare, Gateway};
        use StatusForm::{Ctyun, Rest};
        let missing = Error::KeyNotFound.wire();
        let forged = Error::SignatureMismatch.wire();
        for (plane, form, status, expected) in [
            (Plane::OpenApi, Gateway, Ctyun, 200),
            (Plane::OpenApi, Gateway, Rest, 404),
            (Plane::OpenApi, Bare, Ctyun, 404),
            (Plane::AccessPoint, Gateway, Ctyun, 404),
        ] {
            assert_eq!(http_status(plane, &missing, &settings(form, status)), expected);
            assert_eq!(http_status(plane, &forged, &settings(form, status)), 401);
        }
    }
}
