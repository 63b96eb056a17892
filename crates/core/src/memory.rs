//! The memory of what runs, kept beside a snapshot.
//!
//! A driver that can do it halts what runs, writes its memory to a folder, lets the caller capture the
//! files of that same moment, and lets it go on ([`IsolationDriver::keep_memory`]). A launch that has
//! such a folder begins nothing, but goes on from there ([`Launch::memory`]). What lies in the folder is
//! the driver's own matter, but for [`Remembered`].
//!
//! [`IsolationDriver::keep_memory`]: crate::isolation::IsolationDriver::keep_memory
//! [`Launch::memory`]: crate::isolation::Launch::memory

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::driver::Driver;
use crate::isolation::{Launch, Network};
use crate::limits::Limits;
use crate::size::ByteSize;

/// How the command was launched whose memory was kept: going on needs the same again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Remembered {
    /// What isolated it.
    pub driver: Driver,
    /// See [`Launch::workdir`].
    pub workdir: String,
    /// See [`Launch::argv`].
    pub argv: Vec<String>,
    /// See [`Launch::env`].
    pub env: Vec<(String, String)>,
    /// The network.
    pub network: Network,
    /// The limits.
    pub limits: Limits,
    /// See [`Launch::hidden`].
    pub hidden: Vec<String>,
    /// See [`Launch::keep_capabilities`].
    pub keep_capabilities: Vec<String>,
}

impl Remembered {
    /// Of a launch; `None` when something of it is no text.
    #[must_use]
    pub fn of(launch: &Launch) -> Option<Self> {
        let text = |text: &std::ffi::OsStr| text.to_str().map(str::to_owned);
        let pair = |(name, value): &(std::ffi::OsString, std::ffi::OsString)| {
            Some((text(name)?, text(value)?))
        };
        Some(Self {
            driver: launch.driver.clone(),
            workdir: text(launch.workdir.as_os_str())?,
            argv: launch.argv.iter().map(|word| text(word)).collect::<Option<_>>()?,
            env: launch.env.iter().map(pair).collect::<Option<_>>()?,
            network: launch.network,
            limits: launch.limits,
            hidden: (launch.hidden.iter().map(|path| text(path.as_os_str())))
                .collect::<Option<_>>()?,
            keep_capabilities: launch.keep_capabilities.clone(),
        })
    }
}

/// Memory that a snapshot has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptMemory {
    /// The folder in which it lies, by its name among those of the store.
    pub folder: String,
    /// What isolated the command, and has to when it goes on.
    pub driver: Driver,
    /// Bytes of all of its files.
    pub size: ByteSize,
    /// Of the names and contents of all of its files.
    pub digest: Digest,
}
