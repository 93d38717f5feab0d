//! What is in the images that jobs run, told to the coordinator once: beside the jobs, never before one.
//!
//! The image's own Python is asked for the metadata of its packages, in a container that is hardened as jobs' are, has no
//! network and no volume, in room that no job waits for: when one does, the look is broken off and taken later. Nothing of the user's is imported.

use std::collections::HashSet;
use std::future::pending;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use bt_engine::{ContainerSpec, Error, Network, Stop};
use bt_model::id::{AttemptId, SweepId};
use bt_model::log::Stream;
use bt_model::resources::Resources;
use bt_model::software::Software;
use bt_proto::v1;
use bt_proto::v1::agents_client::AgentsClient;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::config::EngineKind;
use crate::line::Line;
use crate::runner::{Finished, Running, keep_lines};

/// How long the image's first job is left alone.
const PAUSE: Duration = Duration::from_secs(1);
/// How long the container may take, besides what the engine may.
const DEADLINE: Duration = Duration::from_secs(30);
/// How long a coordinator may take to answer, and the wait before it is asked again.
const ANSWER: Duration = Duration::from_secs(10);
const AGAIN: Duration = Duration::from_secs(10);
const MEMORY: u64 = 192 << 20;
const CPU_MILLIS: u64 = 250;
const PIDS: u32 = 32;
/// Bytes of its answer that are read.
const LARGEST: usize = 1 << 20;
const LOG_LIMIT: u64 = 2 << 20;
/// An image's Python, if a job names none.
const PYTHON: &str = "python3";
/// Prints `name==version` for Python itself and each package that has metadata. `-I` keeps it from looking where jobs'
/// own modules lie; what `PYTHONPATH` adds is looked at, and not imported from.
const ASK: &str = r#"
import os, platform, sys
print("python==" + platform.python_version())
try:
    from importlib import metadata
except ImportError:
    sys.exit(0)
places = sys.path + os.environ.get("PYTHONPATH", "").split(os.pathsep)
for found in metadata.distributions(path=[place for place in places if place]):
    name = found.metadata["Name"]
    if name:
        print(name + "==" + str(found.version))
"#;

/// Images whose jobs have begun here, on their way to be asked.
#[derive(Debug)]
pub(crate) struct SeenImages {
    known: Mutex<HashSet<String>>,
    new: mpsc::UnboundedSender<SeenImage>,
    receiver: Mutex<Option<mpsc::UnboundedReceiver<SeenImage>>>,
}

#[derive(Debug)]
struct SeenImage {
    id: String,
    /// The interpreter that a job of it has named, if it named one.
    python: Option<String>,
}

impl Default for SeenImages {
    fn default() -> Self {
        let (new, receiver) = mpsc::unbounded_channel();
        Self { known: Mutex::default(), new, receiver: Mutex::new(Some(receiver)) }
    }
}

impl SeenImages {
    /// Notes that a job of this image has begun, with the command that it runs.
    pub(crate) fn note(&self, image_id: &str, command: &[String]) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if image_id.is_empty() || !known.insert(image_id.to_owned()) {
            return;
        }
        let is_python = |program: &&String| {
            let name = program.rsplit('/').next().unwrap_or_default();
            name.strip_prefix("python")
                .is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
        };
        let python = command.first().filter(is_python).cloned();
        // Nobody listens any more when the agent ends.
        self.new.send(SeenImage { id: image_id.to_owned(), python }).ok();
    }
}

/// Tells of one image after the other until the agent ends.
pub(crate) async fn run(seen: &SeenImages, line: &Line, end: CancellationToken) {
    if line.site.options.engine == EngineKind::Simulated {
        return;
    }
    let receiver = seen.receiver.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(mut images) = receiver else { return };
    let telling = async {
        while let Some(image) = images.recv().await {
            sleep(PAUSE).await;
            if let Err(error) = tell(line, &image).await {
                warn!(image.id = image.id, error = format!("{error:#}"), "what is in the image is not known");
            }
        }
    };
    tokio::select! {
        () = end.cancelled() => {}
        () = telling => {}
    }
}

async fn tell(line: &Line, image: &SeenImage) -> anyhow::Result<()> {
    if ask(line, image, None).await? {
        return Ok(());
    }
    let software = look(line, image).await?;
    let json = serde_json::to_string(&software).context("write what was found")?;
    ask(line, image, Some(json)).await?;
    Ok(())
}

/// Asks until a coordinator has answered whether it knows.
async fn ask(line: &Line, image: &SeenImage, software: Option<String>) -> anyhow::Result<bool> {
    loop {
        let connection = line.link.connection().await;
        let request = v1::DescribeImageRequest {
            agent_id: line.site.identity.agent.to_string(),
            session: connection.session,
            image_id: image.id.clone(),
            software: software.clone(),
        };
        let mut client = AgentsClient::new(connection.channel);
        match timeout(ANSWER, client.describe_image(request)).await {
            Ok(Ok(reply)) => return Ok(reply.into_inner().known),
            // An older coordinator, or one that does not want it.
            Ok(Err(error))
                if matches!(error.code(), tonic::Code::Unimplemented | tonic::Code::InvalidArgument) =>
            {
                bail!("{}", error.message())
            }
            Ok(Err(_)) | Err(_) => sleep(AGAIN).await,
        }
    }
}

/// What the first Python says that answers; nothing if there is none in the image.
async fn look(line: &Line, image: &SeenImage) -> anyhow::Result<Software> {
    let named = image.python.as_deref().into_iter();
    for python in named.chain([PYTHON]) {
        // A machine that offers less than this waits for nothing.
        let Resources { cpu_millis, memory_bytes, .. } = line.site.offer.capacity;
        let need = Resources {
            cpu_millis: CPU_MILLIS.min(cpu_millis),
            memory_bytes: MEMORY.min(memory_bytes),
            ..Resources::default()
        };
        let asked = loop {
            match ask_beside_jobs(line, need, image, python).await {
                Some(asked) => break asked?,
                None => sleep(AGAIN).await,
            }
        };
        if let Some(software) = asked {
            return Ok(software);
        }
    }
    Ok(Software::default())
}

/// Asks this interpreter while no job waits for room; nothing if one does, or begins to.
async fn ask_beside_jobs(
    line: &Line,
    need: Resources,
    image: &SeenImage,
    python: &str,
) -> Option<anyhow::Result<Option<Software>>> {
    let _share = line.site.capacity.try_take(need, &[])?;
    let id = AttemptId::random();
    line.site.guests.add(id);
    let asked = tokio::select! {
        asked = timeout(line.site.options.engine_deadline + DEADLINE, ask_python(line, id, image, python)) => Some(asked),
        () = line.site.capacity.wanted() => None,
    };
    if let Err(error) = line.site.engine.remove(id).await {
        debug!(container = %id, error = %error, "the container is left to a later pass");
    }
    line.site.guests.remove(id);
    asked.map(|asked| asked.context("it took too long").and_then(|asked| asked))
}

/// What this interpreter of the image prints; nothing if it is not there.
async fn ask_python(
    line: &Line,
    id: AttemptId,
    image: &SeenImage,
    python: &str,
) -> anyhow::Result<Option<Software>> {
    let spec = ContainerSpec {
        attempt: id,
        agent: line.site.identity.agent,
        sweep: SweepId::random(),
        job: 0,
        is_process: false,
        image: image.id.clone(),
        entrypoint: Some(vec![python.to_owned()]),
        command: ["-I", "-c", ASK].map(str::to_owned).into(),
        working_dir: Some("/".to_owned()),
        env: Vec::new(),
        hostname: "btctl".to_owned(),
        user: Some(line.site.identity.unprivileged()),
        groups: Vec::new(),
        cpu_millis: CPU_MILLIS,
        memory_bytes: MEMORY,
        gpus: Vec::new(),
        cores: Vec::new(),
        shm_bytes: 1 << 20,
        pids: PIDS,
        ulimits: Vec::new(),
        tmpfs: Vec::new(),
        binds: Vec::new(),
        network: Network::None,
        reach: Vec::new(),
        platform: None,
        runtime: line.site.options.oci_runtime.clone(),
        stop: Stop { signal: "SIGKILL".to_owned(), grace: Duration::ZERO },
        log_limit: LOG_LIMIT,
    };
    let engine = &*line.site.engine;
    let (mut printed, mut kept) = (Vec::new(), Ok(()));
    let running = async {
        engine.create(&spec).await?;
        engine.start(id).await?;
        let keeping = async {
            let keep = keep_lines(engine.logs(id, None), |line| {
                if line.stream == Stream::Stdout && printed.len() < LARGEST {
                    printed.extend_from_slice(&line.text);
                }
                Ok(())
            });
            kept = keep.await;
        };
        Running::Container(id).to_its_end(engine, keeping, pending(), pending(), Duration::ZERO).await
    };
    let exit = match running.await {
        Ok(Finished { exit, .. }) => exit,
        // Some engines say so only when the container has ended.
        Err(Error::NoSuchCommand { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    kept.map_err(anyhow::Error::msg)?;
    let software = Software::read(&String::from_utf8_lossy(&printed));
    if exit.code != 0 || software.python.is_none() {
        bail!("{python} ended with exit code {}, and did not say what is there", exit.code);
    }
    Ok(Some(software))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_image_is_asked_once_and_by_the_python_that_its_job_names() {
        let seen = SeenImages::default();
        let command = |program: &str| vec![program.to_owned(), "/app/x.py".to_owned()];
        seen.note("a", &command("/opt/venv/bin/python3.11"));
        seen.note("a", &command("python"));
        seen.note("b", &command("pythonista"));
        seen.note("", &command("python"));
        let mut receiver = seen.receiver.lock().unwrap().take().unwrap();
        let mut next = || receiver.try_recv().ok().map(|image| (image.id, image.python));
        assert_eq!(next(), Some(("a".to_owned(), Some("/opt/venv/bin/python3.11".to_owned()))));
        assert_eq!(next(), Some(("b".to_owned(), None)));
        assert_eq!(next(), None);
    }
}
