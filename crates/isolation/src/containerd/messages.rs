//! The messages of containerd's API that are used (api/services/{containers,tasks,version}/v1 of containerd
//! 1.6; later ones add fields, which both sides pass over).

use std::collections::HashMap;

use prost::Message;

/// google.protobuf.Any
#[derive(Clone, PartialEq, Message)]
pub(super) struct Any {
    #[prost(string, tag = "1")]
    pub(super) type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) value: Vec<u8>,
}

/// google.protobuf.Empty
#[derive(Clone, PartialEq, Message)]
pub(super) struct Empty {}

#[derive(Clone, PartialEq, Message)]
pub(super) struct RuntimeName {
    #[prost(string, tag = "1")]
    pub(super) name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Container {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(map = "string, string", tag = "2")]
    pub(super) labels: HashMap<String, String>,
    #[prost(message, optional, tag = "4")]
    pub(super) runtime: Option<RuntimeName>,
    #[prost(message, optional, tag = "5")]
    pub(super) spec: Option<Any>,
}

/// A request or an answer with a container alone.
#[derive(Clone, PartialEq, Message)]
pub(super) struct OneContainer {
    #[prost(message, optional, tag = "1")]
    pub(super) container: Option<Container>,
}

/// A request that has nothing but the id of a container, or that of its task.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Id {
    #[prost(string, tag = "1")]
    pub(super) id: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Mount {
    #[prost(string, tag = "1")]
    pub(super) kind: String,
    #[prost(string, tag = "2")]
    pub(super) source: String,
    #[prost(string, repeated, tag = "4")]
    pub(super) options: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct CreateTask {
    #[prost(string, tag = "1")]
    pub(super) container: String,
    #[prost(message, repeated, tag = "3")]
    pub(super) rootfs: Vec<Mount>,
    #[prost(string, tag = "4")]
    pub(super) stdin: String,
    #[prost(string, tag = "5")]
    pub(super) stdout: String,
    #[prost(string, tag = "6")]
    pub(super) stderr: String,
    #[prost(bool, tag = "7")]
    pub(super) terminal: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TaskCreated {
    #[prost(uint32, tag = "2")]
    pub(super) pid: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Kill {
    #[prost(string, tag = "1")]
    pub(super) container: String,
    #[prost(uint32, tag = "3")]
    pub(super) signal: u32,
    #[prost(bool, tag = "4")]
    pub(super) all: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct CloseIo {
    #[prost(string, tag = "1")]
    pub(super) container: String,
    #[prost(bool, tag = "3")]
    pub(super) stdin: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Ended {
    #[prost(uint32, tag = "1")]
    pub(super) exit_status: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Version {
    #[prost(string, tag = "1")]
    pub(super) version: String,
}
