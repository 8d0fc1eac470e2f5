//! The listeners: TLS, the adapter between HTTP and the gateway, envelopes, health. The only folder that imports
//! actix-web.

mod adapter;
mod connections;
mod document;
mod envelope;
mod health;
mod listener;
mod metrics;
mod tls;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use actix_server::{Server, ServerHandle};
use rustix::process::{Resource, getrlimit};

use crate::error::{Error, Result};
use crate::gateway::Door;
use crate::model::principal::Plane;
use listener::Listener;
pub use tls::initialise as initialise_tls;

/// Seconds that calls in flight get when the service stops.
const STOP_SECONDS: u64 = 8;
/// Connections that a thread has been handed and not yet looked at.
const ARRIVING: usize = 64;
/// Open files that are not connections: database, segments, sockets of the process itself.
const FILES: u64 = 256;

/// The running listeners.
pub struct Listeners {
    /// Where OpenAPI and console listen.
    pub openapi: SocketAddr,
    /// Where access points listen.
    pub access_point: SocketAddr,
    handle: ServerHandle,
    metrics: Option<metrics::Listener>,
}

fn bind(address: SocketAddr) -> Result<TcpListener> {
    let listener = TcpListener::bind(address);
    listener.map_err(|error| Error::internal(format!("cannot listen on {address}: {error}")))
}

impl Listeners {
    /// Binds the addresses and starts to serve.
    pub fn start(door: &Arc<Door>) -> Result<Self> {
        let config = door.config();
        let certificate =
            tls::server_config(&config.data.join("tls"), &config.tls.names, door.env().clock.now())?;
        let (openapi, access_point) = (bind(config.openapi.listen)?, bind(config.access_point.listen)?);
        let address = |listener: &TcpListener| listener.local_addr().map_err(Error::internal);
        let (openapi_address, access_point_address) = (address(&openapi)?, address(&access_point)?);
        let metrics = config.metrics.listen;
        let metrics = metrics
            .map(|address| metrics::Listener::start(door, address, certificate.clone()))
            .transpose()?;
        let certificate = Arc::new(certificate);
        let documents = actix_web::web::Data::new(document::Documents::default());
        let workers = match config.http.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            number => number,
        };
        let places = places(config.http.connections_max).div_ceil(workers);
        let listener = |plane| Listener {
            plane,
            door: Arc::clone(door),
            tls: Arc::clone(&certificate),
            places,
            documents: documents.clone(),
        };
        let server = Server::build()
            .workers(workers)
            // More than both listeners have places for: accepting must not pause before they make room.
            .max_concurrent_connections(2 * places + ARRIVING)
            .shutdown_timeout(STOP_SECONDS)
            .disable_signals();
        let server = listener(Plane::OpenApi)
            .listen(openapi, server)
            .and_then(|server| listener(Plane::AccessPoint).listen(access_point, server))
            .map_err(Error::internal)?
            .run();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        Ok(Self { openapi: openapi_address, access_point: access_point_address, handle, metrics })
    }

    /// Where metrics are read, if they are on.
    pub fn metrics_url(&self) -> Option<String> {
        self.metrics.as_ref().map(|listener| listener.url.clone())
    }

    /// Stops accepting and waits for the calls in flight.
    pub async fn stop(self) {
        self.handle.stop(true).await;
        if let Some(listener) = self.metrics {
            listener.handle.stop(false).await;
        }
    }
}

/// Connections of one listener: as many as are wanted, and no more than the limit of open files allows both of them.
fn places(wanted: usize) -> usize {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let possible = usize::try_from(files.saturating_sub(FILES) / 2).unwrap_or(usize::MAX).max(1);
    if possible < wanted {
        tracing::warn!(
            event = "connections",
            wanted,
            possible,
            "fewer connections than http.connections_max: raise the limit of open files (ulimit -n)"
        );
    }
    possible.min(wanted)
}
