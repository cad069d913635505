//! The wire between the provider's code and AWS, on which a call that changes something can be interrupted.

use std::{io, net::SocketAddr, sync::Arc};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
};

use crate::faults::{Faults, Moment};

/// Listens on a port of loopback and passes requests on, until it is dropped.
pub(super) struct Wire {
    pub(super) endpoint: String,
    task: AbortHandle,
}

/// A request as it came in.
struct Request {
    head: String,
    body: Vec<u8>,
}

impl Wire {
    pub(super) async fn to(cloud: SocketAddr, faults: &Arc<Faults>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let faults = Arc::clone(faults);
        let serve = async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let faults = Arc::clone(&faults);
                connections.spawn(async move { carry(stream, cloud, &faults).await });
            }
        };
        let task = tokio::spawn(serve).abort_handle();
        Self { endpoint, task }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One request and its reply.  What ends the connection early wakes the provider, which then is dead or has lost a reply.
async fn carry(mut stream: TcpStream, cloud: SocketAddr, faults: &Faults) -> io::Result<()> {
    let Some(request) = Request::read(&mut stream).await? else {
        return Ok(());
    };
    let moment = request.change().and_then(|name| faults.call(&name));
    if moment == Some(Moment::KilledBefore) {
        faults.kill();
        return Ok(());
    }
    let reply = ask(cloud, &request).await?;
    match moment {
        None => stream.write_all(&reply).await,
        Some(Moment::KilledAfter) => {
            faults.kill();
            Ok(())
        }
        Some(Moment::ReplyLost) => Ok(()),
        Some(other) => panic!("{other:?} does not happen to a request"),
    }
}

/// Asks a service by a request of our own: what an action of it answers.
pub(super) async fn look(cloud: SocketAddr, service: &str, headers: &str, body: &str) -> String {
    let credential = format!("AWS4-HMAC-SHA256 Credential=test/20200101/us-west-2/{service}/aws4_request");
    let request = Request {
        head: format!(
            "POST / HTTP/1.1\r\nHost: {cloud}\r\nAuthorization: {credential}, SignedHeaders=host, Signature=0\r\n\
             {headers}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        ),
        body: body.as_bytes().to_vec(),
    };
    let reply = ask(cloud, &request).await.unwrap();
    String::from_utf8_lossy(&reply).into_owned()
}

/// Lets moto forget all that it has.
pub(super) async fn forget(cloud: SocketAddr) {
    let request = Request {
        head: format!("POST /moto-api/reset HTTP/1.1\r\nHost: {cloud}\r\nContent-Length: 0\r\n\r\n"),
        body: Vec::new(),
    };
    ask(cloud, &request).await.unwrap();
}

async fn ask(cloud: SocketAddr, request: &Request) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(cloud).await?;
    let head = request.head.replacen("\r\n", "\r\nConnection: close\r\n", 1);
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&request.body).await?;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).await?;
    Ok(reply)
}

impl Request {
    /// Reads one; `None` when the connection ends instead.
    async fn read(stream: &mut TcpStream) -> io::Result<Option<Self>> {
        let (mut reader, mut head) = (BufReader::new(stream), String::new());
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).await? == 0 {
                return Ok(None);
            }
        }
        let request = Self { head, body: Vec::new() };
        let length = request.header("content-length").and_then(|length| length.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut body).await?;
        Ok(Some(Self { body, ..request }))
    }

    fn header(&self, wanted: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(':'));
        let mut values = fields.filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
        values.next().map(|(_, value)| value.trim())
    }

    /// The action, unless it only looks.
    fn change(&self) -> Option<String> {
        let body = String::from_utf8_lossy(&self.body);
        let in_body = || body.split('&').find_map(|field| field.strip_prefix("Action="));
        let target = self.header("x-amz-target").and_then(|target| target.rsplit('.').next());
        let action = target.or_else(in_body)?;
        let looks = ["Describe", "Get", "List"].iter().any(|verb| action.starts_with(verb));
        (!looks).then(|| action.to_owned())
    }
}
