//! Sends one message to one place, and waits until it was taken.

use std::io::Write;
use std::net::{TcpStream, ToSocketAddrs, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::time::Duration;

use anyhow::{Context, Result};
use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::Credentials;
use lettre::{Message, SmtpTransport, Transport};
use serde_json::Value;

use super::config::{self, Kind, Target};
use crate::exit::usage;
use crate::outside::agent;

const TIMEOUT: Duration = Duration::from_secs(10);
/// Of an answer that refuses, in bytes.
const SAID_MAX: u64 = 300;

/// What is sent.
pub enum Sent {
    Json(Value),
    Mail { subject: String, text: String },
    Line(String),
}

pub fn send(target: &Target, sent: &Sent) -> Result<()> {
    let url = target.url()?;
    config::fits(target.kind, &url).map_err(usage)?;
    match sent {
        Sent::Json(value) => post(target, &url, value),
        Sent::Mail { subject, text } => mail(target, &url, subject, text),
        Sent::Line(line) => syslog(&url, line),
    }
}

fn post(target: &Target, url: &str, value: &Value) -> Result<()> {
    let url = match target.kind {
        Kind::Otlp if !url.ends_with("/v1/logs") => format!("{}/v1/logs", url.trim_end_matches('/')),
        _ => url.to_owned(),
    };
    let mut request = agent(TIMEOUT).post(&url).header("content-type", "application/json");
    if let Some(file) = &target.authorization_file {
        request = request.header("authorization", config::secret(file)?);
    }
    // No word of the URL: it may be the secret.
    let mut answer = request.send(value.to_string()).map_err(|error| match error {
        ureq::Error::Timeout(_) => anyhow::anyhow!("no answer in time"),
        ureq::Error::BadUri(_) => anyhow::anyhow!("its url is no URL"),
        error => anyhow::anyhow!("{error}"),
    })?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let said = answer.body_mut().with_config().limit(SAID_MAX).read_to_string().unwrap_or_default();
    anyhow::bail!("it answered {}: {}", status.as_u16(), muster_event::sanitize(said.trim()))
}

fn mail(target: &Target, url: &str, subject: &str, text: &str) -> Result<()> {
    let (scheme, place) = url.split_once("://").context("no scheme")?;
    let default = match scheme {
        "smtps" => 465,
        "smtp" => 587,
        _ => 25,
    };
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().context("no port")?),
        None => (place, default),
    };
    let mut transport = match scheme {
        "smtps" => SmtpTransport::relay(host)?,
        "smtp" => SmtpTransport::starttls_relay(host)?,
        // A relay on this machine.
        _ => SmtpTransport::builder_dangerous(host),
    }
    .port(port)
    .timeout(Some(TIMEOUT));
    if let Some(file) = &target.login_file {
        let login = config::secret(file)?;
        let (user, password) = login.split_once(':').context("the login file holds no USER:PASSWORD")?;
        transport = transport.credentials(Credentials::new(user.to_owned(), password.to_owned()));
    }
    let from = target.from.as_deref().unwrap_or_default();
    let mut message = Message::builder()
        .from(from.parse().with_context(|| format!("`from` is no address: {from}"))?)
        .subject(subject)
        .header(ContentType::TEXT_PLAIN);
    for to in &target.to {
        message = message.to(to.parse().with_context(|| format!("`to` is no address: {to}"))?);
    }
    transport.build().send(&message.body(text.to_owned())?)?;
    Ok(())
}

fn syslog(url: &str, line: &str) -> Result<()> {
    if let Some(path) = url.strip_prefix("unix:") {
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(TIMEOUT))?;
        if socket.send_to(line.as_bytes(), path).is_ok() {
            return Ok(());
        }
        let mut stream = UnixStream::connect(path)?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        return Ok(stream.write_all(format!("{line}\n").as_bytes())?);
    }
    let (scheme, place) = url.split_once("://").context("no scheme")?;
    let address = place.to_socket_addrs()?.next().context("the host has no address")?;
    if scheme == "udp" {
        let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        UdpSocket::bind(any)?.send_to(line.as_bytes(), address)?;
        return Ok(());
    }
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    // RFC 6587, counted: a line of it may hold anything.
    Ok(stream.write_all(format!("{} {line}", line.len()).as_bytes())?)
}
