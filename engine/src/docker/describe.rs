//! What an image is, for people: its size, what it runs, and what a careful owner would change.

use bt_model::resources::ByteSize;

use crate::docker::fault::within;
use crate::docker::image::digests;
use crate::docker::{Docker, READ_DEADLINE};
use crate::{Error, ImageDetails};

/// From this size on an image is told to be large.
const LARGE: u64 = 4 << 30;
/// Programs that only building needs, as they are named in an image's history.
const BUILD_TOOLS: [&str; 5] = ["build-essential", "gcc", "g++", "cargo", "cmake"];

impl Docker {
    /// An image that is here; nothing if there is none.
    pub(crate) async fn describe(&self, image: &str) -> Result<Option<ImageDetails>, Error> {
        let found = match within("inspect image", READ_DEADLINE, None, self.client.inspect_image(image)).await
        {
            Ok(found) => found,
            Err(Error::Engine { status: Some(400 | 404), .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let history = within("history", READ_DEADLINE, None, self.client.image_history(image)).await?;
        let steps: Vec<_> = history.iter().map(|step| step.created_by.as_str()).collect();
        let size = found.size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0);
        let config = found.config.unwrap_or_default();
        let layers = found.root_fs.and_then(|root| root.layers).map_or(0, |layers| layers.len());
        let user = config.user.unwrap_or_default();
        let words = |words: Option<Vec<String>>| words.unwrap_or_default().join(" ");
        let digests = digests(found.repo_digests);
        let mut warnings = Vec::new();
        if matches!(user.as_str(), "" | "0" | "root" | "0:0" | "root:root") {
            warnings.push(
                "its user is root; btctl runs it as an unprivileged one all the same, unless the manifest says `user: image`"
                    .to_owned(),
            );
        }
        if size > LARGE {
            warnings.push(format!("it takes {}; each agent pulls and keeps all of it", ByteSize(size)));
        }
        let tools: Vec<_> = BUILD_TOOLS
            .into_iter()
            .filter(|tool| steps.iter().any(|step| step.split_whitespace().any(|word| word == *tool)))
            .collect();
        if !tools.is_empty() {
            warnings
                .push(format!("{} are in it; a second build stage would leave them out", tools.join(", ")));
        }
        if digests.is_empty() {
            warnings.push("no registry has it; `btctl image push` brings it to agents".to_owned());
        }
        Ok(Some(ImageDetails {
            id: found.id.unwrap_or_default(),
            size_bytes: size,
            facts: vec![
                ("layers", layers.to_string()),
                (
                    "platform",
                    format!("{}/{}", found.os.unwrap_or_default(), found.architecture.unwrap_or_default()),
                ),
                ("entrypoint", words(config.entrypoint)),
                ("cmd", words(config.cmd)),
                ("user", user),
                ("working_dir", config.working_dir.unwrap_or_default()),
                ("digests", digests.join(" ")),
            ],
            warnings,
        }))
    }
}
