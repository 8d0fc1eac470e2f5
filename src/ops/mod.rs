//! How each operation works: one file per noun, one struct per operation. When `run` begins, the request is decoded,
//! the caller is known and permitted, rates and quotas of the class are charged and every target is authorised; the
//! audit record follows by itself.

pub mod access_point;
pub mod account;
pub mod alias;
pub mod asymmetric;
pub mod audit;
pub mod audit_export;
pub mod audit_trail;
pub mod clock;
pub mod credential;
pub mod data_key;
pub mod deletion;
pub mod erasure;
pub mod event;
pub mod export;
pub mod import;
pub mod integrity;
pub mod key;
pub mod key_material;
pub mod key_metadata;
pub mod product;
pub mod product_credential;
pub mod random;
pub mod re_encrypt;
pub mod rehearsal;
pub mod resource;
pub mod rotation;
pub mod symmetric;
pub mod system;
pub mod tag;
pub mod tombstone;
pub mod version;
pub mod wrapping_key;

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::api::{Call, Fields, Spec, Target};
use crate::app::App;
use crate::error::{Error, Result};

/// Usual length of a result.
const OUTPUT_BYTES: usize = 512;
/// Why nothing is destroyed for good at the moment.
const CLOCK_IN_DOUBT: Error = Error::Unavailable(
    "the clock of the service is in doubt: nothing is destroyed and no end is set by it; see describeSystem",
);
/// What refuses every operation that works with a key.
const KEY_IN_USE: &[Error] = &[
    Error::DefaultKey,
    Error::KeyDisabled,
    Error::KeyPendingDeletion,
    Error::KeyPendingImport,
    Error::ServiceFrozen,
    Error::Unsupported(""),
];

/// What refuses every operation that works with a named version of an asymmetric key.
const VERSION_IN_USE: &[Error] = &[
    Error::DefaultKey,
    Error::KeyDisabled,
    Error::KeyPendingDeletion,
    Error::KeyPendingImport,
    Error::KeyVersionNotFound,
    Error::ServiceFrozen,
    Error::Unsupported(""),
];

/// A row of the catalog. Only the table in `catalog.rs` implements it, so that a row without an operation and an
/// operation without a row both fail to compile.
pub trait Listed {
    /// The row.
    const SPEC: &'static Spec;
}

/// One API call: its request fields, what it answers, what it touches and how it runs.
#[expect(async_fn_in_trait, reason = "operations run on the worker that took the call and need not be Send")]
pub trait Operation: Listed + Serialize + DeserializeOwned + JsonSchema + 'static {
    /// The object in `result`.
    type Output: Serialize + DeserializeOwned + JsonSchema;

    /// What refuses it beside what follows from its fields, its caller and its rate; for the API document.
    const REFUSALS: &'static [Error] = &[];

    /// Fields whose name stands for several things, each with the name by which [`missing`](crate::error::missing) knows this
    /// one (contract 4.1).
    const KNOWN_AS: &'static [(&'static str, &'static str)] = &[];

    /// Resources that the call touches; the gateway authorises each before `run`.
    fn targets(&self) -> Result<Vec<Target>> {
        Ok(Vec::new())
    }

    /// Does the work.
    async fn run(self, call: &Call, app: &App) -> Result<Self::Output>;
}

/// A decoded operation whose type is forgotten.
pub trait Prepared {
    /// See [`Operation::targets`].
    fn targets(&self) -> Result<Vec<Target>>;
    /// See [`Operation::run`]; answers the result as JSON.
    fn run<'a>(
        self: Box<Self>,
        call: &'a Call,
        app: &'a App,
    ) -> Pin<Box<dyn Future<Output = Result<String>> + 'a>>;
}

impl<O: Operation> Prepared for O {
    fn targets(&self) -> Result<Vec<Target>> {
        Operation::targets(self)
    }

    fn run<'a>(
        self: Box<Self>,
        call: &'a Call,
        app: &'a App,
    ) -> Pin<Box<dyn Future<Output = Result<String>> + 'a>> {
        Box::pin(async move {
            let output = Operation::run(*self, call, app).await?;
            let mut json = Vec::with_capacity(OUTPUT_BYTES);
            serde_json::to_writer(&mut json, &output).map_err(Error::internal)?;
            String::from_utf8(json).map_err(Error::internal)
        })
    }
}

/// Decodes the fields of one operation.
pub fn prepare<O: Operation>(fields: &Fields) -> Result<Box<dyn Prepared>> {
    let known = |error| match error {
        Error::MissingField(field) => Error::MissingField(known_as(O::KNOWN_AS, field)),
        other => other,
    };
    Ok(Box::new(fields.decode::<O>().map_err(known)?))
}

/// The name by which the codes of missing fields know a field of an operation.
pub fn known_as(names: &[(&str, &'static str)], field: Cow<'static, str>) -> Cow<'static, str> {
    let known = names.iter().find(|(name, _)| *name == field);
    known.map_or(field, |(_, known)| Cow::Borrowed(*known))
}

/// The shape of one operation's request fields.
pub fn request_schema<O: Operation>(generator: &mut SchemaGenerator) -> Schema {
    O::json_schema(generator)
}

/// The shape of one operation's result.
pub fn result_schema<O: Operation>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<O::Output>()
}
