//! A shell for a user in a container that is made as a job's would be: same image, mounts, environment and limits. It takes
//! its place among the jobs, and nothing of it is left when the user goes.

mod forwarded;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use bt_engine::{Shell, ShellOutput};
use bt_model::id::AttemptId;
use bt_model::resources::ByteSize;
use bt_proto::bearer::Line;
use bt_proto::v1::agents_client::AgentsClient;
use bt_proto::v1::{self, debug_input, debug_output};
use futures_util::StreamExt;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tracing::{info, warn};

use self::forwarded::Forwarded;
use crate::agent::Agent;
use crate::attempt::prepare_debug;
use crate::job::container::Job;
use crate::line::fetched::fetch;
use crate::record::assignment::Assignment;

/// How long a shell waits for room among the jobs.
const ROOM: Duration = Duration::from_secs(600);
/// How long the last words may take to reach the user.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// Runs Python where the image has it, else a shell.
const PYTHON: [&str; 3] = [
    "sh",
    "-c",
    "for python in python python3; do command -v $python > /dev/null && exec $python; done; exec sh",
];
/// Messages to the user that may be on their way.
const MESSAGES: usize = 64;

type ToUser = mpsc::Sender<v1::DebugOutput>;

/// Answers one request.
pub(crate) async fn answer(agent: Arc<Agent>, mut client: AgentsClient<Line>, request: v1::DebugRequest) {
    let (output, messages) = mpsc::channel(MESSAGES);
    say(&output, debug_output::Kind::Request(request.request.clone())).await;
    let mut input = match client.debug(ReceiverStream::new(messages)).await {
        Ok(answer) => answer.into_inner(),
        Err(error) => {
            warn!(error = error.message(), "a shell could not be opened");
            return;
        }
    };
    let last = match serve(&agent, &output, &mut input, request).await {
        Ok(code) => debug_output::Kind::Exit(code),
        Err(error) => debug_output::Kind::Failed(format!("{error:#}")),
    };
    say(&output, last).await;
    drop(output);
    // Hung up by the other end, who has got it all by then; hanging up here would overtake the last words.
    drop(timeout(LAST_WORDS, async { while let Ok(Some(_)) = input.message().await {} }).await);
}

/// A user who has gone hears nothing.
async fn say(output: &ToUser, kind: debug_output::Kind) {
    drop(output.send(v1::DebugOutput { kind: Some(kind) }).await);
}

async fn serve(
    agent: &Agent,
    output: &ToUser,
    input: &mut Streaming<v1::DebugInput>,
    request: v1::DebugRequest,
) -> anyhow::Result<i32> {
    let assignment = request.assignment.context("the request names no job")?;
    let assignment = Assignment::try_from(assignment)?;
    let id = assignment.attempt;
    let job = Job::read(&assignment, &agent.manifests).map_err(|reason| anyhow::anyhow!("{reason}"))?;
    say(output, debug_output::Kind::Note("waiting for room on the agent".to_owned())).await;
    let share = tokio::select! {
        share = timeout(ROOM, agent.site.capacity.take(job.resources(&agent.site.offer), Vec::new())) => {
            share.context("the agent had no room for it")?
        }
        () = output.closed() => bail!("the user has gone"),
    };
    agent.site.guests.add(id);
    let _open = agent.site.guests.open_shell();
    let dir = agent.site.state.guest(id);
    let shell = async {
        dir.make()?;
        if !job.manifest.sandbox.secrets.is_empty() {
            say(output, debug_output::Kind::Note("the shell has none of the job's secrets".to_owned())).await;
        }
        say(output, debug_output::Kind::Note(format!("getting the image {}", job.manifest.image))).await;
        let (mut spec, assembly) = prepare_debug(agent, &assignment, &job, &dir, share.gpus()).await?;
        let program: Vec<_> = match request.command.is_empty() {
            false => request.command.clone(),
            true if request.with_results => PYTHON.map(str::to_owned).into(),
            true => vec!["sh".to_owned()],
        };
        if !std::mem::take(&mut spec.reach).is_empty() {
            let told = "the shell reaches none of the addresses that the job may reach";
            say(output, debug_output::Kind::Note(told.to_owned())).await;
        }
        spec.entrypoint = program.get(..1).map(<[String]>::to_vec);
        spec.command = program[1..].to_vec();
        if request.with_results {
            say(output, debug_output::Kind::Note("fetching the result".to_owned())).await;
            let owner = job.user(agent.site.identity).filter(|ids| *ids != agent.site.identity.ids);
            let (files, bytes) = fetch(&agent.line, &assignment, &dir.results(), owner).await?;
            spec.working_dir = Some(job.manifest.results.clone());
            let told = match files {
                1 => format!("1 file, {}, is in {}", ByteSize(bytes), job.manifest.results),
                files => format!("{files} files, {}, are in {}", ByteSize(bytes), job.manifest.results),
            };
            say(output, debug_output::Kind::Note(told)).await;
        }
        spec.env.push(("TERM".to_owned(), "xterm".to_owned()));
        let shell = agent.site.engine.shell(&spec, request.tty).await?;
        drop(assembly);
        if request.tty {
            agent.site.engine.resize(id, request.rows, request.columns).await;
        }
        info!(attempt.id = %id, "a user has a shell in a job of sweep {}", assignment.sweep_name);
        converse(agent, id, shell, output, input).await
    };
    let ended = shell.await;
    if let Err(error) = agent.site.engine.remove(id).await {
        warn!(attempt.id = %id, error = %error, "the shell's container is left to a later pass");
    }
    dir.remove();
    agent.site.guests.remove(id);
    ended
}

/// Passes on what is typed and what is printed until the shell or the user ends.
async fn converse(
    agent: &Agent,
    id: AttemptId,
    shell: Shell,
    output: &ToUser,
    input: &mut Streaming<v1::DebugInput>,
) -> anyhow::Result<i32> {
    let Shell { output: mut printed, input: mut keyboard } = shell;
    let printing = async {
        while let Some(piece) = printed.next().await {
            let kind = match piece? {
                ShellOutput::Stdout(data) => debug_output::Kind::Stdout(data),
                ShellOutput::Stderr(data) => debug_output::Kind::Stderr(data),
            };
            say(output, kind).await;
        }
        anyhow::Ok(())
    };
    let mut forwarded = Forwarded::new(agent.site.clone(), id, output.clone());
    let typing = async {
        while let Ok(Some(message)) = input.message().await {
            match message.kind {
                Some(debug_input::Kind::Data(data)) => {
                    let typed = async {
                        keyboard.write_all(&data).await?;
                        keyboard.flush().await
                    };
                    if typed.await.is_err() {
                        break;
                    }
                }
                Some(debug_input::Kind::Size(size)) => {
                    agent.site.engine.resize(id, size.rows, size.columns).await
                }
                // The shell sees the end of its input, and goes on printing.
                Some(debug_input::Kind::End(_)) => drop(keyboard.shutdown().await),
                Some(debug_input::Kind::Pipe(pipe)) => forwarded.take(pipe).await,
                Some(debug_input::Kind::Start(_)) | None => {}
            }
        }
    };
    tokio::select! {
        printed = printing => printed?,
        // The line has broken: there is nobody to print for.
        () = typing => bail!("the user has gone"),
        () = output.closed() => bail!("the user has gone"),
    }
    let exit = agent.site.engine.wait(id).await?;
    Ok(i32::try_from(exit.code).unwrap_or(i32::MAX))
}
