//! The listeners: TLS, the adapter between HTTP and the gateway, envelopes, health. The only folder that imports
//! actix-web.

mod adapter;
mod document;
mod envelope;
mod health;
mod tls;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer, web};

use crate::error::{Error, Result};
use crate::gateway::Door;
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
}

impl Listeners {
    /// Binds both addresses and starts to serve.
    pub fn start(door: &Arc<Door>) -> Result<Self> {
        let config = door.config();
        let certificate =
            tls::server_config(&config.data.join("tls"), &config.tls.names, door.env().clock.now())?;
        let bind = |address: SocketAddr| {
            let listener = TcpListener::bind(address);
            listener.map_err(|error| Error::internal(format!("cannot listen on {address}: {error}")))
        };
        let (openapi, access_point) = (bind(config.openapi.listen)?, bind(config.access_point.listen)?);
        let address = |listener: &TcpListener| listener.local_addr().map_err(Error::internal);
        let (openapi_address, access_point_address) = (address(&openapi)?, address(&access_point)?);
        let shared = web::Data::from(Arc::clone(door));
        let documents = web::Data::new(document::Documents::default());
        let workers = match config.http.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            number => number,
        };
        let server = HttpServer::new(move || {
            App::new()
                .app_data(shared.clone())
                .app_data(documents.clone())
                .app_data(web::Data::new(adapter::AccessPointAddress(access_point_address)))
                .route("/health/live", web::get().to(health::live))
                .route("/health/ready", web::get().to(health::ready))
                .route("/", web::get().to(health::page))
                .route("/openapi.json", web::get().to(document::document))
                .configure(document::pages)
                .default_service(web::to(adapter::serve))
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
        Ok(Self { openapi: openapi_address, access_point: access_point_address, handle })
    }

    /// Stops accepting and waits for the calls in flight.
    pub async fn stop(self) {
        self.handle.stop(true).await;
    }
}
