//! One listener: gives each connection its place, does the TLS handshake in bounded time and has HTTP/1.1 spoken over
//! it. actix-web's own server would do the rest alike, but nobody could end one of its connections from outside, and a
//! few hundred handshakes that never finish keep it from accepting anybody.

use std::cell::Cell;
use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix_http::{ConnectionType, HttpService, Protocol, Request};
use actix_server::{GracefulShutdownSignal, ServerBuilder};
use actix_service::{Service, ServiceFactory as _, apply_fn_factory, fn_factory, fn_service, map_config};
use actix_web::dev::AppConfig;
use actix_web::error::InternalError;
use actix_web::rt::net::TcpStream;
use actix_web::{App, HttpResponse, web};
use rustls::ServerConfig;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::adapter::Adapter;
use super::connections::{Connection, Connections, Place};
use super::{document, health};
use crate::gateway::{Calls, Door};
use crate::model::principal::Plane;

/// A connection whose handshake is done, as the protocol takes it.
type Opened = (TlsStream<TcpStream>, Protocol, Option<std::net::SocketAddr>);

/// Hands a connection from its task to the data of its requests.
type Slot = Rc<Cell<Option<Rc<Connection>>>>;

/// What every thread of a listener needs.
#[derive(Clone)]
pub struct Listener {
    /// The surface that it serves.
    pub plane: Plane,
    /// Where calls go.
    pub door: Arc<Door>,
    /// The settings of TLS.
    pub tls: Arc<ServerConfig>,
    /// Connections that each thread may have open.
    pub places: usize,
    /// The API documents of both planes.
    pub documents: web::Data<document::Documents>,
}

impl Listener {
    /// Adds the listener to a server.
    pub fn listen(self, listener: TcpListener, server: ServerBuilder) -> io::Result<ServerBuilder> {
        let stop = server.graceful_shutdown_signal();
        server.listen(self.plane.event_source(), listener, move || {
            let (listener, stop) = (self.clone(), stop.clone());
            fn_factory(move || listener.clone().start(stop.clone()))
        })
    }

    /// Starts to serve on one thread.
    async fn start(
        self,
        stop: GracefulShutdownSignal,
    ) -> Result<impl Service<TcpStream, Response = (), Error = ()>, ()> {
        let http = &self.door.config().http;
        let (head, idle) = (Duration::from_secs(http.head_seconds), Duration::from_secs(http.idle_seconds));
        let adapter = Rc::new(Adapter { door: Arc::clone(&self.door), plane: self.plane });
        let app = App::new()
            .app_data(web::Data::from(Arc::clone(&self.door)))
            .app_data(web::Data::new(self.plane))
            .route("/health/live", web::get().to(health::live))
            .route("/health/ready", web::get().to(health::ready))
            .route("/", web::get().to(health::page))
            .app_data(self.documents.clone())
            .route("/openapi.json", web::get().to(document::document))
            .configure(document::pages)
            .default_service(fn_service(move |request| Rc::clone(&adapter).serve(request)));
        let app = map_config(app, |()| AppConfig::default());
        let answering = apply_fn_factory(app, |request: Request, app| {
            let connection = request.conn_data::<Rc<Connection>>().cloned();
            let last = request.head().connection_type() == ConnectionType::Close;
            let admitted = connection.as_ref().is_none_or(|connection| connection.admits(last));
            let answer = admitted.then(|| app.call(request));
            async move {
                let answer = match answer {
                    Some(answer) => answer.await,
                    None => Err(uncalled_for()),
                };
                if let Some(connection) = connection {
                    connection.answered();
                }
                answer
            }
        });
        let slot = Slot::default();
        let opened = Rc::clone(&slot);
        let protocol = HttpService::build()
            .keep_alive(idle)
            .client_request_timeout(head)
            .client_disconnect_timeout(head)
            // So the dispatchers learn of an orderly stop: they finish the call at hand and close.
            .graceful_shutdown_signal(move || {
                let stop = stop.clone();
                async move { stop.notified().await }
            })
            .on_connect_ext(move |_, data| {
                if let Some(connection) = opened.take() {
                    data.insert(connection);
                }
            })
            .finish(answering)
            .new_service(())
            .await?;
        let protocol = Rc::new(protocol);
        let acceptor = TlsAcceptor::from(self.tls);
        let connections = Connections::new(self.places, idle + head);
        let calls = Arc::clone(self.door.calls());
        Ok(fn_service(move |stream: TcpStream| {
            let place = connections.enter();
            let (acceptor, protocol, slot) = (acceptor.clone(), Rc::clone(&protocol), Rc::clone(&slot));
            let calls = Arc::clone(&calls);
            async move {
                if let Some(place) = place {
                    converse(&place, stream, head, &acceptor, &*protocol, &slot, &calls).await;
                }
                Ok(())
            }
        }))
    }
}

/// What comes after the last request.
fn uncalled_for() -> actix_web::Error {
    let refusal = HttpResponse::BadRequest().force_close().finish();
    InternalError::from_response("a request after the last one", refusal).into()
}

/// All that happens on one connection.
async fn converse(
    place: &Place,
    stream: TcpStream,
    head: Duration,
    acceptor: &TlsAcceptor,
    protocol: &impl Service<Opened>,
    slot: &Slot,
    calls: &Arc<Calls>,
) {
    let connection = place.connection();
    let peer = stream.peer_addr().ok();
    let _ = stream.set_nodelay(true);
    let handshake = connection.run(timeout(head, acceptor.accept(stream))).await;
    let Some(Ok(Ok(stream))) = handshake else { return };
    let _counted = Counted::open(calls);
    slot.set(Some(Rc::clone(connection)));
    let conversation = protocol.call((stream, Protocol::Http1, peer));
    // How it ended is of no interest: a client may hang up at any time.
    let _ = connection.run(conversation).await;
}

/// Counts a connection as long as it is open.
struct Counted(Arc<Calls>);

impl Counted {
    fn open(calls: &Arc<Calls>) -> Self {
        calls.connections.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(calls))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
