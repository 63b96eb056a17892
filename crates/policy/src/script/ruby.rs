//! What Ruby's methods do.

use super::scan::Meaning;

pub(super) fn meaning(name: &str) -> Option<Meaning> {
    Some(match name {
        "system" | "exec" | "spawn" | "Kernel.system" | "Kernel.exec" | "Kernel.spawn"
        | "Process.spawn" | "Process.exec" | "IO.popen" | "Open3.capture2" | "Open3.capture2e"
        | "Open3.capture3" | "Open3.popen3" | "Open3.popen2" | "Open3.popen2e" | "PTY.spawn"
        | "Kernel.`" | "popen" => Meaning::Run,
        "eval"
        | "instance_eval"
        | "class_eval"
        | "Kernel.eval"
        | "module_eval"
        | "TOPLEVEL_BINDING.eval" => Meaning::Evaluate,
        "File.delete" | "File.unlink" | "Dir.rmdir" | "Dir.delete" | "Dir.unlink"
        | "FileUtils.rm" | "FileUtils.rm_f" | "FileUtils.rmdir" | "FileUtils.remove" => {
            Meaning::Delete
        }
        "FileUtils.rm_rf"
        | "FileUtils.rm_r"
        | "FileUtils.rmtree"
        | "FileUtils.remove_dir"
        | "FileUtils.remove_entry"
        | "FileUtils.remove_entry_secure"
        | "rm_rf"
        | "rm_r" => Meaning::DeleteTree,
        "File.write" | "IO.write" | "File.truncate" | "File.binwrite" | "IO.binwrite" => {
            Meaning::Overwrite
        }
        "File.open" | "File" | "open" | "Kernel.open" => Meaning::Open,
        "FileUtils.cp" | "FileUtils.mv" | "File.rename" | "FileUtils.ln_s" | "FileUtils.cp_r" => {
            Meaning::CopyTo
        }
        "File.read" | "IO.read" | "File.readlines" | "File.binread" => Meaning::Read,
        "File.chmod" | "FileUtils.chmod" | "FileUtils.chmod_R" => Meaning::Mode,
        "File.chown" | "FileUtils.chown" | "FileUtils.chown_R" => Meaning::Owner,
        "Process.kill" => Meaning::Kill,
        "fork" | "Process.fork" | "Kernel.fork" => Meaning::Fork,
        "TCPSocket" | "Socket.tcp" | "UDPSocket" | "OpenSSL::SSL::SSLSocket" => Meaning::Connect,
        "TCPServer" | "Socket.tcp_server_loop" => Meaning::Listen,
        "Net::HTTP.get" | "URI.open" | "Net::HTTP.get_response" => Meaning::Fetch,
        "Net::HTTP.post" | "Net::HTTP.post_form" => Meaning::Send,
        "Process::Sys.setuid" | "Process::UID.change_privilege" | "Process.uid" => Meaning::SetUser,
        "ActiveRecord::Base.connection.execute" => Meaning::Statement,
        _ if name.ends_with(".execute") || name.ends_with(".exec_query") => Meaning::Statement,
        _ => return None,
    })
}
