//! What the contract says of refusals, written down from its tables apart from the service's own code: codes with their
//! status and symbol (4.1, 4.2), which status a plane shows (3), which field has which code (4.1), what somebody else's
//! resource looks like (4.2), and what a key's state allows (4.3).

use serde_json::{Value, json};
use yaoku::api::{Access, Field, Spec};
use yaoku::model::principal::{Audience, Plane};
use yaoku::model::rate::RateClass;

use super::bodies::signs;
use crate::kit::Answer;

/// The mark of a call that succeeds.
pub const OK: &str = "ok";

/// Code, real status and symbol of every refusal that a caller can bring about. The symbol of the first group is ours.
const CODES: &[(&str, u64, &str)] = &[
    ("KMS.9001", 404, "Forbidden.KeyNotFound"),
    ("KMS.9002", 404, "Forbidden.KeyVersionNotFound"),
    ("KMS.9003", 404, "Forbidden.AliasNotFound"),
    ("KMS.9005", 404, "ResourceNotFound"),
    ("KMS.9010", 409, "Rejected.Disabled"),
    ("KMS.9011", 409, "Rejected.PendingDeletion"),
    ("KMS.9012", 409, "Rejected.PendingImport"),
    ("KMS.9013", 409, "Rejected.StateModifiedFailed"),
    ("KMS.9015", 403, "Rejected.ServiceFrozen"),
    ("KMS.9020", 400, "InvalidParameter"),
    ("KMS.9023", 400, "InvalidImportToken"),
    ("KMS.9028", 400, "InvalidCiphertext"),
    ("KMS.9040", 401, "SignatureDoesNotMatch"),
    ("KMS.9041", 401, "InvalidAccessKeyId.NotFound"),
    ("KMS.9042", 403, "Forbidden.AccessKey"),
    ("KMS.9043", 401, "RequestTimeTooSkewed"),
    ("KMS.9044", 403, "Forbidden.NoPermission"),
    ("KMS.9045", 401, "RequestReplayed"),
    ("KMS.9050", 429, "Rejected.Throttling"),
    ("KMS.9060", 413, "RequestTooLarge"),
    ("KMS.9061", 405, "UnsupportedHTTPMethod"),
    ("KMS.9062", 404, "InvalidApiName"),
];

/// The published texts of fields that are missing or empty (4.1).
const MISSING: &[(&str, &str, &str)] = &[
    ("cmkUuid", "KMS.0102", "CmkUuid cannot be empty"),
    ("aliasName", "KMS.0103", "AliasName cannot be empty"),
    ("digest", "KMS.0104", "Digest cannot be empty"),
    ("keyVersionId", "KMS.0105", "KeyVersionId cannot be empty"),
    ("sign algorithm", "KMS.0106", "Sign algorithm cannot be empty"),
    ("plaintext", "KMS.0107", "Plaintext can notbe empty"),
    ("ciphertextBlob", "KMS.0108", "Ciphertextblob cannot be empty"),
    ("sourceCmkUuid", "KMS.0110", "Asymmetric encrypt need sourceuuid"),
    ("sourceKeyVersionId", "KMS.0111", "Asymmetric encrypt need sourceKeyVersion"),
    ("destinationCmkUuid", "KMS.0112", "DestinationUuid cannot be empty"),
    ("sourceEncryptionAlgorithm", "KMS.0114", "Algorithm cannot be empty"),
    ("protectionLevel", "KMS.0113", "Protectionlevel cannot be empty"),
    ("regionId", "KMS.0115", "Regionid cannot be empty"),
    ("enableAutomaticRotation", "KMS.0116", "Enableautoatocrotatiom cannot be empty"),
    ("keyUsage", "KMS.0117", "Keyusage can not be empty"),
    ("rotationInterval", "KMS.0118", "Rotationinterval cannot be empty"),
    ("wrappingAlgorithm", "KMS.0120", "Algorithm for import cannot be empty"),
    ("wrappingKeySpec", "KMS.0121", "KeySpec for publickey cannot be empty"),
    ("pendingWindowInDays", "KMS.0122", "Pendingwindowindays cannot be empty"),
    ("importToken", "KMS.0123", "Token cannot be empty"),
    ("encryptedKeyMaterial", "KMS.0124", "Encryptenkeymeterial cannot be empty"),
    ("algorithm", "KMS.0114", "Algorithm cannot be empty"),
    ("value", "KMS.0125", "Sign value cannot be empty"),
    ("keySpec", "KMS.0126", "Keyspec cannot be empty"),
];

/// The code of a field that is missing or empty.
pub fn missing(field: &str, spec: &Spec) -> &'static str {
    let field = if field == "algorithm" && signs(spec) { "sign algorithm" } else { field };
    MISSING.iter().find(|(name, ..)| *name == field).map_or("KMS.0101", |(_, code, _)| code)
}

/// The real status and the symbol of a code.
fn wire(code: &str) -> (u64, &'static str) {
    if code.starts_with("KMS.01") {
        return (400, "MissingParameter");
    }
    let known = CODES.iter().find(|(known, ..)| *known == code);
    known.map_or((0, "a code of the contract"), |(_, status, symbol)| (*status, symbol))
}

/// The status that a plane shows: in the gateway envelope only refusals that are none of business (the caller's proof,
/// the path, the rate, the size) have their real one.
pub fn shown_status(code: &str, plane: Plane) -> u64 {
    match (plane, code) {
        (_, OK) => 200,
        (Plane::AccessPoint | Plane::Internal, _) => wire(code).0,
        (Plane::OpenApi, _) if code < "KMS.9040" => 200,
        (Plane::OpenApi, _) => wire(code).0,
    }
}

/// Whether a field may be empty: its code is for what it would otherwise be.
pub fn may_be_empty(field: &Field) -> bool {
    field.schema.get("minLength") == Some(&json!(0))
}

/// The code for a resource that is not there, or not the caller's, by the field that refers to it. A field that makes a
/// name or filters a list refers to nothing.
pub fn absent(field: &Field, spec: &Spec) -> Option<&'static str> {
    let code = match field.name.as_str() {
        "keyVersionId" => return Some("KMS.9002"),
        // Every operation understands it, also those to which it makes no difference.
        "instanceId" => {
            return (spec.audience != Audience::Administrator || field.required).then_some("KMS.9005");
        }
        // It does not name its key.
        "ciphertextBlob" if spec.name == "asymmetricDecrypt" => "KMS.9028",
        "cmkUuid" | "destinationCmkUuid" | "sourceCmkUuid" | "ciphertextBlob" | "resourceIds" => "KMS.9001",
        "sourceKeyVersionId" => "KMS.9002",
        "importToken" => "KMS.9023",
        "aliasName" if spec.name.starts_with("create") => return None,
        "aliasName" => "KMS.9003",
        "accessPointId" | "accessKey" | "eventId" | "accountId" => "KMS.9005",
        name if field.required
            && (name.ends_with("Id") || name.ends_with("Ids") || name.ends_with("Uuid")) =>
        {
            panic!("{} {name} refers to something: say here with which code it is not there", spec.name)
        }
        _ => return None,
    };
    field.required.then_some(code)
}

/// What an operation answers when the key behind a field is in one of these states (4.3): Disabled, PendingDeletion,
/// PendingImport.
pub fn by_state(spec: &Spec, field: &str) -> [&'static str; 3] {
    match (spec.name, spec.rate) {
        // It reads, but needs material to check what it reads.
        ("getDataKey", _) => [OK, OK, "KMS.9012"],
        _ if spec.access == Access::Read => [OK, OK, OK],
        (_, RateClass::Symmetric | RateClass::Asymmetric | RateClass::Integrity) => {
            ["KMS.9010", "KMS.9011", "KMS.9012"]
        }
        ("createKeyVersion" | "updateRotationPolicy", _) => ["KMS.9010", "KMS.9011", "KMS.9012"],
        ("enableKey" | "disableKey", _) => [OK, "KMS.9013", "KMS.9013"],
        ("createAlias" | "importKeyMaterial" | "scheduleKeyDeletion", _) => [OK, "KMS.9013", OK],
        ("cancelKeyDeletion", _) => ["KMS.9013", OK, "KMS.9013"],
        (
            "updateKeyDescription"
            | "rehearseKeyDisabling"
            | "tagResources"
            | "untagResources"
            | "deleteProtect"
            | "cancelDeleteProtect",
            _,
        ) => [OK, "KMS.9011", OK],
        ("updateAlias", _) if field == "cmkUuid" => [OK, "KMS.9011", OK],
        // deleteAlias and whatever the table does not name.
        _ => [OK, OK, OK],
    }
}

/// Whether an operation needs a service that runs: it makes a key there, or works with one (1, 4.2).
pub fn needs_running(spec: &Spec, has_key: bool) -> bool {
    let works = matches!(spec.rate, RateClass::Symmetric | RateClass::Asymmetric | RateClass::Integrity)
        || ["getParametersForImport", "importKeyMaterial"].contains(&spec.name);
    let makes = spec.rate == RateClass::KeyCreate || spec.name == "createKeyVersion";
    spec.access == Access::Write && (makes || works && has_key)
}

/// What is wrong with an answer, if it was to be refused with this code: status, headers, every field of the envelope
/// (3) and the published text.
pub fn fault(answer: &Answer, code: &str, plane: Plane, id: &str) -> Option<String> {
    let (real, symbol) = wire(code);
    let status = shown_status(code, plane);
    if u64::from(answer.status) != status {
        return Some(format!("{code} with {status} expected: {answer:?}"));
    }
    let mut body = answer.body.clone();
    let message = body["message"].take();
    let text = message.as_str().unwrap_or_default();
    let published = MISSING.iter().find(|(_, known, _)| *known == code).map(|(.., text)| *text);
    if published.is_some_and(|published| text != published)
        || (code == "KMS.0101" && !text.starts_with("参数缺失"))
        || text.is_empty()
    {
        return Some(format!("the text of {code} expected: {answer:?}"));
    }
    let expected = match plane {
        Plane::OpenApi => {
            let (inner, description) = (body["returnObj"]["message"].take(), body["description"].take());
            if inner != message || description.as_str().is_none_or(str::is_empty) {
                return Some(format!("the text twice and a description expected: {answer:?}"));
            }
            json!({
                "statusCode": 900, "error": symbol, "errorCode": code, "message": null, "description": null, "requestId": id,
                "returnObj": {"code": code, "message": null, "statusCode": real, "success": 0, "requestId": id},
            })
        }
        Plane::AccessPoint | Plane::Internal => {
            json!({"code": real, "errorCode": code, "message": null, "data": null, "requestId": id})
        }
    };
    let headers = [
        ("content-type", "application/json"),
        ("cache-control", "no-store"),
        ("x-trace-id", id),
        (if plane == Plane::OpenApi { "ctyun-eop-request-id" } else { "x-request-id" }, id),
    ];
    let wrong = headers.iter().find(|(name, value)| answer.header(name) != Some(value));
    if body != expected || wrong.is_some() || answer.header("retry-after").is_some() != (code == "KMS.9050") {
        return Some(format!("{expected} and {headers:?} expected: {answer:?}"));
    }
    None
}

/// What is wrong with the audit records of one request, if it was answered with these codes.
pub fn record_fault(records: &[&Value], codes: &[&str], plane: Plane) -> Option<String> {
    let source = if plane == Plane::OpenApi { "OPENAPI" } else { "AAP" };
    let found: Vec<&str> = records.iter().map(|record| record["errorCode"].as_str().unwrap_or(OK)).collect();
    let right = found.len() == codes.len()
        && codes.iter().all(|code| found.contains(code))
        && records.iter().all(|record| {
            let status = record["errorCode"].as_str().map_or(200, |code| wire(code).0);
            record["httpStatus"] == status && record["eventSource"] == source && record["eventType"] == "API"
        });
    (!right).then(|| format!("records of {codes:?} expected: {records:?}"))
}
