//! What a call names, and whether its caller may touch it: keys, aliases, access points, credentials, services. What a caller
//! may not see is not there.

use std::sync::Arc;

use super::Gateway;
use crate::api::{Call, Target};
use crate::catalog::Row;
use crate::error::{Error, Result};
use crate::ids::KeyId;
use crate::model::access_point::AccessPoint;
use crate::model::alias::{Alias, AliasName, KeyRef};
use crate::model::credential::{Credential, Holder};
use crate::model::instance::Instance;
use crate::model::owner::{Owner, ServiceRef};
use crate::model::principal::Principal;
use crate::model::rate::RateClass;
use crate::store::Page;

const NO_ACCESS_KEY: Error = Error::ResourceNotFound("access key");
const NO_SERVICE: Error = Error::ResourceNotFound("service");

impl Gateway {
    /// Steps 6 and 7: what a target is, and whether the caller may touch it. What a caller may not see is not there.
    pub(super) fn resolve(&self, target: Target, call: &Call) -> Result<()> {
        match target {
            Target::Key(KeyRef::Id(id)) => self.resolve_key(id, "", call),
            Target::Key(KeyRef::Alias(name)) => {
                let alias = self.alias(&name, call)?;
                self.resolve_key(alias.key, name.as_str(), call)
            }
            Target::Alias(name) => {
                let alias = self.alias(&name, call)?;
                let key = self.app.keys.get(&alias.key)?.ok_or(Error::AliasNotFound)?;
                if !call.principal.sees(key.account, key.owner.service()) {
                    return Err(Error::AliasNotFound);
                }
                call.touch_owner(&key);
                call.touch_alias(alias);
                Ok(())
            }
            Target::AccessPoint(id) => {
                let point = self.app.access_points.get(&id)?;
                let missing = Error::ResourceNotFound("access point");
                let point: Arc<AccessPoint> = point
                    .filter(|point| call.principal.sees(point.account, Some(point.instance)))
                    .ok_or(missing)?;
                call.touch_instance(point.instance);
                call.touch("AccessPoint", id.text(), point.name.as_str());
                Ok(())
            }
            Target::Credential(id) => {
                let missing = NO_ACCESS_KEY;
                let holder = self.app.credentials.get(&id)?.map(|credential| credential.holder);
                let Some(Holder::AccessPoint(point)) = holder else { return Err(missing) };
                let point = self.app.access_points.get(&point)?;
                let point = point.filter(|point| call.principal.sees(point.account, Some(point.instance)));
                call.touch_instance(point.ok_or(missing)?.instance);
                call.touch("Credential", id.text(), "");
                Ok(())
            }
            Target::ProductCredential(id) => {
                let credential = self.app.credentials.get(&id)?;
                let of_product = |credential: &Arc<Credential>| {
                    matches!(credential.holder, Holder::Product(_))
                        && call.principal.sees(credential.account, None)
                };
                credential.filter(of_product).ok_or(NO_ACCESS_KEY)?;
                call.touch("Credential", id.text(), "");
                Ok(())
            }
            Target::Service => {
                if let Some(service) = self.service(call)?.service() {
                    call.touch_instance(service);
                }
                Ok(())
            }
        }
    }

    fn resolve_key(&self, id: KeyId, meant_as: &str, call: &Call) -> Result<()> {
        let key = self.app.keys.get(&id)?;
        let key = key
            .filter(|key| call.principal.sees(key.account, key.owner.service()))
            .ok_or(Error::KeyNotFound)?;
        call.touch_owner(&key);
        call.touch_key(id, meant_as);
        Ok(())
    }

    fn alias(&self, name: &AliasName, call: &Call) -> Result<Alias> {
        self.app.store.get::<Alias>(&(call.account()?, name.clone()))?.ok_or(Error::AliasNotFound)
    }

    /// The service named by `instanceId`, or the caller's own, or the account's oldest; none where keys on demand are named.
    fn service(&self, call: &Call) -> Result<Owner> {
        match (&call.principal, call.common.instance_id) {
            (Principal::AccessPoint { instance, .. }, None) => Ok(Owner::Service(*instance)),
            (_, Some(named)) => self.named_service(named, call),
            (Principal::User { .. } | Principal::Product { .. } | Principal::System, None) => {
                let page: Page<Instance> =
                    self.app.store.page(&Instance::of_account(call.account()?), 0, 1)?;
                page.records.first().map(|oldest| Owner::Service(oldest.id)).ok_or(NO_SERVICE)
            }
        }
    }

    /// The service that a call names. It must be the caller's to see also where the operation does without.
    pub(super) fn named_service(&self, named: ServiceRef, call: &Call) -> Result<Owner> {
        let seen = match named {
            ServiceRef::Service(id) => {
                let instance = self.app.instances.get(&id)?;
                instance.is_some_and(|instance| call.principal.sees(instance.account, Some(id)))
            }
            ServiceRef::OnDemand => call.principal.sees(call.account()?, None),
        };
        if seen { Ok(named.into()) } else { Err(NO_SERVICE) }
    }

    /// The rate that a cloud product's call draws from: work with a default key has one of its own (contract 4.4).
    pub(super) fn class_of_product(&self, row: &Row, call: &Call) -> Result<RateClass> {
        if row.spec.rate == RateClass::Symmetric {
            for id in call.keys() {
                if self.app.keys.get(&id)?.is_some_and(|key| key.is_default()) {
                    return Ok(RateClass::DefaultKey);
                }
            }
        }
        Ok(row.spec.rate)
    }
}
