// SPDX-License-Identifier: Apache-2.0
//! A client that sends exactly the bytes it is told to, and reads HTTP/1.1 answers.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

/// An answer, read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Status code.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body without framing.
    pub body: Vec<u8>,
}

impl Reply {
    /// The first value of `name` (lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// One connection. Reads time out after the patience given, which shows as an error of kind `WouldBlock`.
pub struct Connection {
    stream: Stream,
    buffer: Vec<u8>,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(tls) => tls.get_ref(),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.write_all(bytes),
            Self::Tls(tls) => tls.write_all(bytes).and_then(|()| tls.flush()),
        }
    }

    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(bytes),
            Self::Tls(tls) => tls.read(bytes),
        }
    }
}

impl Connection {
    /// Connects to a port of the loopback address; 5 s of patience a read.
    ///
    /// # Errors
    /// If nothing listens.
    pub fn open(port: u16) -> io::Result<Self> {
        Self::to(SocketAddr::from(([127, 0, 0, 1], port)))
    }

    /// Connects to an address.
    ///
    /// # Errors
    /// If nothing listens.
    pub fn to(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.set_write_timeout(Some(Duration::from_secs(5)))?;
        Ok(Self { stream: Stream::Plain(stream), buffer: Vec::new() })
    }

    /// Connects to a port of the loopback address and shakes hands for `name`; an IP address sends no server name.
    ///
    /// # Errors
    /// If nothing listens, or the handshake fails.
    ///
    /// # Panics
    /// If `name` is no host name.
    pub fn tls(port: u16, name: &str, config: &Arc<ClientConfig>) -> io::Result<Self> {
        Self::tls_to(SocketAddr::from(([127, 0, 0, 1], port)), name, config)
    }

    /// As [`Connection::tls`], at an address.
    ///
    /// # Errors
    /// If nothing listens, or the handshake fails.
    ///
    /// # Panics
    /// If `name` is no host name.
    pub fn tls_to(address: SocketAddr, name: &str, config: &Arc<ClientConfig>) -> io::Result<Self> {
        let Self { stream: Stream::Plain(mut socket), .. } = Self::to(address)? else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let name = ServerName::try_from(name.to_owned()).expect("a host name");
        let mut session = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
        while session.is_handshaking() {
            session.complete_io(&mut socket)?;
        }
        Ok(Self { stream: Stream::Tls(Box::new(StreamOwned::new(session, socket))), buffer: Vec::new() })
    }

    /// What the handshake agreed on; `None` in cleartext.
    #[must_use]
    pub fn session(&self) -> Option<&ClientConnection> {
        match &self.stream {
            Stream::Plain(_) => None,
            Stream::Tls(tls) => Some(&tls.conn),
        }
    }

    /// `GET path` with this Host, on this connection.
    ///
    /// # Errors
    /// As [`Connection::reply`].
    pub fn get(&mut self, host: &str, path: &str) -> io::Result<Reply> {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes())?;
        self.reply("GET")
    }

    /// Changes how long a read may wait.
    ///
    /// # Errors
    /// If the socket is gone.
    pub fn patience(&mut self, patience: Duration) -> io::Result<()> {
        self.stream.socket().set_read_timeout(Some(patience))
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// If the connection is gone.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Closes the sending half.
    ///
    /// # Errors
    /// If the connection is gone.
    pub fn finish(&mut self) -> io::Result<()> {
        self.stream.socket().shutdown(std::net::Shutdown::Write)
    }

    /// Reads one final answer (interim ones are skipped) to a request of `method`.
    ///
    /// # Errors
    /// `UnexpectedEof` if the connection ends within it, `InvalidData` if it is no answer, `WouldBlock` on time-out.
    pub fn reply(&mut self, method: &str) -> io::Result<Reply> {
        loop {
            let reply = self.any_reply(method)?;
            if reply.status >= 200 || reply.status == 101 {
                return Ok(reply);
            }
        }
    }

    /// Reads one answer, interim ones included.
    ///
    /// # Errors
    /// As [`Connection::reply`].
    pub fn any_reply(&mut self, method: &str) -> io::Result<Reply> {
        let end = loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                break at + 4;
            }
            self.more()?;
        };
        let head: Vec<u8> = self.buffer.drain(..end).collect();
        let (status, headers) = parse_head(&head).ok_or(io::ErrorKind::InvalidData)?;
        let mut reply = Reply { status, headers, body: Vec::new() };
        if method == "HEAD" || status < 200 || status == 204 || status == 304 {
            return Ok(reply);
        }
        if reply.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            reply.body = self.chunks()?;
        } else if let Some(length) = reply.header("content-length").and_then(|text| text.parse().ok()) {
            reply.body = self.exactly(length)?;
        } else {
            reply.body = self.rest()?;
        }
        Ok(reply)
    }

    /// Reads everything until the peer closes.
    ///
    /// # Errors
    /// `WouldBlock` if the peer keeps the connection open.
    pub fn rest(&mut self) -> io::Result<Vec<u8>> {
        loop {
            match self.more() {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Ok(std::mem::take(&mut self.buffer));
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return Ok(std::mem::take(&mut self.buffer));
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads exactly `length` bytes.
    ///
    /// # Errors
    /// `UnexpectedEof` if the connection ends before.
    pub fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < length {
            self.more()?;
        }
        Ok(self.buffer.drain(..length).collect())
    }

    /// Whether the peer has closed: `true` on end of stream or reset, `false` if it stays open for `patience`.
    pub fn closed_within(&mut self, patience: Duration) -> bool {
        if self.patience(patience).is_err() {
            return true;
        }
        loop {
            match self.more() {
                Ok(()) => {}
                Err(error) => return !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
            }
        }
    }

    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let size = usize::from_str_radix(self.line()?.trim(), 16).map_err(|_| io::ErrorKind::InvalidData)?;
            if size == 0 {
                while !self.line()?.is_empty() {}
                return Ok(body);
            }
            body.extend(self.exactly(size)?);
            if self.exactly(2)? != b"\r\n" {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let end = loop {
            if let Some(at) = find(&self.buffer, b"\r\n") {
                break at;
            }
            self.more()?;
        };
        let line = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        self.buffer.drain(..end + 2);
        Ok(line)
    }

    fn more(&mut self) -> io::Result<()> {
        let mut bytes = [0; 16 << 10];
        match self.stream.read(&mut bytes)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                self.buffer.extend_from_slice(&bytes[..read]);
                Ok(())
            }
        }
    }
}

/// Where `needle` begins in `bytes`.
#[must_use]
pub fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}

fn parse_head(head: &[u8]) -> Option<(u16, Vec<(String, String)>)> {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()?;
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    Some((status, headers))
}
