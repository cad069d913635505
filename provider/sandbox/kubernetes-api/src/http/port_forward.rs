//! `pods/portforward` over WebSocket: bytes to and from ports of a pod.
//!
//! Each port has two channels, the first for its bytes and the second for an error; every message begins with its
//! channel's number, and the first message of each channel names the port.  SPDY, which kubectl speaks, is not.

use std::sync::Arc;

use futures::stream::FuturesUnordered;
use futures::{SinkExt as _, StreamExt as _};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::{Answer, Call, Face, body};
use crate::object::ObjectExt as _;
use crate::port_forward::PortForward;
use crate::status::ApiError;

/// The subprotocol that is spoken.
const PROTOCOL: &str = "v4.channel.k8s.io";

/// How many ports one request may ask for.
const PORTS: usize = 100;

/// How many bytes a message carries at most.
const CHUNK: usize = 32 * 1024;

/// Where bytes are forwarded to.
struct Backend {
    connector: Arc<dyn PortForward>,
    node: String,
    pod: String,
    ports: Vec<u16>,
}

impl Face {
    pub(super) fn port_forward(&self, call: &Call, head: Parts) -> Answer {
        let target = &call.target;
        let pod = self.api.get(call.resource, &target.namespace, &target.name)?;
        let node = pod.text("/spec/nodeName").to_owned();
        if node.is_empty() {
            return Err(ApiError::bad_request(format!(
                "pod {} does not have a host assigned",
                pod.name()
            )));
        }
        let ports = ports(call.query.all("ports"))?;
        let connector = self.port_forward.clone().ok_or_else(|| {
            let message = format!("error dialing backend: nothing leads from here to the kubelet of {node}");
            ApiError::new(500, "", message)
        })?;
        let accept = handshake(&head.headers)?;
        let backend = Backend {
            connector,
            node,
            pod: pod.name().to_owned(),
            ports,
        };
        let (upgrade, stopping) = (hyper::upgrade::on(Request::from_parts(head, ())), self.stopping.clone());
        tokio::spawn(async move {
            stopping.run_until_cancelled(serve(upgrade, backend)).await;
        });
        let mut response = body::respond(StatusCode::SWITCHING_PROTOCOLS, "", "");
        let headers = response.headers_mut();
        headers.remove(header::CONTENT_TYPE);
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        Ok(response)
    }
}

/// `2379,2381`, once or several times.
fn ports<'a>(given: impl Iterator<Item = &'a str>) -> Result<Vec<u16>, ApiError> {
    let mut found = Vec::new();
    for text in given.flat_map(|list| list.split(',')) {
        let port = text.parse().ok().filter(|port| *port > 0);
        found.push(port.ok_or_else(|| ApiError::bad_request(format!("unable to parse {text:?} as a port")))?);
    }
    match found.len() {
        0 => Err(ApiError::bad_request("at least one port must be specified")),
        1..=PORTS => Ok(found),
        _ => Err(ApiError::bad_request("too many ports")),
    }
}

/// What the server's side of the handshake says, if the client's is one that it understands.
fn handshake(headers: &HeaderMap) -> Result<HeaderValue, ApiError> {
    let has = |name: header::HeaderName, wanted: &str| {
        let values = headers
            .get_all(name)
            .into_iter()
            .filter_map(|value| value.to_str().ok());
        values
            .flat_map(|value| value.split(','))
            .any(|one| one.trim().eq_ignore_ascii_case(wanted))
    };
    if !has(header::CONNECTION, "upgrade") || !has(header::UPGRADE, "websocket") {
        return Err(ApiError::bad_request(
            "Upgrade request required: this server forwards ports over WebSocket only",
        ));
    }
    if !has(header::SEC_WEBSOCKET_PROTOCOL, PROTOCOL) {
        return Err(ApiError::bad_request(format!(
            "the WebSocket subprotocol {PROTOCOL} is the only one that is spoken here"
        )));
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY);
    let key = key.ok_or_else(|| ApiError::bad_request("the header Sec-WebSocket-Key is missing"))?;
    HeaderValue::from_str(&derive_accept_key(key.as_bytes())).map_err(ApiError::internal)
}

async fn serve(upgrade: OnUpgrade, backend: Backend) {
    let upgraded = match upgrade.await {
        Ok(upgraded) => TokioIo::new(upgraded),
        Err(error) => {
            tracing::debug!(%error, "no port-forward: the connection was not upgraded");
            return;
        }
    };
    let socket = WebSocketStream::from_raw_socket(upgraded, Role::Server, None).await;
    if let Err(error) = forward(socket, &backend).await {
        tracing::debug!(%error, node = backend.node, pod = backend.pod, "port-forward ended");
    }
}

type WebSocketError = tokio_tungstenite::tungstenite::Error;

async fn forward(socket: WebSocketStream<TokioIo<Upgraded>>, backend: &Backend) -> Result<(), WebSocketError> {
    let (mut out, mut incoming) = socket.split();
    let (sender, mut outgoing) = mpsc::channel::<Vec<u8>>(16);
    let (mut writers, readers) = (Vec::new(), FuturesUnordered::new());
    for (channel, &port) in (0u8..).step_by(2).zip(&backend.ports) {
        let [low, high] = port.to_le_bytes();
        out.send(Message::binary(vec![channel, low, high])).await?;
        out.send(Message::binary(vec![channel + 1, low, high])).await?;
        match backend.connector.connect(&backend.node, &backend.pod, port).await {
            Ok(stream) => {
                let (mut reader, writer) = tokio::io::split(stream);
                writers.push(Some(writer));
                let sender = sender.clone();
                readers.push(async move {
                    let mut chunk = vec![0; CHUNK];
                    while let Ok(length) = reader.read(&mut chunk).await
                        && length > 0
                    {
                        let message = [&[channel], &chunk[..length]].concat();
                        if sender.send(message).await.is_err() {
                            break;
                        }
                    }
                });
            }
            Err(error) => {
                writers.push(None);
                let text = format!("error forwarding port {port} to pod {}: {error}", backend.pod);
                let message = [&[channel + 1], text.as_bytes()].concat();
                out.send(Message::binary(message)).await?;
            }
        }
    }
    drop(sender);
    let from_pod = async {
        while let Some(message) = outgoing.recv().await {
            out.send(Message::binary(message)).await?;
        }
        // Every port has said all that it has to say.
        out.close().await
    };
    let to_pod = async {
        while let Some(message) = incoming.next().await {
            let bytes = match message? {
                Message::Binary(bytes) => bytes,
                Message::Close(_) => break,
                _ => continue,
            };
            let Some((channel, bytes)) = bytes.split_first() else {
                continue;
            };
            let writer = writers.get_mut(usize::from(channel / 2)).and_then(Option::as_mut);
            if let Some(writer) = writer.filter(|_| channel % 2 == 0)
                && writer.write_all(bytes).await.is_err()
            {
                // Its reader ends, too, and says so.
                break;
            }
        }
        Ok(())
    };
    tokio::select! {
        (ended, ()) = futures::future::join(from_pod, readers.collect::<()>()) => ended,
        ended = to_pod => ended,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_numbers_in_one_list_or_several() {
        assert_eq!(ports(["2379,2381", "80"].into_iter()).unwrap(), [2379, 2381, 80]);
        for bad in ["", "0", "http", "70000", "1,,2"] {
            assert!(ports([bad].into_iter()).is_err(), "{bad}");
        }
        assert!(ports([].into_iter()).is_err());
    }
}
