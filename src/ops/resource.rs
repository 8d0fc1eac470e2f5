//! What a service offers and how much of it is used: the figures of the overview (contract 5.1, resourceInfo).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Operation;
use crate::api::{Call, Target};
use crate::app::App;
use crate::error::Result;
use crate::ids::InstanceId;
use crate::model::access_point::AccessPoint;
use crate::model::algorithm::ProtectionLevel;
use crate::model::instance::{Edition, ServiceState};
use crate::model::key::Key;

/// Certificates that one base instance may hold (manual: 1,000).
const CERTIFICATES_PER_BASE_INSTANCE: u64 = 1000;
/// Access points that come with one base instance (manual: 3).
const ACCESS_POINTS_PER_BASE_INSTANCE: u64 = 3;

/// Tells what a service offers, and how much of it is used.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceInfo {}

/// The figures of a service.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceFigures {
    /// The service.
    pub instance_id: InstanceId,
    /// Its edition.
    pub edition: Edition,
    /// Whether it runs.
    pub status: ServiceState,
    /// When it ends; empty for one that never does.
    #[schemars(extend("examples" = [""]))]
    pub expire_time: String,
    /// Keys that it may hold.
    pub key_quota: u64,
    /// Keys that it holds.
    pub key_used: u64,
    /// Default keys of cloud products in the account; they count in no quota.
    pub default_key_used: u64,
    /// Certificates that it may hold.
    pub cert_quota: u64,
    /// Certificates that it holds.
    pub cert_used: u64,
    /// Access points that it may have.
    pub access_point_quota: u64,
    /// Access points that it has.
    pub access_point_used: u64,
    /// Symmetric operations a second over its access points.
    pub symmetric_qps: u32,
    /// Asymmetric operations a second over its access points.
    pub asymmetric_qps: u32,
    /// The highest level that its keys may have.
    pub protection_level: ProtectionLevel,
}

impl Operation for ResourceInfo {
    type Output = ServiceFigures;

    fn targets(&self) -> Result<Vec<Target>> {
        Ok(vec![Target::Service])
    }

    async fn run(self, call: &Call, app: &App) -> Result<ServiceFigures> {
        let service = app.instance(call.instance()?)?;
        let (instances, rates) = (service.base_instances, &app.config.rates);
        let count = u64::from(instances);
        let own = |point: &AccessPoint| Ok(point.instance == service.id);
        let points = app.store.filter(&AccessPoint::of_account(service.account), 0, 0, own)?.total;
        Ok(ServiceFigures {
            instance_id: service.id,
            edition: service.edition,
            status: service.state,
            // Nothing ends a service yet.
            expire_time: String::new(),
            key_quota: app.config.quota.keys_per_base_instance.saturating_mul(count),
            key_used: app.store.count(&Key::of_instance(service.id))?,
            default_key_used: app.store.count(&Key::defaults_of(service.account))?,
            cert_quota: CERTIFICATES_PER_BASE_INSTANCE.saturating_mul(count),
            // There are no certificates yet.
            cert_used: 0,
            access_point_quota: ACCESS_POINTS_PER_BASE_INSTANCE.saturating_mul(count),
            access_point_used: points,
            symmetric_qps: rates.symmetric.access_point.saturating_mul(instances),
            asymmetric_qps: rates.asymmetric.access_point.saturating_mul(instances),
            protection_level: match service.edition {
                Edition::Basic => ProtectionLevel::Software,
                Edition::Enterprise => ProtectionLevel::Hsm,
            },
        })
    }
}
