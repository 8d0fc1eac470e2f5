//! What can be called: the table. The only place where a path, an action, an event or a title is written. Oddities of
//! the published names are literals here and nowhere else; the contract's section stands beside them.

use std::sync::LazyLock;

use foldhash::HashMap;
use schemars::{Schema, SchemaGenerator};

use crate::api::{self, Access, Field, Fields, Spec};
use crate::error::{Error, Result};
use crate::model::principal::{Audience, Reach};
use crate::model::rate::RateClass;
use crate::ops::{self, Listed, Operation, Prepared};

/// A row and the code behind it.
pub struct Row {
    /// Its place in the table, from 0.
    pub number: usize,
    /// What the table says.
    pub spec: &'static Spec,
    /// Reads the fields of a request into the operation.
    pub prepare: fn(&Fields) -> Result<Box<dyn Prepared>>,
    /// The shape of its request fields.
    pub request: fn(&mut SchemaGenerator) -> Schema,
    /// The shape of its result.
    pub result: fn(&mut SchemaGenerator) -> Schema,
    /// What refuses it beside what follows from its fields, its caller and its rate.
    pub refusals: &'static [Error],
    /// See [`Operation::KNOWN_AS`].
    known_as: &'static [(&'static str, &'static str)],
}

impl Row {
    /// Its request fields, beside those that every operation understands.
    pub fn fields(&self) -> Vec<Field> {
        api::fields(self.request)
    }

    /// The fields of its result.
    pub fn result_fields(&self) -> Vec<Field> {
        api::fields(self.result)
    }

    /// The refusal of a request without this field.
    pub fn missing(&self, field: &Field) -> Error {
        Error::MissingField(ops::known_as(self.known_as, field.name.clone().into()))
    }

    /// What it does, in words.
    pub fn description(&self) -> String {
        api::description(self.request)
    }
}

/// Counts the rows, so that figures of an operation are found by a number.
const fn numbered<const N: usize>(mut rows: [Row; N]) -> [Row; N] {
    let mut number = 0;
    while number < N {
        rows[number].number = number;
        number += 1;
    }
    rows
}

/// Writes the table, and makes each named type an operation that is listed.
macro_rules! operations {
    ($($operation:path: $name:literal [$($path:literal),*] $action:literal $access:ident $rate:ident $reach:ident $audience:ident $zh:literal $en:literal;)*) => {
        $(impl Listed for $operation {
            const SPEC: &'static Spec = &Spec {
                name: $name,
                paths: &[$($path),*],
                action: $action,
                access: Access::$access,
                rate: RateClass::$rate,
                reach: Reach::$reach,
                audience: Audience::$audience,
                title_zh: $zh,
                title_en: $en,
            };
        })*
        /// Every operation, in the order of the contract.
        pub static ROWS: &[Row] = &numbered([$(Row { number: 0, spec: <$operation as Listed>::SPEC, prepare: ops::prepare::<$operation>, request: ops::request_schema::<$operation>, result: ops::result_schema::<$operation>, refusals: <$operation as Operation>::REFUSALS, known_as: <$operation as Operation>::KNOWN_AS }),*]);
    };
}

operations! {
    // contract 5.1
    ops::key::CreateKey: "createKey" ["/cmkManage/createKey"] "kms:cmk:create" Write KeyCreate BOTH Tenant "创建主密钥" "Create key";
    ops::key::EnableKey: "enableKey" ["/cmkManage/enableKey"] "kms:cmk:enable" Write KeyWrite BOTH Tenant "启用密钥" "Enable key";
    ops::key::DisableKey: "disableKey" ["/cmkManage/disableKey"] "kms:cmk:disable" Write KeyWrite BOTH Tenant "禁用密钥" "Disable key";
    ops::deletion::ScheduleKeyDeletion: "scheduleKeyDeletion" ["/cmkManage/scheduleKeyDeletion"] "kms:cmk:delete" Write KeyWrite BOTH Tenant "计划删除密钥" "Schedule key deletion";
    ops::deletion::CancelKeyDeletion: "cancelKeyDeletion" ["/cmkManage/cancelKeyDeletion"] "kms:cmk:undelete" Write KeyWrite BOTH Tenant "取消计划删除密钥" "Cancel key deletion";
    ops::deletion::DeleteProtect: "deleteProtect" ["/cmkManage/deleteProtect"] "kms:cmk:deleteProtect" Write KeyWrite BOTH Tenant "开启删除保护" "Protect key from deletion";
    ops::deletion::CancelDeleteProtect: "cancelDeleteProtect" ["/cmkManage/cancelDeleteProtect"] "kms:cmk:cancelDeleteProtect" Write KeyWrite BOTH Tenant "关闭删除保护" "Cancel deletion protection";
    ops::rehearsal::RehearseKeyDisabling: "rehearseKeyDisabling" ["/cmkManage/rehearseKeyDisabling"] "kms:cmk:rehearse" Write KeyWrite OPENAPI Tenant "演练禁用密钥" "Rehearse disabling of key";
    ops::key::UpdateKeyDescription: "updateKeyDescription" ["/keyManage/updateKeyDescription"] "kms:cmk:update" Write KeyWrite BOTH Tenant "修改密钥描述" "Update key description";
    ops::key::DescribeKey: "describeKey" ["/keyManage/describeKey"] "kms:cmk:describe" Read KeyRead BOTH Product "查询密钥详情" "Describe key";
    ops::key::ListAliasKeys: "listAliasKeys" ["/keyManage/listAliasKeys"] "kms:cmk:list" Read KeyRead BOTH Tenant "查询密钥列表" "List keys";
    // ours; cron submits the last one
    ops::tombstone::ListDestroyedKeys: "listDestroyedKeys" ["/keyManage/listDestroyedKeys"] "kms:cmk:listDestroyedKeys" Read OtherRead OPENAPI Tenant "查询已销毁密钥" "List destroyed keys";
    ops::deletion::DestroyKey: "destroyKey" [] "kms:cmk:destroy" Write Unlimited INTERNAL Tenant "销毁密钥" "Destroy key";
    ops::product::ListSymmetricKeys: "listSymmetricKeys" ["/keyManage/listSymmetricKeys"] "kms:cmk:listSymmetricKeys" Read OtherRead BOTH Product "查询对称密钥列表" "List symmetric keys";
    ops::product::CreateDefaultKey: "createDefaultKey" ["/cmkManage/createDefaultKey"] "kms:cmk:createDefaultKey" Write OtherWrite OPENAPI Product "创建默认密钥" "Create default key";
    ops::product::DetectAssociation: "detectAssociation" ["/cmkManage/detectAssociation"] "kms:cmk:detectAssociation" Read OtherRead OPENAPI Tenant "云产品关联检测" "Detect associations with cloud products";
    ops::resource::ResourceInfo: "resourceInfo" ["/resource/resourceInfo"] "kms:cmk:resourceInfo" Read OtherRead OPENAPI Tenant "查询资源用量" "Describe figures of service";
    // contract 5.2
    ops::alias::CreateAlias: "createAlias" ["/keyName/createAlias"] "kms:cmk:createAlias" Write KeyWrite BOTH Tenant "创建别名" "Create alias";
    ops::alias::UpdateAlias: "updateAlias" ["/keyName/updateAlias"] "kms:cmk:updateAlias" Write KeyWrite BOTH Tenant "更新别名" "Update alias";
    ops::alias::DeleteAlias: "deleteAlias" ["/keyName/deleteAlias"] "kms:cmk:deleteAlias" Write KeyWrite BOTH Tenant "删除别名" "Delete alias";
    ops::alias::ListAlias: "listAlias" ["/keyName/listAlias"] "kms:cmk:listAlias" Read KeyRead BOTH Tenant "查询别名列表" "List aliases";
    ops::alias::ListAliasByUuid: "listAliasByUuid" ["/keyName/listAliasByUuid"] "kms:cmk:listAliasByUuid" Read KeyRead BOTH Tenant "查询密钥的别名" "List aliases of key";
    // contract 5.3; cron submits the last one
    ops::version::CreateKeyVersion: "createKeyVersion" ["/versionControl/createKeyVersion"] "kms:cmk:createVersion" Write KeyWrite BOTH Tenant "创建密钥版本" "Create key version";
    ops::version::ListKeyVersions: "listKeyVersions" ["/versionControl/listKeyVersions"] "kms:cmk:listVersions" Read KeyRead BOTH Tenant "查询密钥版本列表" "List key versions";
    ops::version::DescribeKeyVersion: "describeKeyVersion" ["/versionControl/describeKeyVersion"] "kms:cmk:describeVersion" Read KeyRead BOTH Tenant "查询密钥版本详情" "Describe key version";
    ops::rotation::UpdateRotationPolicy: "updateRotationPolicy" ["/versionControl/updateRotationPolicy"] "kms:cmk:updateRotation" Write KeyWrite BOTH Tenant "修改轮转策略" "Update rotation policy";
    ops::rotation::RotateDueKey: "rotateDueKey" [] "kms:cmk:rotate" Write Unlimited INTERNAL Tenant "自动轮转" "Rotate due key";
    // contract 5.4; cron submits the last one
    ops::import::GetParametersForImport: "getParametersForImport" ["/importKey/getParametersForImport"] "kms:cmk:getParameters" Write KeyRead BOTH Tenant "获取导入密钥材料参数" "Get parameters for import";
    ops::import::ImportKeyMaterial: "importKeyMaterial" ["/importKey/importKeyMaterial"] "kms:cmk:importMaterial" Write KeyWrite BOTH Tenant "导入密钥材料" "Import key material";
    ops::key_material::DeleteKeyMaterial: "deleteKeyMaterial" ["/importKey/deleteKeyMaterial"] "kms:cmk:deleteMaterial" Write KeyWrite BOTH Tenant "删除密钥材料" "Delete key material";
    ops::key_material::ExpireKeyMaterial: "expireKeyMaterial" [] "kms:cmk:expireMaterial" Write Unlimited INTERNAL Tenant "清除到期密钥材料" "Expire key material";
    // contract 5.5; "/get/…", "/cmManage/…" and the lower-case c of "certificatecompute" are the published paths
    ops::symmetric::Encrypt: "encrypt" ["/keyCompute/encrypt"] "kms:cmk:encrypt" Write Symmetric BOTH Product "加密" "Encrypt";
    ops::symmetric::Decrypt: "decrypt" ["/keyCompute/decrypt"] "kms:cmk:decrypt" Write Symmetric BOTH Product "解密" "Decrypt";
    ops::data_key::GenerateDataKey: "generateDataKey" ["/keyCompute/generateDataKey"] "kms:cmk:generateDataKey" Write Symmetric BOTH Product "生成数据密钥" "Generate data key";
    ops::data_key::GenerateDataKeyWithoutPlaintext: "generateDataKeyWithoutPlaintext" ["/keyCompute/generateDataKeyWithoutPlaintext"] "kms:cmk:generateDataKeyWithoutPlaintext" Write Symmetric BOTH Product "生成不含明文的数据密钥" "Generate data key without plaintext";
    ops::export::ExportDataKey: "exportDataKey" ["/keyCompute/exportDataKey"] "kms:cmk:exportDataKey" Write Symmetric BOTH Tenant "导出数据密钥" "Export data key";
    ops::export::GenerateAndExportDataKey: "generateAndExportDataKey" ["/keyCompute/generateAndExportDataKey"] "kms:cmk:generateAndExportDataKey" Write Symmetric BOTH Tenant "生成并导出数据密钥" "Generate and export data key";
    ops::re_encrypt::ReEncrypt: "reEncrypt" ["/cmManage/reEncrypt", "/cmkManage/reEncrypt", "/keyCompute/reEncrypt"] "kms:cmk:reEncrypt" Write Symmetric BOTH Product "密文转加密" "Re-encrypt";
    ops::data_key::GetDataKey: "getDataKey" ["/keyCompute/getDataKey"] "kms:cmk:getDataKey" Read Symmetric BOTH Product "查询数据密钥详情" "Get data key";
    ops::integrity::HmacCompute: "hmaccompute" ["/get/hmaccompute"] "kms:cmk:hmaccompute" Write Integrity BOTH Tenant "计算消息认证码" "Compute HMAC-SM3";
    ops::integrity::MessageDigest: "messageDigest" ["/get/messageDigest"] "kms:cmk:messageDigest" Write Integrity BOTH Tenant "计算消息摘要" "Compute SM3 digest";
    ops::random::GetRandom: "getRandom" ["/certificatecompute/getRandom", "/certificateCompute/getRandom"] "kms:cert:getRandom" Write Random BOTH Tenant "获取随机数" "Get random bytes";
    // contract 5.6
    ops::asymmetric::AsymmetricSign: "asymmetricSign" ["/asymmetric/asymmetricSign"] "kms:cmk:asymmetricSign" Write Asymmetric BOTH Tenant "非对称签名" "Sign digest";
    ops::asymmetric::AsymmetricVerify: "asymmetricVerify" ["/asymmetric/asymmetricVerify"] "kms:cmk:asymmetricVerify" Write Asymmetric BOTH Tenant "非对称验签" "Verify signature";
    ops::asymmetric::AsymmetricEncrypt: "asymmetricEncrypt" ["/asymmetric/asymmetricEncrypt"] "kms:cmk:asymmetricEncrypt" Write Asymmetric BOTH Tenant "非对称加密" "Encrypt with public key";
    ops::asymmetric::AsymmetricDecrypt: "asymmetricDecrypt" ["/asymmetric/asymmetricDecrypt"] "kms:cmk:asymmetricDecrypt" Write Asymmetric BOTH Tenant "非对称解密" "Decrypt with private key";
    ops::asymmetric::GetPublicKey: "getPublicKey" ["/asymmetric/getPublicKey"] "kms:cmk:getPublicKey" Write Asymmetric BOTH Tenant "获取公钥" "Get public key";
    // contract 5.10
    ops::access_point::ListApplicationAccessPoint: "listApplicationAccessPoint" ["/accessPoint/listApplicationAccessPoint"] "kms:accessPoint:listApplicationAccessPoint" Read OtherRead OPENAPI Tenant "查询应用接入点" "List access points";
    ops::access_point::ListAllUri: "listAllUri" ["/accessPoint/listAllUri"] "kms:accessPoint:listAllUri" Read OtherRead OPENAPI Tenant "查询全部接口" "List operations of access points";
    ops::credential::CreateUserAk: "createUserAk" ["/userAk/createUserAk"] "kms:accessPoint:createUserAk" Write OtherWrite OPENAPI Tenant "创建接入点凭证" "Create access-point credential";
    ops::credential::EnableUserAk: "enableUserAk" ["/userAk/enableUserAk"] "kms:accessPoint:enableUserAk" Write OtherWrite OPENAPI Tenant "启用接入点凭证" "Enable access-point credential";
    ops::credential::DisableUserAk: "disableUserAk" ["/userAk/disableUserAk"] "kms:accessPoint:disableUserAk" Write OtherWrite OPENAPI Tenant "禁用接入点凭证" "Disable access-point credential";
    ops::credential::DeleteUserAk: "deleteUserAk" ["/userAk/deleteUserAk"] "kms:accessPoint:deleteUserAk" Write OtherWrite OPENAPI Tenant "删除接入点凭证" "Delete access-point credential";
    ops::credential::ListUserAk: "listUserAk" ["/userAk/listUserAk"] "kms:accessPoint:listUserAk" Read OtherRead OPENAPI Tenant "查询接入点凭证" "List access-point credentials";
    // contract 5.13; the first one is what `yaoku init` submits
    ops::account::InitialiseAppliance: "initialiseAppliance" [] "iam:initialiseAppliance" Write Unlimited INTERNAL Administrator "初始化" "Initialise appliance";
    ops::account::CreateAccount: "createAccount" ["/account/createAccount"] "iam:createAccount" Write OtherWrite OPENAPI Administrator "创建账号" "Create account";
    ops::account::ListAccount: "listAccount" ["/account/listAccount"] "iam:listAccount" Read OtherRead OPENAPI Administrator "查询账号列表" "List accounts";
    ops::account::DescribeAccount: "describeAccount" ["/account/describeAccount"] "iam:describeAccount" Read OtherRead OPENAPI Administrator "查询账号详情" "Describe account";
    ops::account::UpdateAccount: "updateAccount" ["/account/updateAccount"] "iam:updateAccount" Write OtherWrite OPENAPI Administrator "修改账号" "Update account";
    ops::product_credential::CreateProductCredential: "createProductCredential" ["/product/createProductCredential"] "iam:createProductCredential" Write OtherWrite OPENAPI Tenant "创建云产品凭证" "Create credential of cloud product";
    ops::product_credential::ListProductCredential: "listProductCredential" ["/product/listProductCredential"] "iam:listProductCredential" Read OtherRead OPENAPI Tenant "查询云产品凭证" "List credentials of cloud products";
    ops::product_credential::DeleteProductCredential: "deleteProductCredential" ["/product/deleteProductCredential"] "iam:deleteProductCredential" Write OtherWrite OPENAPI Tenant "删除云产品凭证" "Delete credential of cloud product";
    ops::tag::TagResources: "tagResources" ["/tag/tagResources"] "iam:tagResources" Write OtherWrite OPENAPI Tenant "绑定标签" "Tag resources";
    ops::tag::UntagResources: "untagResources" ["/tag/untagResources"] "iam:untagResources" Write OtherWrite OPENAPI Tenant "解绑标签" "Untag resources";
    ops::tag::ListTagResources: "listTagResources" ["/tag/listTagResources"] "iam:listTagResources" Read OtherRead OPENAPI Tenant "查询资源标签" "List tagged resources";
    ops::tag::ListTagKeys: "listTagKeys" ["/tag/listTagKeys"] "iam:listTagKeys" Read OtherRead OPENAPI Tenant "查询标签键" "List tag keys";
    ops::system::DescribeSystem: "describeSystem" ["/system/describeSystem"] "iam:describeSystem" Read OtherRead OPENAPI Tenant "查询系统信息" "Describe system";
    ops::system::RunSelfTest: "runSelfTest" ["/system/runSelfTest"] "iam:runSelfTest" Write OtherWrite OPENAPI Administrator "运行自检" "Run self-tests";
    // cron submits the last two
    ops::clock::ConfirmClock: "confirmClock" ["/system/confirmClock"] "iam:confirmClock" Write OtherWrite OPENAPI Administrator "确认时钟" "Confirm clock";
    ops::clock::AdvanceTime: "advanceTime" ["/system/advanceTime"] "iam:advanceTime" Write OtherWrite DEMO Administrator "推进时间" "Advance time";
    ops::clock::StepTime: "stepTime" [] "iam:stepTime" Write Unlimited INTERNAL Administrator "时间步进" "Step time";
    ops::clock::NoteClock: "noteClock" [] "iam:noteClock" Write Unlimited INTERNAL Administrator "记录时钟状态" "Note state of clock";
    // cron submits the last four
    ops::wrapping_key::RollWrappingKey: "rollWrappingKey" ["/system/rollWrappingKey"] "iam:rollWrappingKey" Write OtherWrite OPENAPI Administrator "轮换包装密钥" "Roll wrapping key";
    ops::wrapping_key::RewrapKey: "rewrapKey" [] "kms:cmk:rewrap" Write Unlimited INTERNAL Tenant "重新包装密钥" "Rewrap key";
    ops::wrapping_key::RewrapCredential: "rewrapCredential" [] "kms:accessPoint:rewrapCredential" Write Unlimited INTERNAL Tenant "重新包装凭证" "Rewrap credential";
    ops::wrapping_key::FinishRoll: "finishRoll" [] "iam:finishRoll" Write Unlimited INTERNAL Administrator "完成包装密钥轮换" "Finish roll of wrapping key";
    ops::erasure::SettleErasure: "settleErasure" [] "iam:settleErasure" Write Unlimited INTERNAL Administrator "确认密钥擦除" "Settle erasure";
    // events; cron submits the last two
    ops::event::ListEvents: "listEvents" ["/event/listEvents"] "kms:event:list" Read OtherRead OPENAPI Tenant "查询事件" "List events";
    ops::event::WarnDueKey: "warnDueKey" [] "kms:cmk:warn" Write Unlimited INTERNAL Tenant "密钥到期提醒" "Warn of end of key";
    ops::event::DeleteExpiredEvents: "deleteExpiredEvents" [] "kms:event:deleteExpired" Write Unlimited INTERNAL Administrator "删除到期事件" "Delete expired events";
    // contract 5.14
    ops::audit::QueryAudit: "queryAudit" ["/audit/queryAudit"] "iam:queryAudit" Read OtherRead OPENAPI Tenant "查询审计记录" "Query audit records";
    ops::audit::DescribeAudit: "describeAudit" ["/audit/describeAudit"] "iam:describeAudit" Read OtherRead OPENAPI Tenant "查询审计记录详情" "Describe audit record";
    ops::audit_export::ExportAudit: "exportAudit" ["/audit/exportAudit"] "iam:exportAudit" Read OtherRead OPENAPI Tenant "导出审计记录" "Export audit records";
    ops::audit_trail::VerifyAudit: "verifyAudit" ["/audit/verifyAudit"] "iam:verifyAudit" Read OtherRead OPENAPI Administrator "校验审计记录" "Verify audit trail";
    // cron and the start submit these
    ops::audit_trail::SignAuditCheckpoint: "signAuditCheckpoint" [] "iam:signAuditCheckpoint" Write Unlimited INTERNAL Administrator "签署审计检查点" "Sign audit checkpoint";
    ops::audit_trail::MoveAudit: "moveAudit" [] "iam:moveAudit" Write Unlimited INTERNAL Administrator "归档审计记录" "Move audit records to segment files";
    ops::audit_trail::DeleteExpiredAudit: "deleteExpiredAudit" [] "iam:deleteExpiredAudit" Write Unlimited INTERNAL Administrator "删除到期审计记录" "Delete expired audit records";
    ops::audit_trail::NoteAuditRollback: "noteAuditRollback" [] "iam:noteAuditRollback" Write Unlimited INTERNAL Administrator "记录审计回滚" "Note audit rollback";
}

static BY_PATH: LazyLock<HashMap<&'static str, &'static Row>> = LazyLock::new(|| {
    ROWS.iter().flat_map(|row| row.spec.paths.iter().map(move |path| (*path, row))).collect()
});

/// The row of a path tail.
pub fn by_path(path: &str) -> Option<&'static Row> {
    BY_PATH.get(path).copied()
}

/// The row of an operation's name.
pub fn by_name(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.spec.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_carry_names_limits_and_examples() {
        let fields = by_name("generateDataKey").unwrap().fields();
        let field = |name: &str| fields.iter().find(|field| field.name == name).unwrap();
        assert_eq!(fields.len(), 6);
        assert!(field("cmkUuid").required && field("cmkUuid").example().is_some());
        assert!(!field("numberOfBytes").required);
        assert_eq!(field("numberOfBytes").schema["maximum"], 1024);
        assert_eq!(field("keySpec").schema["enum"], serde_json::json!(["AES_256", "AES_128", "SM4_128"]));
        let fields = by_name("listAliasKeys").unwrap().fields();
        assert!(fields.iter().any(|field| field.name == "pageSize"), "{fields:?}");
        for row in ROWS {
            assert!(row.spec.paths.is_empty() || !row.description().is_empty(), "{}", row.spec.name);
            for field in row.fields() {
                assert!(!field.description().is_empty(), "{} {}: what is it?", row.spec.name, field.name);
                let typed = field.schema.contains_key("type") || field.schema.contains_key("anyOf");
                assert!(typed, "{} {}: {:?}", row.spec.name, field.name, field.schema);
                let shown = field.required && !row.spec.paths.is_empty();
                assert!(!shown || field.example().is_some(), "{} {}", row.spec.name, field.name);
            }
        }
    }

    /// Sends every required field by its example, and one field under another name.
    #[test]
    fn synonyms_are_read_as_the_field_itself() {
        let mut synonyms = 0;
        for row in ROWS {
            let fields = row.fields();
            let mut request = serde_json::Map::new();
            for field in fields.iter().filter(|field| field.required) {
                request.extend(field.example().map(|example| (field.name.clone(), example.clone())));
            }
            for field in &fields {
                let names = field.schema.get("x-also-named").and_then(|names| names.as_array());
                for synonym in names.into_iter().flatten().filter_map(|name| name.as_str()) {
                    let read = |request: &serde_json::Map<_, _>| {
                        let fields = Fields::from_json(serde_json::to_string(request).unwrap().as_bytes());
                        (row.prepare)(&fields.unwrap()).map(|_| ()).map_err(|error| error.wire().code)
                    };
                    let what = format!("{} {synonym}", row.spec.name);
                    let mut renamed = request.clone();
                    renamed.remove(&field.name);
                    renamed.insert(synonym.into(), field.example().expect(&what).clone());
                    assert_eq!(read(&renamed), Ok(()), "{what}");
                    renamed.insert(synonym.into(), serde_json::json!([[]]));
                    assert_eq!(read(&renamed), Err("KMS.9020"), "{what} is read at all");
                    synonyms += 1;
                }
            }
        }
        assert!(synonyms > 10, "only {synonyms}");
    }

    #[test]
    fn names_and_paths_are_unique_and_reachable() {
        let paths: Vec<&str> = ROWS.iter().flat_map(|row| row.spec.paths).copied().collect();
        assert_eq!(paths.len(), BY_PATH.len(), "a path stands in two rows");
        for row in ROWS {
            let spec = row.spec;
            assert_eq!(ROWS.iter().filter(|other| other.spec.name == spec.name).count(), 1, "{}", spec.name);
            assert_eq!(spec.paths.is_empty(), spec.reach == Reach::INTERNAL, "{}", spec.name);
            assert!(
                spec.paths.iter().all(|path| path.starts_with('/') && !path.starts_with("/v1")),
                "{}",
                spec.name
            );
        }
    }
}
