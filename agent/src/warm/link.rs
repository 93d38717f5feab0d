//! The socket between the agent and an interpreter in a container: messages of JSON with their length before them, and
//! the descriptors that a job gets as its output. The agent makes the socket before the container starts, and removes it
//! once the interpreter has connected: nobody else can.

use std::fs::{self, File, Permissions};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use bytes::{Buf, BytesMut};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::Interest;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Mutex;

/// The largest message that is taken.
const LARGEST: usize = 4 << 20;
const HEADER: usize = 4;

/// A socket in a directory that the container sees.
pub(crate) struct Listener {
    listener: UnixListener,
    path: PathBuf,
}

impl Listener {
    pub(crate) fn bind(dir: &Path, name: &str) -> io::Result<Self> {
        let path = dir.join(name);
        // A socket's path has 107 bytes at most, and a state directory may lie deep.
        let opened = File::open(dir)?;
        let short = format!("/proc/self/fd/{}/{name}", opened.as_raw_fd());
        let listener = UnixListener::bind(short)?;
        fs::set_permissions(&path, Permissions::from_mode(0o666))?;
        Ok(Self { listener, path })
    }

    /// Waits for the interpreter.
    pub(crate) async fn accept(self) -> io::Result<Link> {
        let (stream, _) = self.listener.accept().await?;
        Ok(Link { stream, unread: Mutex::default() })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        fs::remove_file(&self.path).ok();
    }
}

/// The agent's end.
#[derive(Debug)]
pub(crate) struct Link {
    stream: UnixStream,
    unread: Mutex<BytesMut>,
}

impl Link {
    /// Sends a message, and descriptors with it.
    pub(crate) async fn tell(&self, message: &impl Serialize, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let json = serde_json::to_vec(message)?;
        let length = u32::try_from(json.len()).map_err(io::Error::other)?;
        let mut data = length.to_be_bytes().to_vec();
        data.extend(json);
        let mut rest = &data[..];
        let mut fds = fds;
        while !rest.is_empty() {
            self.stream.ready(Interest::WRITABLE).await?;
            let sent = self.stream.try_io(Interest::WRITABLE, || send(self.stream.as_fd(), rest, fds));
            match sent {
                Ok(sent) => {
                    rest = &rest[sent..];
                    fds = &[];
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The next message. What was read of it is kept if the caller stops waiting.
    pub(crate) async fn hear<T: DeserializeOwned>(&self) -> io::Result<T> {
        let mut unread = self.unread.lock().await;
        loop {
            if let Some((length, json)) = unread.split_first_chunk::<HEADER>() {
                let length = u32::from_be_bytes(*length) as usize;
                if length > LARGEST {
                    return Err(io::Error::other(format!("a message of {length} bytes")));
                }
                if let Some(json) = json.get(..length) {
                    let message = serde_json::from_slice(json);
                    unread.advance(HEADER + length);
                    return Ok(message?);
                }
            }
            self.stream.readable().await?;
            match self.stream.try_read_buf(&mut *unread) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn send(stream: BorrowedFd<'_>, data: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::other("too many descriptors"));
    }
    Ok(sendmsg(stream, &[IoSlice::new(data)], &mut ancillary, SendFlags::NOSIGNAL)?)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::OwnedFd;
    use std::time::Duration;

    use serde_json::{Value, json};
    use tokio::time::timeout;

    use super::*;

    async fn pair(dir: &Path) -> (Link, Link) {
        let listener = Listener::bind(dir, "s").unwrap();
        let stream = UnixStream::connect(dir.join("s")).await.unwrap();
        (listener.accept().await.unwrap(), Link { stream, unread: Mutex::default() })
    }

    #[tokio::test]
    async fn messages_come_whole_and_one_by_one() {
        let dir = tempfile::tempdir().unwrap();
        let (here, there) = pair(dir.path()).await;
        assert!(!dir.path().join("s").exists(), "nobody else can connect");
        let long = json!({"long": "x".repeat(1 << 20)});
        let telling = async {
            there.tell(&json!(1), &[]).await.unwrap();
            there.tell(&long, &[]).await.unwrap();
        };
        let hearing = async {
            assert_eq!(here.hear::<Value>().await.unwrap(), json!(1));
            assert_eq!(here.hear::<Value>().await.unwrap(), long);
        };
        tokio::join!(telling, hearing);
        // A part of it is there when the waiting ends.
        there.stream.try_write(&[0, 0, 0, 4, b't', b'r']).unwrap();
        assert!(timeout(Duration::from_millis(50), here.hear::<Value>()).await.is_err());
        there.stream.try_write(b"ue").unwrap();
        assert_eq!(here.hear::<Value>().await.unwrap(), json!(true));
        drop(there);
        assert_eq!(here.hear::<Value>().await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn a_message_that_is_too_long_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let (here, there) = pair(dir.path()).await;
        there.stream.try_write(&u32::MAX.to_be_bytes()).unwrap();
        assert!(here.hear::<Value>().await.is_err());
    }

    #[tokio::test]
    async fn descriptors_travel_with_a_message() {
        let dir = tempfile::tempdir().unwrap();
        let (here, there) = pair(dir.path()).await;
        let (reader, writer) = io::pipe().unwrap();
        let fds: [OwnedFd; 2] = [writer.try_clone().unwrap().into(), writer.into()];
        here.tell(&json!("x"), &[fds[0].as_fd(), fds[1].as_fd()]).await.unwrap();
        drop(fds);
        there.stream.readable().await.unwrap();
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut ancillary = rustix::net::RecvAncillaryBuffer::new(&mut space);
        let mut data = [0; 64];
        let mut buffers = [io::IoSliceMut::new(&mut data)];
        let flags = rustix::net::RecvFlags::CMSG_CLOEXEC;
        rustix::net::recvmsg(there.stream.as_fd(), &mut buffers, &mut ancillary, flags).unwrap();
        let mut got = Vec::new();
        for message in ancillary.drain() {
            if let rustix::net::RecvAncillaryMessage::ScmRights(fds) = message {
                got.extend(fds.map(File::from));
            }
        }
        assert_eq!(got.len(), 2);
        got[1].write_all(b"out").unwrap();
        drop(got);
        assert_eq!(io::read_to_string(reader).unwrap(), "out", "no end of it is left open here");
    }
}
