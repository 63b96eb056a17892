//! As much of HTTP/1.1 as it takes to ask our own service, on one connection.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::failure::{Answer, Failure};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// The most of an answer that is read, in bytes.
const MOST: u64 = 64 << 20;

/// A connection to the service, with a token.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    address: String,
    token: String,
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'r> {
    pub(crate) method: &'r str,
    pub(crate) path: &'r str,
    pub(crate) headers: &'r [(&'r str, &'r str)],
    pub(crate) body: &'r [u8],
}

impl<'r> Request<'r> {
    pub(crate) fn get(path: &'r str) -> Self {
        Self { method: "GET", path, headers: &[], body: b"" }
    }

    pub(crate) fn delete(path: &'r str) -> Self {
        Self { method: "DELETE", path, headers: &[], body: b"" }
    }

    /// An object that is sent.
    pub(crate) fn post(path: &'r str, body: &'r str) -> Self {
        let headers = &[("content-type", "application/json")];
        Self { method: "POST", path, headers, body: body.as_bytes() }
    }

    /// Bytes that are to be kept as they are.
    pub(crate) fn put(path: &'r str, body: &'r [u8]) -> Self {
        let headers = &[("content-type", "application/octet-stream")];
        Self { method: "PUT", path, headers, body }
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; null when it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// What the body is, when the request succeeded with that status.
    pub(crate) fn expect(self, status: u16) -> Answer<Self> {
        if self.status == status {
            return Ok(self);
        }
        let text = self.text();
        Err(Failure::told(format!("answered {} instead of {status}: {text}", self.status)))
    }
}

impl Client {
    pub(crate) fn connect(address: &str, token: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let (address, token) = (address.to_owned(), token.to_owned());
        Ok(Self { stream: BufReader::new(stream), address, token })
    }

    /// Sends a request and reads what is answered. After an error the connection is of no use.
    pub(crate) fn ask(&mut self, request: Request<'_>) -> io::Result<Reply> {
        let Request { method, path, headers, body } = request;
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n\
             content-length: {}\r\n",
            self.address,
            self.token,
            body.len()
        );
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        self.stream.get_mut().write_all(&[head.as_bytes(), body].concat())?;
        self.read()
    }

    /// The same, where only an answer of that status will do.
    pub(crate) fn expect(&mut self, request: Request<'_>, status: u16) -> Answer<Reply> {
        let asked = self.ask(request).map_err(Failure::io("ask", Path::new(&self.address)))?;
        let told =
            |failure| Failure::told(format!("{} {}: {failure}", request.method, request.path));
        asked.expect(status).map_err(told)
    }

    fn read(&mut self) -> io::Result<Reply> {
        let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let line = self.line()?;
        let status = line.split(' ').nth(1).and_then(|word| word.parse().ok());
        let status = status.ok_or_else(|| wrong("no status"))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':') {
                headers.push((name.to_owned(), value.trim().to_owned()));
            }
        }
        let mut reply = Reply { status, headers, body: Vec::new() };
        if status == 204 {
            return Ok(reply);
        }
        if reply.header("transfer-encoding").is_some() {
            self.chunks(&mut reply.body)?;
            return Ok(reply);
        }
        let length = reply.header("content-length").and_then(|text| text.parse::<u64>().ok());
        let length = length.filter(|length| *length <= MOST).ok_or_else(|| wrong("no length"))?;
        reply.body = self.exactly(length)?;
        Ok(reply)
    }

    fn chunks(&mut self, body: &mut Vec<u8>) -> io::Result<()> {
        loop {
            let line = self.line()?;
            let length = u64::from_str_radix(line.split(';').next().unwrap_or_default(), 16);
            let length = length.ok().filter(|length| *length <= MOST);
            let wrong = || io::Error::new(io::ErrorKind::InvalidData, "no length of a chunk");
            let length = length.ok_or_else(wrong)?;
            body.extend(self.exactly(length)?);
            self.line()?;
            if length == 0 {
                return Ok(());
            }
        }
    }

    fn exactly(&mut self, length: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let got = self.stream.by_ref().take(length).read_to_end(&mut bytes)?;
        if got as u64 == length { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.by_ref().take(64 << 10).read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }
}
