//! Connections of a shell's user that lead to ports in its container. They end with the shell.

use std::sync::Arc;

use bt_model::id::AttemptId;
use bt_proto::pipe::{Pipes, pass_on, tell};
use bt_proto::v1;
use bt_proto::v1::debug_pipe::Kind;
use tokio::task::JoinSet;

use super::ToUser;
use crate::gateway;
use crate::site::Site;

/// Connections at a time.
const MOST: usize = 64;

pub(super) struct Forwarded {
    site: Arc<Site>,
    container: AttemptId,
    output: ToUser,
    pipes: Pipes,
    tasks: JoinSet<()>,
}

impl Forwarded {
    pub(super) fn new(site: Arc<Site>, container: AttemptId, output: ToUser) -> Self {
        Self { site, container, output, pipes: Pipes::default(), tasks: JoinSet::new() }
    }

    /// Takes what the user's end sends.
    pub(super) async fn take(&mut self, pipe: v1::DebugPipe) {
        match pipe.kind {
            Some(Kind::Open(port)) => {
                if let Err(why) = self.open(pipe.id, port) {
                    tell(&self.output, pipe.id, Kind::Failed(why)).await;
                }
            }
            Some(kind) => self.pipes.take(pipe.id, kind).await,
            None => {}
        }
    }

    fn open(&mut self, id: u32, port: u32) -> Result<(), String> {
        while self.tasks.try_join_next().is_some() {}
        let port = u16::try_from(port).map_err(|_| format!("{port} is no port"))?;
        if self.tasks.len() >= MOST {
            return Err(format!("{MOST} connections are open, the most"));
        }
        let from_user = self.pipes.open(id);
        let (site, container, output) = (self.site.clone(), self.container, self.output.clone());
        self.tasks.spawn(async move {
            match gateway::connect(&site, container, port).await {
                Ok(stream) => pass_on(stream, from_user, id, &output).await,
                Err(error) => tell(&output, id, Kind::Failed(format!("{error:#}"))).await,
            }
        });
        Ok(())
    }
}
