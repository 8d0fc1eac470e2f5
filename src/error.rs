//! Every way in which a call can fail, and its one form on the wire. `Display` is what a customer may read,
//! `source()` what the log prints. Codes and texts: contract sections 4.1 and 4.2.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The result of anything that can fail with an [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure, with the facts that its text needs.
#[derive(Debug, Clone)]
pub enum Error {
    /// A required field is absent, `null` or empty, or a field with a code of its own is present but empty.
    MissingField(Cow<'static, str>),
    /// A field holds something that it may not hold.
    InvalidField(Cow<'static, str>, Cow<'static, str>),
    /// The body is not a flat JSON object as the contract asks for it.
    InvalidBody(&'static str),
    /// No such key, or a key of somebody else.
    KeyNotFound,
    /// The version is not one of the key.
    KeyVersionNotFound,
    /// No such alias.
    AliasNotFound,
    /// No such access point, credential, service or account.
    ResourceNotFound(&'static str),
    /// The key is disabled.
    KeyDisabled,
    /// The key waits for its deletion.
    KeyPendingDeletion,
    /// The key waits for its material.
    KeyPendingImport,
    /// The key's state does not allow this change.
    TransitionNotAllowed,
    /// The key is protected from deletion.
    DeletionProtected,
    /// The default key of a cloud product, or its name: its product alone uses it, and nobody changes it.
    DefaultKey,
    /// The service is expired, unsubscribed or in arrears.
    ServiceFrozen,
    /// The alias exists.
    AliasTaken,
    /// A name that must be unique exists.
    NameTaken(&'static str),
    /// Imported material is not what it should be: its wrapping, its length, or not the key's first one. One text for all.
    InvalidKeyMaterial,
    /// The import token is none of this key, or spent.
    InvalidImportToken,
    /// The import token is too old.
    ExpiredImportToken,
    /// The level does not fit the key spec or the edition.
    UnsupportedLevel(&'static str),
    /// Spec, usage, algorithm or edition do not fit the call.
    Unsupported(&'static str),
    /// The origin does not fit the call.
    UnsupportedOrigin(&'static str),
    /// Frame, tag, context or padding check failed. One text for all.
    InvalidCiphertext,
    /// A quota is used up: of what, and how many are allowed.
    LimitExceeded(&'static str, u64),
    /// The signature is wrong or there is none.
    SignatureMismatch,
    /// No such access key.
    AccessKeyNotFound,
    /// The access key is disabled.
    AccessKeyDisabled,
    /// The date header is missing, malformed or outside the window.
    TimeSkewed,
    /// IAM or the access point's policy says no.
    NoPermission,
    /// The request id was used before.
    Replayed,
    /// The rate of this class is used up; the next token comes after this time.
    Throttled(Duration),
    /// The body is larger than this many bytes.
    TooLarge(usize),
    /// The path exists, the method does not fit; the methods that do.
    MethodNotAllowed(&'static str),
    /// No such path on this plane.
    OperationNotFound,
    /// Our fault; the cause is for the log.
    Internal(Cause),
    /// Too much at once, or the store or the machine is not available; nothing was done.
    Unavailable(&'static str),
    /// The store failed while it committed the call: its change and its audit record are both durable, or neither is.
    OutcomeUnknown,
}

/// The cause of an internal failure, for the log only.
#[derive(Clone)]
pub struct Cause(Arc<dyn StdError + Send + Sync>);

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// A failure as a client sees it.
pub struct Wire {
    /// The real HTTP status.
    pub status: u16,
    /// `KMS.` and four digits.
    pub code: &'static str,
    /// The symbol in the field `error`.
    pub symbol: &'static str,
    /// English text, or the published text of the code.
    pub message: String,
    /// Chinese text.
    pub description: &'static str,
}

impl Wire {
    /// Whether it speaks of the business of the call: not of who calls, how often, how large, by which path, nor of a
    /// failure of the service (contract section 3).
    pub fn is_business(&self) -> bool {
        !matches!(
            self.code,
            "KMS.9040"
                | "KMS.9041"
                | "KMS.9042"
                | "KMS.9043"
                | "KMS.9044"
                | "KMS.9045"
                | "KMS.9050"
                | "KMS.9060"
                | "KMS.9061"
                | "KMS.9062"
                | "KMS.9070"
                | "KMS.9071"
        )
    }
}

impl Error {
    /// An internal failure with its cause.
    pub fn internal(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Internal(Cause(Arc::from(cause.into())))
    }

    /// A field that holds something wrong; `reason` completes "field …".
    pub fn invalid(field: impl Into<Cow<'static, str>>, reason: impl Into<Cow<'static, str>>) -> Self {
        Self::InvalidField(field.into(), reason.into())
    }

    /// How a client sees it.
    pub fn wire(&self) -> Wire {
        let (status, code, symbol, description) = self.mapping();
        Wire { status, code, symbol, message: self.to_string(), description }
    }

    /// `KMS.` and four digits.
    pub fn code(&self) -> &'static str {
        self.mapping().1
    }

    /// The one mapping to the wire: status, code, symbol and Chinese text.
    fn mapping(&self) -> (u16, &'static str, &'static str, &'static str) {
        match self {
            Self::MissingField(field) => (400, missing(field).0, "MissingParameter", "必填参数缺失或为空"),
            Self::InvalidField(..) | Self::InvalidBody(_) => {
                (400, "KMS.9020", "InvalidParameter", "参数格式错误或超出取值范围")
            }
            Self::KeyNotFound => (404, "KMS.9001", "Forbidden.KeyNotFound", "密钥不存在"),
            Self::KeyVersionNotFound => (404, "KMS.9002", "Forbidden.KeyVersionNotFound", "密钥版本不存在"),
            Self::AliasNotFound => (404, "KMS.9003", "Forbidden.AliasNotFound", "别名不存在"),
            Self::ResourceNotFound(_) => (404, "KMS.9005", "ResourceNotFound", "资源不存在"),
            Self::KeyDisabled => (409, "KMS.9010", "Rejected.Disabled", "密钥已禁用"),
            Self::KeyPendingDeletion => (409, "KMS.9011", "Rejected.PendingDeletion", "密钥处于计划删除状态"),
            Self::KeyPendingImport => (409, "KMS.9012", "Rejected.PendingImport", "密钥材料尚未导入"),
            Self::TransitionNotAllowed => {
                (409, "KMS.9013", "Rejected.StateModifiedFailed", "当前状态不允许此操作")
            }
            Self::DeletionProtected => (409, "KMS.9014", "Rejected.DeletionProtected", "密钥已开启删除保护"),
            Self::DefaultKey => (403, "KMS.9029", "Forbidden.DefaultKey", "云产品默认密钥不支持此操作"),
            Self::ServiceFrozen => (403, "KMS.9015", "Rejected.ServiceFrozen", "服务已到期、退订或欠费"),
            Self::AliasTaken => (400, "KMS.9021", "AliasAlreadyExists", "别名已存在"),
            Self::NameTaken(_) => (400, "KMS.9020", "InvalidParameter", "名称已存在"),
            Self::InvalidKeyMaterial => {
                (400, "KMS.9022", "InvalidKeyMaterial", "密钥材料无效或与首次导入的不同")
            }
            Self::InvalidImportToken => (400, "KMS.9023", "InvalidImportToken", "导入令牌无效"),
            Self::ExpiredImportToken => (400, "KMS.9024", "ExpiredImportToken", "导入令牌已过期"),
            Self::UnsupportedOrigin(_) => (400, "KMS.9025", "Unsupported.Origin", "密钥来源不支持此操作"),
            Self::UnsupportedLevel(_) => (400, "KMS.9026", "Unsupported.ProtectionLevel", "不支持该保护级别"),
            Self::Unsupported(_) => {
                (400, "KMS.9027", "UnsupportedOperation", "密钥规格、用途或版本不支持此操作")
            }
            Self::InvalidCiphertext => (400, "KMS.9028", "InvalidCiphertext", "密文无效"),
            Self::LimitExceeded(..) => (400, "KMS.9030", "Rejected.LimitExceeded", "超出配额"),
            Self::SignatureMismatch => (401, "KMS.9040", "SignatureDoesNotMatch", "签名不匹配"),
            Self::AccessKeyNotFound => (401, "KMS.9041", "InvalidAccessKeyId.NotFound", "访问密钥不存在"),
            Self::AccessKeyDisabled => (403, "KMS.9042", "Forbidden.AccessKey", "访问密钥已禁用"),
            Self::TimeSkewed => (401, "KMS.9043", "RequestTimeTooSkewed", "请求时间缺失、格式错误或偏差过大"),
            Self::NoPermission => (403, "KMS.9044", "Forbidden.NoPermission", "没有权限"),
            Self::Replayed => (401, "KMS.9045", "RequestReplayed", "请求重复"),
            Self::Throttled(_) => (429, "KMS.9050", "Rejected.Throttling", "请求过于频繁"),
            Self::TooLarge(_) => (413, "KMS.9060", "RequestTooLarge", "请求体过大"),
            Self::MethodNotAllowed(_) => (405, "KMS.9061", "UnsupportedHTTPMethod", "不支持的请求方法"),
            Self::OperationNotFound => (404, "KMS.9062", "InvalidApiName", "接口不存在"),
            Self::Internal(_) => (500, "KMS.9070", "InternalFailure", "服务内部错误"),
            Self::Unavailable(_) | Self::OutcomeUnknown => {
                (503, "KMS.9071", "ServiceUnavailableTemporary", "服务暂时不可用")
            }
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingField(field) => match missing(field) {
                ("KMS.0101", text) => write!(f, "{text}: {field}"),
                (_, text) => f.write_str(text),
            },
            Self::InvalidField(field, reason) => write!(f, "{field} {reason}"),
            Self::InvalidBody(reason) => f.write_str(reason),
            Self::KeyNotFound => f.write_str("there is no such key"),
            Self::KeyVersionNotFound => f.write_str("the key has no such version"),
            Self::AliasNotFound => f.write_str("there is no such alias"),
            Self::ResourceNotFound(what) => write!(f, "there is no such {what}"),
            Self::KeyDisabled => f.write_str("the key is disabled; enable it first"),
            Self::KeyPendingDeletion => f.write_str("the key is pending deletion; cancel the deletion first"),
            Self::KeyPendingImport => f.write_str("the key has no material yet; import it first"),
            Self::TransitionNotAllowed => f.write_str("the state of the key does not allow this change"),
            Self::DeletionProtected => {
                f.write_str("the key is protected from deletion; take the protection away first (cancelDeleteProtect)")
            }
            Self::DefaultKey => f.write_str(
                "this is the default key of a cloud product: only the product uses it, and it cannot be changed",
            ),
            Self::ServiceFrozen => f.write_str("the service is expired or unsubscribed; renew it first"),
            Self::AliasTaken => f.write_str("the alias exists; choose another name or delete it first"),
            Self::NameTaken(what) => write!(f, "this {what} exists; choose another"),
            Self::InvalidKeyMaterial => f.write_str(
                "the key material does not open with this token, has the wrong length or differs from the first import",
            ),
            Self::InvalidImportToken => {
                f.write_str("the key has no such import token, or it is spent; call getParametersForImport again")
            }
            Self::ExpiredImportToken => {
                f.write_str("the import token is older than 24 hours; call getParametersForImport again")
            }
            Self::UnsupportedOrigin(why) | Self::UnsupportedLevel(why) | Self::Unsupported(why) => {
                f.write_str(why)
            }
            Self::InvalidCiphertext => f.write_str("the ciphertext is not valid for this key, account and context"),
            Self::LimitExceeded(what, limit) => write!(f, "the quota of {limit} {what} is used up"),
            Self::SignatureMismatch => f.write_str(
                "the request signature is missing or does not match; check the secret key and what was signed",
            ),
            Self::AccessKeyNotFound => f.write_str("there is no such access key"),
            Self::AccessKeyDisabled => f.write_str("the access key is disabled"),
            Self::TimeSkewed => {
                f.write_str("the request date is missing, malformed or more than 15 minutes off; check the clock")
            }
            Self::NoPermission => f.write_str("the caller may not do this"),
            Self::Replayed => f.write_str("this request id was used before; send a new one with each request"),
            Self::Throttled(after) => {
                write!(f, "too many requests of this class; retry after {} ms", after.as_millis().max(1))
            }
            Self::TooLarge(limit) => write!(f, "the request body is larger than {limit} bytes"),
            Self::MethodNotAllowed(_) => f.write_str("this path does not take this method; use POST"),
            Self::OperationNotFound => f.write_str("there is no such operation here"),
            Self::Internal(_) => f.write_str("internal failure; the log of the service names the cause"),
            Self::Unavailable(why) => f.write_str(why),
            Self::OutcomeUnknown => f.write_str(
                "the store failed during the call, whose outcome is unknown; retry with the same clientToken",
            ),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Internal(cause) => Some(&*cause.0),
            _ => None,
        }
    }
}

/// Code and published text of a field that is absent or empty (contract 4.1, texts exactly as published).
pub fn missing(field: &str) -> (&'static str, &'static str) {
    match field {
        "cmkUuid" => ("KMS.0102", "CmkUuid cannot be empty"),
        "aliasName" => ("KMS.0103", "AliasName cannot be empty"),
        "digest" => ("KMS.0104", "Digest cannot be empty"),
        "keyVersionId" => ("KMS.0105", "KeyVersionId cannot be empty"),
        "signAlgorithm" => ("KMS.0106", "Sign algorithm cannot be empty"),
        "plaintext" => ("KMS.0107", "Plaintext can notbe empty"),
        "ciphertextBlob" => ("KMS.0108", "Ciphertextblob cannot be empty"),
        "sourceCmkUuid" | "sourceUuid" => ("KMS.0110", "Asymmetric encrypt need sourceuuid"),
        "sourceKeyVersionId" | "sourceKeyVersion" => ("KMS.0111", "Asymmetric encrypt need sourceKeyVersion"),
        "destinationCmkUuid" | "destinationUuid" => ("KMS.0112", "DestinationUuid cannot be empty"),
        "protectionLevel" => ("KMS.0113", "Protectionlevel cannot be empty"),
        "algorithm" | "sourceEncryptionAlgorithm" => ("KMS.0114", "Algorithm cannot be empty"),
        "regionId" => ("KMS.0115", "Regionid cannot be empty"),
        "enableAutomaticRotation" => ("KMS.0116", "Enableautoatocrotatiom cannot be empty"),
        "keyUsage" => ("KMS.0117", "Keyusage can not be empty"),
        "rotationInterval" => ("KMS.0118", "Rotationinterval cannot be empty"),
        "wrappingAlgorithm" => ("KMS.0120", "Algorithm for import cannot be empty"),
        "wrappingKeySpec" => ("KMS.0121", "KeySpec for publickey cannot be empty"),
        "signatureValue" => ("KMS.0125", "Sign value cannot be empty"),
        "pendingWindowInDays" => ("KMS.0122", "Pendingwindowindays cannot be empty"),
        "importToken" | "token" => ("KMS.0123", "Token cannot be empty"),
        "encryptedKeyMaterial" => ("KMS.0124", "Encryptenkeymeterial cannot be empty"),
        "keySpec" => ("KMS.0126", "Keyspec cannot be empty"),
        _ => ("KMS.0101", "参数缺失"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_field_keeps_the_published_text() {
        let wire = Error::MissingField("plaintext".into()).wire();
        assert_eq!(
            (wire.status, wire.code, wire.message.as_str()),
            (400, "KMS.0107", "Plaintext can notbe empty")
        );
        let wire = Error::MissingField("input".into()).wire();
        assert_eq!((wire.code, wire.message.as_str()), ("KMS.0101", "参数缺失: input"));
    }

    #[test]
    fn an_internal_cause_stays_inside() {
        let error = Error::internal("disk /dev/sda broke");
        assert!(!error.to_string().contains("sda"));
        assert!(error.source().is_some_and(|cause| cause.to_string().contains("sda")));
    }
}
