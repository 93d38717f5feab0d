//! Commands in a container that is there already.

use bollard::exec::StartExecResults;
use bollard::models::ExecConfig;
use bt_model::id::AttemptId;
use futures_util::StreamExt;

use crate::docker::cgroup::{Group, GroupLook};
use crate::docker::fault::{self, within};
use crate::docker::output::lines;
use crate::docker::{Docker, READ_DEADLINE, name};
use crate::{Error, Exit, RunningCommand, Task};

/// What is in a container between two commands: its init, and what keeps it alive.
const AT_REST: u64 = 2;

impl Docker {
    /// Starts a command in a container that runs. What it prints comes out of the stream, which ends with it.
    pub(crate) async fn exec(&self, container: AttemptId, task: &Task) -> Result<RunningCommand, Error> {
        let config = ExecConfig {
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(task.command.clone()),
            env: Some(task.env.iter().map(|(name, value)| format!("{name}={value}")).collect()),
            user: task.user.map(|(uid, gid)| format!("{uid}:{gid}")),
            working_dir: task.working_dir.clone(),
            ..ExecConfig::default()
        };
        let name = name(container);
        let creating = self.client.create_exec(&name, config);
        let id = within("exec", self.deadline, Some(container), creating).await?.id;
        let starting = self.client.start_exec(&id, None);
        let started = within("exec", self.deadline, Some(container), starting).await?;
        let StartExecResults::Attached { output, .. } = started else {
            let message = "the command was started without its output".to_owned();
            return Err(Error::Engine { call: "exec", status: None, message });
        };
        let lines = lines(output).map(|line| line.map_err(|fault| fault::of("exec", None, fault)));
        Ok(RunningCommand { id, lines: lines.boxed() })
    }

    /// How a command whose output has ended has ended itself.
    pub(crate) async fn exec_end(&self, container: AttemptId, id: &str) -> Result<Exit, Error> {
        loop {
            let asked = within("exec", READ_DEADLINE, Some(container), self.client.inspect_exec(id)).await?;
            if asked.running != Some(true) {
                let code = asked.exit_code.unwrap_or_default();
                let oom = self.oom_kills(container).await?.is_none_or(|kills| kills > 0);
                return Ok(Exit { code, oom, error: String::new(), interrupted: false, ran: None });
            }
            // It has closed its output and goes on.
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    }

    /// Processes of a running container that the kernel has killed for memory, as its control group counts them: the
    /// Engine tells only when the container has ended. Nothing if that can't be read here.
    pub(crate) async fn oom_kills(&self, container: AttemptId) -> Result<Option<u64>, Error> {
        Ok(self.seen_group(container).await?.and_then(|group| group.oom_kills()))
    }

    /// True if no process but its own is in the container, so that the next command is alone in it.
    pub(crate) async fn is_at_rest(&self, container: AttemptId) -> Result<bool, Error> {
        let group = self.seen_group(container).await?;
        Ok(group.and_then(|group| group.processes()).is_some_and(|processes| processes <= AT_REST))
    }

    async fn seen_group(&self, container: AttemptId) -> Result<Option<Group>, Error> {
        Ok(match self.group(container).await? {
            GroupLook::Group(group) => Some(group),
            GroupLook::NotYet | GroupLook::Hidden => None,
        })
    }
}
