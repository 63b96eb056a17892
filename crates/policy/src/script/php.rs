//! What PHP's functions do.

use super::scan::Meaning;

pub(super) fn meaning(name: &str) -> Option<Meaning> {
    Some(match name {
        "system" | "exec" | "shell_exec" | "passthru" | "popen" | "proc_open" | "pcntl_exec"
        | "expect_popen" => Meaning::Run,
        "eval" | "assert" | "create_function" | "include" | "include_once" | "require"
        | "require_once" => match name {
            "eval" | "assert" | "create_function" => Meaning::Evaluate,
            _ => return None,
        },
        "unlink" | "rmdir" => Meaning::Delete,
        "file_put_contents" | "ftruncate" => Meaning::Overwrite,
        "fopen" => Meaning::Open,
        "rename" | "copy" | "symlink" | "move_uploaded_file" => Meaning::CopyTo,
        "file_get_contents" | "readfile" | "file" | "highlight_file" | "show_source" => {
            Meaning::Read
        }
        "chmod" => Meaning::Mode,
        "chown" | "chgrp" => Meaning::Owner,
        "posix_kill" => Meaning::Kill,
        "pcntl_fork" => Meaning::Fork,
        "fsockopen" | "pfsockopen" | "stream_socket_client" | "socket_connect" => Meaning::Connect,
        "stream_socket_server" | "socket_bind" | "socket_create_listen" => Meaning::Listen,
        "mail" => Meaning::Send,
        "posix_setuid" | "posix_setgid" | "posix_seteuid" => Meaning::SetUser,
        "mysqli_query" | "mysql_query" | "pg_query" | "query" | "sqlite_query" => {
            Meaning::Statement
        }
        _ if name.ends_with("::query") => Meaning::Statement,
        _ => return None,
    })
}
