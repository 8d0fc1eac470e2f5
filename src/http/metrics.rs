//! The listener of metrics: one path, read by Prometheus, apart from the planes and their workers. It is there only if
//! a setting names its address. On a loopback address it speaks plain HTTP, anywhere else TLS.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::web::{self, Data};
use actix_web::{App, HttpResponse, HttpServer};
use rustls::ServerConfig;

use super::bind;
use crate::error::{Error, Result};
use crate::gateway::{Door, METRICS_TYPE};

/// Connections at the same time: a few readers.
const CONNECTIONS_MAX: usize = 16;

/// The running listener.
pub struct Listener {
    /// Where metrics are read.
    pub url: String,
    pub handle: ServerHandle,
}

impl Listener {
    /// Binds the address and starts to serve.
    pub fn start(door: &Arc<Door>, address: SocketAddr, certificate: ServerConfig) -> Result<Self> {
        let (socket, plain) = (bind(address)?, address.ip().is_loopback());
        let scheme = if plain { "http" } else { "https" };
        let url = format!("{scheme}://{}/metrics", socket.local_addr().map_err(Error::internal)?);
        let (shared, http) = (Data::from(Arc::clone(door)), &door.config().http);
        let server = HttpServer::new(move || {
            App::new().app_data(shared.clone()).route("/metrics", web::get().to(metrics))
        })
        .workers(1)
        .max_connections(CONNECTIONS_MAX)
        .keep_alive(Duration::from_secs(http.idle_seconds))
        .client_request_timeout(Duration::from_secs(http.head_seconds))
        .tls_handshake_timeout(Duration::from_secs(http.head_seconds))
        .disable_signals();
        let server = match plain {
            true => server.listen(socket),
            false => server.listen_rustls_0_23(socket, certificate),
        };
        let server = server.map_err(Error::internal)?.run();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        Ok(Self { url, handle })
    }
}

/// Everything there is to read now.
async fn metrics(door: Data<Door>) -> HttpResponse {
    match door.into_inner().metrics() {
        Ok(text) => HttpResponse::Ok().content_type(METRICS_TYPE).body(text),
        Err(error) => {
            tracing::error!(event = "metrics", cause = ?error);
            HttpResponse::InternalServerError().finish()
        }
    }
}
