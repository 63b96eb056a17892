//! The grammar of the service.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use ctrlz_core::size::{ByteSize, SizeError};
use ctrlz_core::span::Span;
use ctrlz_core::tenancy::{Role, TenantName};
use ctrlz_server::Level;

/// `ctrlz serve`
#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    /// A TCP address to listen at besides the socket; `none` for the socket alone
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7070")]
    pub(crate) listen: String,
    /// The Unix socket; `service.sock` in the store when left out
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    /// Listen where other machines can reach it, without TLS: only behind a proxy that has it
    #[arg(long)]
    pub(crate) insecure: bool,
    /// Leave the background tasks of the stores to daemons that somebody else runs
    #[arg(long)]
    pub(crate) no_daemons: bool,
    /// A name by which clients reach it, besides localhost and addresses: MCP refuses others
    #[arg(long = "host", value_name = "NAME")]
    pub(crate) hosts: Vec<String>,
    #[command(flatten)]
    pub(crate) tls: TlsArguments,
    /// How much of what each process wrote is kept, from its end; 1 MiB or more
    #[arg(long, value_name = "SIZE", default_value = "16M", value_parser = at_least_a_mebibyte)]
    pub(crate) process_log: ByteSize,
    /// How much of what all processes of a tenant wrote is kept: the oldest that have ended go first
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = at_least_a_mebibyte)]
    pub(crate) process_logs: ByteSize,
    /// What is logged on standard error: off, error, info or debug [or CTRLZ_LOG; info when neither is given]
    #[arg(long, value_name = "LEVEL")]
    pub(crate) log: Option<Level>,
}

fn at_least_a_mebibyte(text: &str) -> Result<ByteSize, String> {
    let size: ByteSize = text.parse().map_err(|error: SizeError| error.to_string())?;
    match size.0 >= 1 << 20 {
        true => Ok(size),
        false => Err("it must be 1M or more".to_owned()),
    }
}

/// Where certificates and keys lie.
#[derive(Debug, Args)]
pub(crate) struct TlsArguments {
    /// Speak TLS at the TCP address: the certificate and those between it and the root, as PEM [or CTRLZ_TLS_CERT]
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Its key, as PEM; only its owner and group may read it [or CTRLZ_TLS_KEY]
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Serve only clients with a certificate that one of these authorities signed [or CTRLZ_TLS_CLIENT_CA]
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_client_ca: Option<PathBuf>,
}

/// `ctrlz mcp`
#[derive(Debug, Args)]
pub(crate) struct McpArguments {
    /// The folder that new sandboxes start from
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    pub(crate) folder: PathBuf,
}

/// `ctrlz approve`
#[derive(Debug, Args)]
pub(crate) struct ApproveArguments {
    /// What an agent was told; what waits is listed when it is left out
    pub(crate) confirmation: Option<String>,
    /// The tenant; `default` when left out. At a service it is the token's
    #[arg(long)]
    pub(crate) tenant: Option<TenantName>,
}

/// `ctrlz token`
#[derive(Debug, Args)]
pub(crate) struct TokenArguments {
    #[command(subcommand)]
    pub(crate) action: TokenAction,
}

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenAction {
    /// Make a token, and print it: it is told this once
    New {
        /// The tenant, which is made when there is none of that name; `default`, or at a service the token's own, when
        /// left out
        #[arg(long)]
        tenant: Option<TenantName>,
        /// viewer, operator, approver or admin
        #[arg(long, default_value = "operator")]
        role: Role,
        /// What it is for
        #[arg(long, short = 'm', default_value = "")]
        note: String,
        /// For how long it is taken: `90m`, `30d`; for ever when left out
        #[arg(long, value_name = "TIME")]
        expires: Option<Span>,
    },
    /// List a tenant's tokens, without their secrets
    Ls {
        /// The tenant; `default`, or at a service the token's own, when left out
        #[arg(long)]
        tenant: Option<TenantName>,
    },
    /// Revoke a token: it is not taken any more
    Revoke {
        /// What `ctrlz token ls` calls it
        id: String,
        /// The tenant; `default`, or at a service the token's own, when left out
        #[arg(long)]
        tenant: Option<TenantName>,
    },
}
