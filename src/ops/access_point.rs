//! Access points, and what they can call (contract 5.10).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Operation;
use crate::api::{Access, Call, Moment, Page, Spec};
use crate::app::App;
use crate::error::Result;
use crate::ids::{AccessPointId, InstanceId};
use crate::model::access_point::AccessPoint;
use crate::model::owner::ServiceRef;
use crate::model::principal::Plane;
use crate::model::text::Text;

/// Lists the caller's access points, oldest first.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListApplicationAccessPoint {
    /// Which page.
    #[serde(flatten)]
    pub page: Page,
    /// Only access points whose name holds this text.
    pub name: Option<Text<0, 64>>,
}

/// An access point as clients see it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of contract 5.10, listApplicationAccessPoint")]
pub struct AccessPointView {
    pub access_point_id: AccessPointId,
    pub name: String,
    pub instance_id: InstanceId,
    pub vpc_id: String,
    pub subnet_id: String,
    pub endpoint: String,
    pub project_id: String,
    pub description: String,
    pub policy_check_open: bool,
    #[schemars(with = "Moment")]
    pub create_time: String,
}

/// A page of access points.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of contract 5.10 and of paging")]
pub struct AccessPointPage {
    pub access_points: Vec<AccessPointView>,
    pub page_number: u64,
    pub page_size: u64,
    pub total_count: u64,
}

impl Operation for ListApplicationAccessPoint {
    type Output = AccessPointPage;

    async fn run(self, call: &Call, app: &App) -> Result<AccessPointPage> {
        let list = AccessPoint::of_account(call.account()?);
        let keep = |point: &AccessPoint| {
            let named = self.name.as_ref().is_none_or(|part| point.name.as_str().contains(part.as_str()));
            let service = ServiceRef::Service(point.instance);
            Ok(named && call.common.instance_id.is_none_or(|meant| meant == service))
        };
        let page = app.store.filter(&list, self.page.offset(), self.page.limit(), keep)?;
        let endpoint = app.access_point_url();
        let view = |point: AccessPoint| AccessPointView {
            access_point_id: point.id,
            name: point.name.to_string(),
            instance_id: point.instance,
            vpc_id: point.vpc.to_string(),
            subnet_id: point.subnet.to_string(),
            endpoint: endpoint.clone(),
            project_id: point.project.to_string(),
            description: point.description.to_string(),
            policy_check_open: false,
            create_time: point.created.to_string(),
        };
        Ok(AccessPointPage {
            access_points: page.records.into_iter().map(view).collect(),
            page_number: self.page.page_number.get(),
            page_size: self.page.page_size.get(),
            total_count: page.total,
        })
    }
}

/// Lists the operations that access points can be allowed to call, in the order of the documentation.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListAllUri {}

/// An operation as policies of access points name it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of contract 5.10, listAllUri")]
pub struct Uri {
    /// Its path; other spellings of the same operation are not listed.
    pub uri: String,
    pub operation: String,
    /// Its Chinese title.
    pub name: String,
    /// Its English title.
    pub name_en: String,
    #[serde(rename = "type")]
    pub access: Access,
}

/// Everything that access points can call.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of contract 5.10, listAllUri")]
pub struct Uris {
    pub uris: Vec<Uri>,
}

impl Operation for ListAllUri {
    type Output = Uris;

    async fn run(self, _: &Call, app: &App) -> Result<Uris> {
        let reachable = app.operations.iter().filter(|spec| spec.reach.contains(Plane::AccessPoint));
        let view = |spec: &&Spec| {
            Some(Uri {
                uri: (*spec.paths.first()?).into(),
                operation: spec.name.into(),
                name: spec.title_zh.into(),
                name_en: spec.title_en.into(),
                access: spec.access,
            })
        };
        Ok(Uris { uris: reachable.filter_map(view).collect() })
    }
}
