//! Gives the loopback device of the network namespace that this thread is in one more address.

use std::io;
use std::net::Ipv4Addr;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};

const RTM_NEWADDR: u16 = 20;
const NLMSG_ERROR: u16 = 2;
/// Request, acknowledge, create, and replace what is there.
const FLAGS: u16 = 0x1 | 0x4 | 0x400 | 0x100;
const AF_INET: u8 = 2;
/// It is known on this host alone.
const SCOPE_HOST: u8 = 254;
/// The loopback device has this number in every namespace.
const LOOPBACK: u32 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
/// Bytes of a message's head.
const HEAD: usize = 16;

pub(super) fn add_to_loopback(address: Ipv4Addr) -> io::Result<()> {
    let flags = SocketFlags::CLOEXEC;
    // No protocol is NETLINK_ROUTE.
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
    send(&socket, &request(address), SendFlags::empty())?;
    let mut reply = [0; 512];
    let (length, _) = recv(&socket, &mut reply[..], RecvFlags::empty())?;
    answer(&reply[..length])
}

fn request(address: Ipv4Addr) -> Vec<u8> {
    let mut body = vec![AF_INET, 32, 0, SCOPE_HOST];
    body.extend(LOOPBACK.to_ne_bytes());
    for kind in [IFA_LOCAL, IFA_ADDRESS] {
        body.extend(8_u16.to_ne_bytes());
        body.extend(kind.to_ne_bytes());
        body.extend(address.octets());
    }
    let length = (HEAD + body.len()) as u32;
    let mut message = Vec::new();
    message.extend(length.to_ne_bytes());
    message.extend(RTM_NEWADDR.to_ne_bytes());
    message.extend(FLAGS.to_ne_bytes());
    message.extend(1_u32.to_ne_bytes());
    message.extend(0_u32.to_ne_bytes());
    message.extend(body);
    message
}

fn answer(reply: &[u8]) -> io::Result<()> {
    let kind = reply.get(4..6).and_then(|bytes| bytes.try_into().ok()).map(u16::from_ne_bytes);
    let code = reply.get(HEAD..HEAD + 4).and_then(|bytes| bytes.try_into().ok()).map(i32::from_ne_bytes);
    match (kind, code) {
        (Some(NLMSG_ERROR), Some(0)) => Ok(()),
        (Some(NLMSG_ERROR), Some(code)) => Err(io::Error::from_raw_os_error(-code)),
        _ => Err(io::Error::other("the kernel's answer makes no sense")),
    }
}
