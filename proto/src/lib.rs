//! The wire protocol: generated messages and services, and their conversions to and from the model's types.

pub mod bearer;
pub mod convert;
mod methods;
pub mod pipe;
pub mod protocol;
mod secret;
pub mod submit;

pub use methods::Method;

/// The .proto files as one `FileDescriptorSet`, for programs that ask the server what it speaks.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/btctl.bin"));

/// The generated messages, clients and servers.
#[allow(clippy::all, unreachable_pub)]
pub mod v1 {
    tonic::include_proto!("btctl.v1");
}

/// How KEDA asks for a number of agents.
#[allow(clippy::all, unreachable_pub)]
pub mod externalscaler {
    tonic::include_proto!("externalscaler");
}
