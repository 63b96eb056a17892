//! What Perl's functions do.

use super::scan::Meaning;

pub(super) fn meaning(name: &str) -> Option<Meaning> {
    Some(match name {
        "system" | "exec" | "CORE::system" | "CORE::exec" | "IPC::Open3::open3"
        | "POSIX::execvp" => Meaning::Run,
        "eval" | "evalbytes" => Meaning::Evaluate,
        "unlink" | "rmdir" => Meaning::Delete,
        "rmtree" | "remove_tree" | "File::Path::rmtree" | "File::Path::remove_tree" => {
            Meaning::DeleteTree
        }
        "open" | "sysopen" => Meaning::Open,
        "rename" | "copy" | "move" | "File::Copy::copy" | "symlink" => Meaning::CopyTo,
        "truncate" => Meaning::Overwrite,
        "chmod" => Meaning::Mode,
        "chown" => Meaning::Owner,
        "kill" => Meaning::Kill,
        "fork" => Meaning::Fork,
        "connect" | "sockaddr_in" | "IO::Socket::INET" | "IO::Socket::INET6"
        | "IO::Socket::SSL" | "Socket::INET" => Meaning::Connect,
        "bind" => Meaning::Listen,
        "getstore" | "get" | "getprint" | "LWP::Simple::get" => Meaning::Fetch,
        "POSIX::setuid" | "setuid" | "POSIX::setgid" => Meaning::SetUser,
        _ => return None,
    })
}
