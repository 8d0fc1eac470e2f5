//! The listeners: TLS, the adapter between HTTP and the gateway, envelopes, health. The only folder that imports
//! actix-web.

mod adapter;
mod envelope;
mod health;
mod metrics;
mod tls;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer, web};

use crate::error::{Error, Result};
use crate::gateway::{Calls, Door};
pub use tls::initialise as initialise_tls;

/// Seconds that calls in flight get when the service stops.
const STOP_SECONDS: u64 = 8;

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

/// Counts a connection as long as it is open.
struct Connection(Arc<Calls>);

impl Connection {
    fn open(calls: &Arc<Calls>) -> Self {
        calls.connections.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(calls))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
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
        let (shared, calls) = (web::Data::from(Arc::clone(door)), Arc::clone(door.calls()));
        let workers = match config.http.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            number => number,
        };
        let server = HttpServer::new(move || {
            App::new()
                .app_data(shared.clone())
                .app_data(web::Data::new(adapter::AccessPointAddress(access_point_address)))
                .route("/health/live", web::get().to(health::live))
                .route("/health/ready", web::get().to(health::ready))
                .route("/", web::get().to(health::page))
                .default_service(web::to(adapter::serve))
        })
        .on_connect(move |_, extensions| {
            extensions.insert(Connection::open(&calls));
        })
        .workers(workers)
        .max_connections(config.http.connections_max)
        .keep_alive(Duration::from_secs(config.http.idle_seconds))
        .client_request_timeout(Duration::from_secs(config.http.head_seconds))
        .tls_handshake_timeout(Duration::from_secs(config.http.head_seconds))
        .tcp_nodelay(true)
        .shutdown_timeout(STOP_SECONDS)
        .disable_signals()
        .listen_rustls_0_23(openapi, certificate.clone())
        .and_then(|server| server.listen_rustls_0_23(access_point, certificate))
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
