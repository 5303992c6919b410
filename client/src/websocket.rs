//! A WebSocket to the server: dialling, and whole frames in both directions.

use std::io;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use klokke_protocol::Codec;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self, Message,
        client::IntoClientRequest,
        http::{HeaderValue, Uri, header::SEC_WEBSOCKET_PROTOCOL},
        protocol::WebSocketConfig,
    },
};

use crate::{
    config::Config,
    socket::{ABNORMAL_CLOSURE, FRAME_MAX_BYTES, Heard},
};

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// See the file.
pub(crate) struct WebSocket {
    stream: WebSocketStream<Box<dyn Stream>>,
    codec: Codec,
}

impl WebSocket {
    /// The next that is of interest; [`Heard::Closed`] when there is no more.
    pub(crate) async fn next(&mut self) -> Heard {
        loop {
            return match self.stream.next().await {
                Some(Ok(Message::Text(text))) => Heard::Frame(text.into()),
                Some(Ok(Message::Binary(bytes))) => Heard::Frame(bytes),
                Some(Ok(Message::Close(Some(close)))) => {
                    let code = u32::from(u16::from(close.code));
                    Heard::Closed(code, close.reason.as_str().to_owned())
                }
                Some(Ok(Message::Close(None))) => Heard::Closed(ABNORMAL_CLOSURE, String::new()),
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => Heard::lost(),
            };
        }
    }

    pub(crate) async fn send(&mut self, frame: Bytes) -> io::Result<()> {
        let message = match self.codec {
            Codec::Protobuf => Message::Binary(frame),
            // What the codec wrote is JSON and so is text.
            Codec::Json => Message::Text(frame.try_into().unwrap_or_default()),
        };
        self.stream.send(message).await.map_err(io::Error::other)
    }

    pub(crate) async fn close(mut self) {
        // The other side may be gone; then there is nobody to say goodbye to.
        let _ = self.stream.close(None).await;
    }
}

/// Opens one.
pub(crate) async fn dial(config: &Config) -> Result<WebSocket, tungstenite::Error> {
    let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, what);
    let uri: Uri = config
        .url
        .parse()
        .map_err(|_| invalid("the address is no URL"))?;
    let host = uri
        .host()
        .ok_or_else(|| invalid("the address names no host"))?
        .to_owned();
    let secure = uri.scheme_str() == Some("wss");
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let stream = TcpStream::connect((host.as_str(), port)).await?;
    stream.set_nodelay(true)?;
    let stream: Box<dyn Stream> = if secure {
        let tls = config
            .tls
            .clone()
            .ok_or_else(|| invalid("wss needs a TLS configuration"))?;
        let name = rustls::pki_types::ServerName::try_from(host)
            .map_err(|_| invalid("the host is no name for a certificate"))?;
        Box::new(
            tokio_rustls::TlsConnector::from(tls)
                .connect(name, stream)
                .await?,
        )
    } else {
        Box::new(stream)
    };
    let mut request = uri.into_client_request()?;
    let protocol = match config.codec {
        Codec::Json => "centrifuge-json",
        Codec::Protobuf => "centrifuge-protobuf",
    };
    request
        .headers_mut()
        .insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
    // Small buffers: thousands of idle clients must fit into one process.
    let sizes = WebSocketConfig::default()
        .read_buffer_size(1024)
        .write_buffer_size(0)
        .max_frame_size(Some(FRAME_MAX_BYTES))
        .max_message_size(Some(FRAME_MAX_BYTES));
    let (stream, _) =
        tokio_tungstenite::client_async_with_config(request, stream, Some(sizes)).await?;
    Ok(WebSocket {
        stream,
        codec: config.codec,
    })
}
