//! As much of HTTP/1.1 as it takes to ask our own service, on one connection.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::Instant;

use crate::failure::{Answer, Failure};

pub(super) struct Client {
    stream: BufReader<TcpStream>,
    address: String,
    token: String,
}

impl Client {
    pub(super) fn connect(address: &str, token: &str) -> Answer<Self> {
        let failed = Failure::io("connect to", Path::new(address));
        let stream = TcpStream::connect(address).map_err(failed)?;
        let _ = stream.set_nodelay(true);
        let (address, token) = (address.to_owned(), token.to_owned());
        Ok(Self { stream: BufReader::new(stream), address, token })
    }

    /// Makes a sandbox that starts from nothing.
    pub(super) fn sandbox(&mut self, name: &str) -> Answer {
        self.post("/v1/sandboxes", &format!("{{\"name\":\"{name}\"}}"), "201")
    }

    /// Runs `true`; answers how many milliseconds that took.
    pub(super) fn run_true(&mut self, sandbox: &str) -> Answer<f64> {
        let begun = Instant::now();
        let path = format!("/v1/sandboxes/{sandbox}/operations");
        self.post(&path, "{\"argv\":[\"/usr/bin/true\"]}", "200")?;
        Ok(begun.elapsed().as_secs_f64() * 1000.0)
    }

    fn post(&mut self, path: &str, body: &str, expected: &str) -> Answer {
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.address,
            self.token,
            body.len()
        );
        let address = self.address.clone();
        let failed = || Failure::io("ask", Path::new(&address));
        self.stream.get_mut().write_all(request.as_bytes()).map_err(failed())?;
        let (mut line, mut length) = (String::new(), 0);
        self.stream.read_line(&mut line).map_err(failed())?;
        let status = line.clone();
        while line.trim_end() != "" {
            line.clear();
            self.stream.read_line(&mut line).map_err(failed())?;
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).map_err(failed())?;
        match status.split(' ').nth(1) == Some(expected) {
            true => Ok(()),
            false => {
                Err(Failure::told(format!("{path}: {status}{}", String::from_utf8_lossy(&body))))
            }
        }
    }
}
