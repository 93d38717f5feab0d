//! A connection that calls can come over: plain, or encrypted once both ends have shown who they are.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bt_trust::agent_of;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;
use tracing::debug;

use super::{Pass, Visitor};

/// With this byte every TLS connection begins, and no request of HTTP does.
const HANDSHAKE: u8 = 0x16;
/// What a caller is told that speaks no TLS where TLS is spoken.
const NOT_PLAIN: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n\
    This port speaks TLS: the address begins with https://\n";

pub(crate) struct Arrival {
    line: Line,
    pass: Pass,
}

enum Line {
    Plain(Box<Visitor>),
    Tls(Box<TlsStream<Visitor>>),
}

impl Arrival {
    pub(super) fn plain(visitor: Visitor) -> Self {
        Self { pass: visitor.pass.clone(), line: Line::Plain(Box::new(visitor)) }
    }

    fn line(&mut self) -> Pin<&mut (dyn ReadWrite + Send)> {
        match &mut self.line {
            Line::Plain(visitor) => Pin::new(&mut **visitor),
            Line::Tls(stream) => Pin::new(&mut **stream),
        }
    }
}

trait ReadWrite: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> ReadWrite for T {}

/// None where the other end is not let in; it has been told why, as far as the protocol can say it.
pub(super) async fn handshake(acceptor: TlsAcceptor, mut visitor: Visitor) -> Option<Arrival> {
    let mut first = [0];
    let peeked = tokio::time::timeout(super::FIRST_CALL, visitor.socket.peek(&mut first)).await;
    if matches!(peeked, Ok(Ok(1))) && first[0] != HANDSHAKE {
        visitor.socket.write_all(NOT_PLAIN).await.ok();
        return None;
    }
    let peer = visitor.pass.peer;
    match acceptor.accept(visitor).await {
        Ok(stream) => {
            let (visitor, line) = stream.get_ref();
            let pass = Pass { is_encrypted: true, agent: agent_of(line), ..visitor.pass.clone() };
            Some(Arrival { line: Line::Tls(Box::new(stream)), pass })
        }
        Err(error) => {
            debug!(peer = %peer, error = %error, "no TLS connection came about");
            None
        }
    }
}

impl Connected for Arrival {
    type ConnectInfo = Pass;

    fn connect_info(&self) -> Pass {
        self.pass.clone()
    }
}

impl AsyncRead for Arrival {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.line().poll_read(context, buffer)
    }
}

impl AsyncWrite for Arrival {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.line().poll_write(context, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.line().poll_write_vectored(context, data)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.line {
            Line::Plain(visitor) => visitor.is_write_vectored(),
            Line::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.line().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.line().poll_shutdown(context)
    }
}
