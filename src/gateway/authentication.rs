//! Who calls: the proofs of both planes (contract 2.1 and 2.2). Until a proof holds, the caller is a stranger.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use firmware_sim::{CredentialMac, PartitionId};
use subtle::ConstantTimeEq;

use super::{Gateway, Method, Proven, Request, header, route};
use crate::api::{Access, Arrival, Fields};
use crate::catalog::Row;
use crate::config::DateZone;
use crate::error::{Error, Result};
use crate::ids::{AccessKeyId, AccountId};
use crate::model::credential::{Credential, CredentialStatus, Holder};
use crate::model::principal::{Plane, Principal};
use crate::model::signature::{
    EopAuthorization, EopZone, access_point_date, access_point_message, eop_canonical_query, eop_date,
    eop_mac_chain, eop_string_to_sign, in_window, oldest_minute, parse_query,
};
use crate::store::EopTrace;

/// Why a caller stays a stranger, and what is known of them all the same.
pub struct Refusal {
    pub error: Error,
    pub row: Option<&'static Row>,
    pub access_key: Option<AccessKeyId>,
    pub account: Option<AccountId>,
}

impl Gateway {
    /// Step 1: finds the operation, reads the fields, proves the caller.
    pub(super) async fn identify(
        &self,
        request: &Request,
        arrival: &Arrival,
    ) -> Result<Box<Proven>, Box<Refusal>> {
        let mut refusal =
            Box::new(Refusal { error: Error::OperationNotFound, row: None, access_key: None, account: None });
        match self.prove(request, arrival, &mut refusal).await {
            Ok(proven) => Ok(proven),
            Err(error) => {
                refusal.error = error;
                Err(refusal)
            }
        }
    }

    async fn prove(&self, request: &Request, arrival: &Arrival, known: &mut Refusal) -> Result<Box<Proven>> {
        let row = route(request)?;
        if row.spec.reach.is_demo_only() && self.app.store.time().demo_offset().is_none() {
            return Err(Error::OperationNotFound);
        }
        known.row = Some(row);
        let body = request.body.as_ref().map_err(Error::clone)?;
        match request.plane {
            Plane::OpenApi => {
                let (credential, mut eop) = Box::pin(self.prove_eop(request, body, arrival, known)).await?;
                if row.spec.access == Access::Read {
                    eop.replay = None;
                }
                let principal = self.principal(&credential)?;
                // The signature covers the raw body, so whoever sent nonsense is known.
                Ok(Box::new(Proven { row, fields: read_fields(request, body), principal, eop }))
            }
            Plane::AccessPoint => {
                let fields = read_fields(request, body)?;
                let credential = self.prove_access_point(request, &fields, arrival, known).await?;
                let principal = self.principal(&credential)?;
                Ok(Box::new(Proven { row, fields: Ok(fields), principal, eop: EopTrace::default() }))
            }
            Plane::Internal => Err(Error::SignatureMismatch),
        }
    }

    /// The credential of an access key, if it is one of this plane.
    fn credential(&self, access_key: &str, plane: Plane, known: &mut Refusal) -> Result<Arc<Credential>> {
        let id: AccessKeyId = access_key.parse().map_err(|_| Error::AccessKeyNotFound)?;
        known.access_key = Some(id);
        let credential = self.app.credentials.get(&id)?.ok_or(Error::AccessKeyNotFound)?;
        let fits = match credential.holder {
            Holder::User(_) | Holder::Product(_) => plane == Plane::OpenApi,
            Holder::AccessPoint(_) => plane == Plane::AccessPoint,
        };
        if !fits {
            return Err(Error::AccessKeyNotFound);
        }
        known.account = Some(credential.account);
        Ok(credential)
    }

    /// Whether the base64 text is the HMAC chain over these messages. The secret stays in the cipher machine.
    async fn matches(
        &self,
        credential: &Credential,
        messages: Vec<Vec<u8>>,
        signature: &str,
    ) -> Result<bool> {
        let command = CredentialMac { credential: credential.secret.clone(), messages };
        let expected = self.app.machine.run(PartitionId::DEVICE, command).await?;
        let given = STANDARD.decode(signature).unwrap_or_default();
        Ok(given.ct_eq(&expected).into())
    }

    async fn prove_eop(
        &self,
        request: &Request,
        body: &[u8],
        arrival: &Arrival,
        known: &mut Refusal,
    ) -> Result<(Arc<Credential>, EopTrace)> {
        let authorization = header(&request.headers, "eop-authorization").ok_or(Error::SignatureMismatch)?;
        let authorization = EopAuthorization::parse(authorization).ok_or(Error::SignatureMismatch)?;
        let credential = self.credential(authorization.access_key, Plane::OpenApi, known)?;
        let date = header(&request.headers, "eop-date").ok_or(Error::TimeSkewed)?;
        let (zone, at) = self
            .eop_zones(credential.id)
            .into_iter()
            .filter_map(|zone| eop_date(date, zone).map(|at| (zone, at)))
            .find(|(_, at)| in_window(*at, arrival.time.wall))
            .filter(|(_, at)| at.minute() >= oldest_minute(arrival.time.confirmed))
            .ok_or(Error::TimeSkewed)?;
        let signed =
            authorization.headers.iter().map(|name| Some((name.as_str(), header(&request.headers, name)?)));
        let signed: Vec<(&str, &str)> = signed.collect::<Option<_>>().ok_or(Error::SignatureMismatch)?;
        let canonical = eop_canonical_query(&request.query);
        let mut proven = false;
        for query in [request.query.as_str(), canonical.as_str()] {
            let text = eop_string_to_sign(&signed, query, body);
            let chain = eop_mac_chain(date, authorization.access_key, &text).ok_or(Error::TimeSkewed)?;
            proven = proven || self.matches(&credential, chain, authorization.signature).await?;
            if proven || canonical == request.query {
                break;
            }
        }
        if !proven {
            return Err(Error::SignatureMismatch);
        }
        check_enabled(&credential)?;
        let id = header(&request.headers, "ctyun-eop-request-id").ok_or(Error::SignatureMismatch)?;
        let replay = self.replays.accept(credential.id, id, at, &arrival.time)?;
        let pin = self.app.config.openapi.date_zone == DateZone::Auto;
        let zone = (pin && self.replays.pin(credential.id, zone)).then_some((credential.id, zone as u8));
        Ok((credential, EopTrace { replay: Some(replay), zone }))
    }

    fn eop_zones(&self, access_key: AccessKeyId) -> Vec<EopZone> {
        match self.app.config.openapi.date_zone {
            DateZone::Utc => vec![EopZone::Utc],
            DateZone::Beijing => vec![EopZone::Beijing],
            DateZone::Auto => {
                self.replays.zone(access_key).map_or(vec![EopZone::Utc, EopZone::Beijing], |zone| vec![zone])
            }
        }
    }

    async fn prove_access_point(
        &self,
        request: &Request,
        fields: &Fields,
        arrival: &Arrival,
        known: &mut Refusal,
    ) -> Result<Arc<Credential>> {
        let access_key = header(&request.headers, "accesskey").ok_or(Error::SignatureMismatch)?;
        let mac = header(&request.headers, "hmac").ok_or(Error::SignatureMismatch)?;
        let credential = self.credential(access_key, Plane::AccessPoint, known)?;
        let date = header(&request.headers, "requestdate").ok_or(Error::TimeSkewed)?;
        let at = access_point_date(date).ok_or(Error::TimeSkewed)?;
        if !in_window(at, arrival.time.wall) {
            return Err(Error::TimeSkewed);
        }
        let values = fields.signed_values(access_key)?;
        let message = access_point_message(&values, date, &request.path);
        if !self.matches(&credential, vec![message], mac).await? {
            return Err(Error::SignatureMismatch);
        }
        check_enabled(&credential)?;
        Ok(credential)
    }

    /// Who stands behind a credential.
    fn principal(&self, credential: &Credential) -> Result<Principal> {
        let (account, access_key) = (credential.account, credential.id);
        match credential.holder {
            Holder::User(id) => {
                let user = self.app.users.get(&id)?.ok_or(Error::AccessKeyNotFound)?;
                let tenant = self.app.accounts.get(&account)?.ok_or(Error::AccessKeyNotFound)?;
                let name = user.name.to_string();
                Ok(Principal::User {
                    user: id,
                    name,
                    account,
                    administrator: tenant.administrator,
                    access_key,
                })
            }
            Holder::Product(code) => Ok(Principal::Product { code, account, access_key }),
            Holder::AccessPoint(id) => {
                let point = self.app.access_points.get(&id)?.ok_or(Error::AccessKeyNotFound)?;
                Ok(Principal::AccessPoint { access_point: id, instance: point.instance, account, access_key })
            }
        }
    }
}

fn check_enabled(credential: &Credential) -> Result<()> {
    match credential.status {
        CredentialStatus::Enabled => Ok(()),
        CredentialStatus::Disabled => Err(Error::AccessKeyDisabled),
    }
}

/// The fields of the body, or of the query where there can be no body. A region in header or query counts as a field.
fn read_fields(request: &Request, body: &[u8]) -> Result<Fields> {
    let mut fields = match request.method {
        Method::Get => Fields::from_query(&request.query)?,
        Method::Post | Method::Other => Fields::from_json(body)?,
    };
    if request.plane == Plane::OpenApi {
        let query = parse_query(&request.query).into_iter().find(|(name, _)| name == "regionId");
        let region = query.map(|(_, region)| region);
        let region = region.or_else(|| header(&request.headers, "regionid").map(str::to_owned));
        if let Some(region) = region {
            fields.default_text("regionId", &region);
        }
    }
    Ok(fields)
}
