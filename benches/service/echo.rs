//! The baseline: what HTTP/1.1 over TLS costs on this machine when the answer is the request's body. The
//! bench runs it as a child process of its own and measures it with the client that measures the service.

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::{env, fs, process, thread};

use actix_web::{App, HttpResponse, HttpServer, web};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;

use crate::client::Endpoint;
use crate::process::Server;

/// The hidden first argument that turns the bench into the echo server; the second is the certificate's file.
pub const ARGUMENT: &str = "--echo-server";

/// Starts the echo server as a child; its certificate goes into `directory`.
pub fn start(directory: &Path) -> Result<(Server, Endpoint), String> {
    let certificate = directory.join("echo.pem");
    let program = env::current_exe().map_err(|error| error.to_string())?;
    let (server, ready) = Server::start(process::Command::new(program).arg(ARGUMENT).arg(&certificate))?;
    let endpoint = Endpoint::new(ready["echo"].as_str().unwrap_or_default(), &certificate)?;
    Ok((server, endpoint))
}

/// Serves until the parent closes its end of standard input, which it also does by dying.
pub fn serve(certificate_file: &Path) -> io::Result<()> {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).map_err(io::Error::other)?;
    fs::write(certificate_file, made.cert.pem())?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(io::Error::other)?;
    let tls = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .map_err(io::Error::other)?;
    thread::spawn(|| {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        process::exit(0);
    });
    actix_web::rt::System::new().block_on(async {
        let server = HttpServer::new(|| App::new().default_service(web::post().to(echo)))
            .workers(thread::available_parallelism()?.get())
            .disable_signals()
            .bind_rustls_0_23(("127.0.0.1", 0), tls)?;
        let address = server.addrs()[0];
        println!(r#"{{"event":"ready","echo":"https://{address}"}}"#);
        io::stdout().flush()?;
        server.run().await
    })
}

async fn echo(body: web::Bytes) -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(body)
}
