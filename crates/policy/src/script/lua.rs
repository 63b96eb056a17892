//! What Lua's functions do.

use super::scan::Meaning;

pub(super) fn meaning(name: &str) -> Option<Meaning> {
    Some(match name {
        "os.execute" | "io.popen" => Meaning::Run,
        "load" | "loadstring" => Meaning::Evaluate,
        "os.remove" => Meaning::Delete,
        "os.rename" => Meaning::CopyTo,
        "io.open" | "io.output" => Meaning::Open,
        "io.lines" => Meaning::Read,
        "socket.connect" | "tcp.connect" | "client.connect" | "c.connect" | "s.connect"
        | "t.connect" | "sock.connect" => Meaning::Connect,
        "socket.bind" => Meaning::Listen,
        "http.request" => Meaning::Fetch,
        "posix.setuid" => Meaning::SetUser,
        "posix.fork" => Meaning::Fork,
        "posix.exec" | "posix.execp" => Meaning::Run,
        _ => return None,
    })
}
