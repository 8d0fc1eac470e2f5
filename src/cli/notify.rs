//! Tells systemd how the service is, where `NOTIFY_SOCKET` says that somebody listens (`Type=notify`): one datagram on a
//! local socket. Nowhere else does anything happen.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The service listens. `state` is what an operator reads in `systemctl status`.
pub fn ready(state: &str) {
    tell(&format!("READY=1\nSTATUS={state}"));
}

/// The service finishes what is in flight.
pub fn stopping() {
    tell("STOPPING=1");
}

fn tell(message: &str) {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else { return };
    if let Err(error) = send(&name, message) {
        tracing::warn!(event = "notify", %error, "NOTIFY_SOCKET does not take messages");
    }
}

fn send(name: &OsStr, message: &str) -> io::Result<()> {
    // A name that begins with @ is one of the kernel's, not of the file system.
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    UnixDatagram::unbound()?.send_to_addr(message.as_bytes(), &address).map(|_| ())
}
