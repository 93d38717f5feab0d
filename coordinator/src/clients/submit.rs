//! Takes a sweep: reads what the client sends, checks it, and queues all of it or nothing. A list of parameters is kept in
//! bounded memory until all of it has come, so that no transaction waits for a client.

use bt_model::expansion::{Expansion, RowCheck, Search};
use bt_model::image;
use bt_model::manifest::{DevMount, JobSource, Manifest, On};
use bt_model::parameters::Parameters;
use bt_model::tag::{check_note, check_tags};
use bt_proto::convert::{Malformed, present};
use bt_proto::v1::{self, submit_request};
use sha2::{Digest, Sha256};
use tonic::Status;
use tracing::info;

use super::Clients;
use super::spool::Spool;
use crate::access::call;
use crate::bell::Event;
use crate::queue::{After, BATCH, Description, HeldOut, Jobs, Submission, Submitted};
use crate::rpc::incoming::{self, Incoming};
use crate::rpc::status;
use crate::secrets::naming;

/// Bytes of parameter lists that are kept where some of their rows are to be chosen.
pub(super) const LARGEST_LIST: usize = 256 << 20;
/// Whose a sweep is that nobody says anything of.
const NOBODY: &str = "api";
/// Candidates that are looked at before the clock is.
const STEPS: u32 = 16;

impl Clients {
    pub(crate) async fn receive_submit(
        &self,
        incoming: Incoming<v1::SubmitRequest>,
    ) -> Result<Submitted, Status> {
        let mut order = Order::open(incoming).await?;
        let manifest = order.manifest().await?;
        let manifest = match self.admitted(&mut order, manifest).await {
            Ok(manifest) => manifest,
            // What was queued before stays so, whatever has become of its family, and whatever is allowed since.
            Err(refused) => return self.queued_before(&mut order).await?.ok_or(refused),
        };
        self.ways.check(manifest.policy.receivers()).map_err(Status::invalid_argument)?;
        if order.header.open && (order.header.reuse || manifest.sample.is_some()) {
            let what = if order.header.reuse { "results of identical jobs" } else { "a `sample`" };
            return Err(Status::invalid_argument(format!(
                "an open sweep can't take {what}: its jobs are not known yet"
            )));
        }
        // What the manifest lists itself is there already.
        let comes = matches!(&manifest.jobs, JobSource::Rows(rows) if rows.is_empty());
        let rows = if comes { RowCheck::of(&manifest).map_err(invalid)? } else { None };
        let submitted = match rows {
            _ if order.header.open && comes && order.first.is_none() => {
                // Its jobs are added later.
                manifest.renderer().map_err(invalid)?;
                let submission = order.submission(&manifest, 1, order.fingerprint());
                let none = Jobs::Written(Box::new(std::iter::empty()));
                self.queue.submit(&submission, none).await.map_err(status::queue)?
            }
            Some(rows) => self.queue_rows(&mut order, &manifest, rows).await?,
            None => self.queue_when_all_are_there(&mut order, manifest).await?,
        };
        call::about(&submitted.name, &submitted.id.to_string());
        if !submitted.existed {
            info!(
                sweep.id = %submitted.id,
                jobs = submitted.jobs,
                "sweep {} of {} is queued", submitted.name, order.header.owner
            );
        }
        self.bell.ring(Event::SweepQueued { reuses: order.header.reuse });
        Ok(submitted)
    }

    /// The manifest as its jobs are to be run, if its owner may run it.
    async fn admitted(&self, order: &mut Order, manifest: Manifest) -> Result<Manifest, Status> {
        let (manifest, aliased) = self.without_alias(manifest).await?;
        if let Some((alias, pin)) = aliased {
            if order.header.image_pin.is_some() {
                return Err(Status::invalid_argument(format!(
                    "the alias {alias} says itself what its image is pinned to; name the image, or give no pin"
                )));
            }
            (order.alias, order.header.image_pin) = (Some(alias), Some(pin));
        }
        let (manifest, held_out) = self.held_out(&order.header, manifest).await?;
        order.held_out = held_out;
        self.allow_image(&manifest.image, order.header.image_pin.as_deref())?;
        (order.secrets, order.any_secret) =
            naming::check(&self.queue, &manifest, &order.header.owner).await?;
        order.after = self.named_after(&manifest).await?;
        self.keep_dev_mounts(&manifest).await?;
        Ok(manifest)
    }

    /// Sees to it that what its dev mounts hold is in the store, and stays there until the sweep is queued.
    pub(super) async fn keep_dev_mounts(&self, manifest: &Manifest) -> Result<(), Status> {
        let mounts = &manifest.sandbox.dev_mounts;
        if mounts.is_empty() {
            return Ok(());
        }
        let ids: Vec<_> = mounts.iter().map(DevMount::hash).collect();
        let held = self.queue.keep_layers(&ids).await.map_err(status::queue)?;
        match mounts.iter().find(|mount| !held.contains(&mount.hash())) {
            None => Ok(()),
            Some(DevMount { target, sha256, .. }) => Err(Status::failed_precondition(format!(
                "what the dev mount {target} holds (sha256 {sha256}) is not in the store; give the directory again: --dev-mount \
                 DIR:{target}"
            ))),
        }
    }

    /// The sweeps that a manifest's jobs wait for. They are there already, so none waits for itself, however they are chained.
    async fn named_after(&self, manifest: &Manifest) -> Result<After, Status> {
        let mut after = After::default();
        for named in &manifest.policy.after {
            let found = self.queue.find_sweep(&named.sweep).await.map_err(|error| {
                let status = status::queue(error);
                Status::new(status.code(), format!("`after`: {}", status.message()))
            })?;
            if after.all.contains(&found.id) {
                return Err(Status::invalid_argument(format!("`after` names sweep {} twice", found.name)));
            }
            after.all.push(found.id);
            if named.on == On::Ended {
                after.any_end.push(found.id);
            }
        }
        match self.queue.waits_in_vain(&after).await.map_err(status::queue)? {
            None => Ok(after),
            Some(why) => Err(Status::failed_precondition(format!(
                "{why}; retry that one first, or say `on: ended` (--after NAME:ended) if any end will do"
            ))),
        }
    }

    /// Checks what would be submitted, and queues nothing.
    pub(super) async fn check_submit(
        &self,
        incoming: Incoming<v1::SubmitRequest>,
    ) -> Result<Submission, Status> {
        let mut order = Order::open(incoming).await?;
        let manifest = order.manifest().await?;
        let mut manifest = self.admitted(&mut order, manifest).await?;
        self.ways.check(manifest.policy.receivers()).map_err(Status::invalid_argument)?;
        if matches!(&manifest.jobs, JobSource::Rows(rows) if rows.is_empty()) {
            manifest = manifest.with_rows(self.listed_rows(&mut order).await?);
        }
        let jobs = self.expand(&order.header.owner, &manifest).await?.len();
        Ok(order.submission(&manifest, jobs, order.fingerprint()))
    }

    /// What an earlier submit with the same key has queued, if there was one.
    async fn queued_before(&self, order: &mut Order) -> Result<Option<Submitted>, Status> {
        while order.rows().await?.is_some() {}
        let found = self.queue.find_submitted(&order.header.idempotency_key, &order.fingerprint()).await;
        found.map_err(status::queue)
    }

    /// Every row is a job: none is kept.
    async fn queue_rows(
        &self,
        order: &mut Order,
        manifest: &Manifest,
        mut rows: RowCheck<'_>,
    ) -> Result<Submitted, Status> {
        let mut spool = Spool::default();
        while let Some(piece) = order.rows().await? {
            for row in self.check_rows(&order.header.owner, &mut rows, piece).await? {
                spool.push(row.as_bytes()).await?;
            }
        }
        rows.finish().map_err(invalid)?;
        let mut spooled = spool.finish().await?;
        let fingerprint = order.fingerprint();
        // How many there are is known at the end.
        let submission = order.submission(manifest, 1, fingerprint);
        let open = self.queue.begin_submit(&submission).await.map_err(status::queue)?;
        let Some(mut open) = open else {
            let before = self.queue.submitted_before(&submission.idempotency_key, &fingerprint).await;
            return before.map_err(status::queue);
        };
        let mut batch = Vec::with_capacity(BATCH);
        while let Some(row) = spooled.next().await? {
            let row = String::from_utf8(row);
            batch.push(row.map_err(|error| Status::internal(format!("a row has changed: {error}")))?);
            if batch.len() >= BATCH {
                open.add_written(&batch).await.map_err(status::queue)?;
                batch.clear();
            }
        }
        if !batch.is_empty() {
            open.add_written(&batch).await.map_err(status::queue)?;
        }
        open.finish(&fingerprint).await.map_err(status::queue)
    }

    /// Checks a piece of the list, and gives it back.
    async fn check_rows(
        &self,
        owner: &str,
        rows: &mut RowCheck<'_>,
        piece: Vec<String>,
    ) -> Result<Vec<String>, Status> {
        let mut calculation = self.calculations.begin(owner).await.map_err(status::calculation)?;
        let mut unchecked = piece.iter();
        let check = || {
            let Some(row) = unchecked.next() else { return Some(Ok(())) };
            let parameters =
                Parameters::from_json(row).map_err(|error| Status::invalid_argument(error.to_string()));
            parameters.and_then(|parameters| rows.check(&parameters).map_err(invalid)).err().map(Err)
        };
        calculation.run(check).await.map_err(status::calculation)??;
        Ok(piece)
    }

    /// Looks for the jobs of a manifest.
    pub(super) async fn expand<'m>(
        &self,
        owner: &str,
        manifest: &'m Manifest,
    ) -> Result<Expansion<'m>, Status> {
        let mut calculation = self.calculations.begin(owner).await.map_err(status::calculation)?;
        let mut search = None;
        let step = || {
            let search = match &mut search {
                Some(search) => search,
                None => match manifest.begin_expansion() {
                    Ok(begun) => search.insert(begun),
                    Err(error) => return Some(Err(invalid(error))),
                },
            };
            match search.advance(STEPS) {
                Ok(false) => None,
                Ok(true) => Some(Ok(())),
                Err(error) => Some(Err(invalid(error))),
            }
        };
        calculation.run(step).await.map_err(status::calculation)??;
        search.map(Search::finish).ok_or_else(|| Status::internal("the search for the jobs has not begun"))
    }

    /// All rows that come.
    async fn listed_rows(&self, order: &mut Order) -> Result<Vec<Parameters>, Status> {
        let (mut rows, mut size) = (Vec::new(), 0);
        while let Some(piece) = order.rows().await? {
            for row in piece {
                size += row.len();
                if size > LARGEST_LIST {
                    return Err(Status::invalid_argument(
                        "the list of parameters is larger than 256 MiB, the limit where `where` or `sample` chooses \
                         among its rows, or `windows` multiplies them",
                    ));
                }
                let parameters = Parameters::from_json(&row);
                rows.push(parameters.map_err(|error| Status::invalid_argument(error.to_string()))?);
            }
        }
        Ok(rows)
    }

    async fn queue_when_all_are_there(
        &self,
        order: &mut Order,
        mut manifest: Manifest,
    ) -> Result<Submitted, Status> {
        let rows = self.listed_rows(order).await?;
        if matches!(&manifest.jobs, JobSource::Rows(listed) if listed.is_empty()) {
            manifest = manifest.with_rows(rows);
        }
        let jobs = self.expand(&order.header.owner, &manifest).await?;
        let mut submission = order.submission(&manifest, jobs.len(), order.fingerprint());
        submission.tests = jobs.tests().to_vec();
        let parameters = match jobs.points() {
            Some(_) if jobs.is_whole() => Jobs::Whole,
            Some(points) => Jobs::Points(Box::new(points)),
            None => Jobs::Written(Box::new(jobs.iter().map(|parameters| parameters.to_json()))),
        };
        self.queue.submit(&submission, parameters).await.map_err(status::queue)
    }
}

pub(super) fn invalid(error: bt_model::manifest::Error) -> Status {
    Status::invalid_argument(error.to_string())
}

/// What a client sends: a header, and the rows where there are some.
struct Order {
    header: v1::SubmitHeader,
    incoming: Incoming<v1::SubmitRequest>,
    hash: Sha256,
    /// Rows that were looked at already.
    first: Option<Vec<String>>,
    held_out: HeldOut,
    /// What its image was named by, where that was an alias.
    alias: Option<String>,
    /// The secrets that its jobs ask for, and whether it may name any.
    secrets: Vec<String>,
    any_secret: bool,
    /// The sweeps that it waits for.
    after: After,
}

impl Order {
    async fn open(mut incoming: Incoming<v1::SubmitRequest>) -> Result<Self, Status> {
        let first = incoming::next(&mut incoming).await?.and_then(|message| message.kind);
        let Some(submit_request::Kind::Header(mut header)) = first else {
            return Err(status::out_of_order("a SubmitHeader"));
        };
        if header.idempotency_key.is_empty() || header.idempotency_key.chars().count() > 200 {
            return Err(Status::invalid_argument("an idempotency key has 1 to 200 characters"));
        }
        header.owner = call::owner(&header.owner, NOBODY).map_err(Status::permission_denied)?;
        let mut hash = Sha256::new();
        header.image_pin = present(header.image_pin);
        let image_pin = header.image_pin.as_deref();
        if let Some(pin) = image_pin.filter(|pin| !image::is_pin(pin)) {
            return Err(Status::invalid_argument(format!(
                "{pin:?} does not stand for one image for good; write sha256:..., or NAME@sha256:..."
            )));
        }
        let described = check_tags(&header.tags).and_then(|()| check_note(&header.note));
        described.map_err(Status::invalid_argument)?;
        hash.update(header.manifest.as_bytes());
        hash.update(image_pin.unwrap_or_default().as_bytes());
        if header.reuse {
            hash.update(b"reuse");
        }
        if header.open {
            hash.update(b"open");
        }
        if let Some(why) = &header.look {
            hash.update(b"look");
            hash.update(why.as_bytes());
        }
        let held_out = HeldOut::default();
        Ok(Self {
            header,
            incoming,
            hash,
            first: None,
            held_out,
            alias: None,
            secrets: Vec::new(),
            any_secret: false,
            after: After::default(),
        })
    }

    /// The manifest; its jobs are the rows that follow, if any do.
    async fn manifest(&mut self) -> Result<Manifest, Status> {
        let manifest = Manifest::from_json(&self.header.manifest).map_err(invalid)?;
        manifest.admit().map_err(invalid)?;
        self.first = self.rows().await?;
        let has = match &manifest.jobs {
            JobSource::One if self.header.open => return Ok(manifest.with_rows(Vec::new())),
            _ if self.first.is_none() => return Ok(manifest),
            JobSource::One => return Ok(manifest.with_rows(Vec::new())),
            JobSource::Rows(rows) if rows.is_empty() => return Ok(manifest),
            JobSource::Rows(_) => "lists its `params`",
            JobSource::Matrix(_) => "has a `matrix`",
        };
        Err(Status::invalid_argument(format!(
            "rows follow the header, but the manifest {has} itself; send a manifest without it, or no rows"
        )))
    }

    /// The next rows; none when all have come.
    async fn rows(&mut self) -> Result<Option<Vec<String>>, Status> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        let Some(message) = incoming::next(&mut self.incoming).await? else { return Ok(None) };
        let Some(submit_request::Kind::Rows(piece)) = message.kind else {
            return Err(status::malformed(Malformed::Missing("rows")));
        };
        for row in &piece.rows {
            self.hash.update(row.as_bytes());
            self.hash.update(b"\n");
        }
        Ok(Some(piece.rows))
    }

    /// Of all that has come.
    fn fingerprint(&self) -> [u8; 32] {
        self.hash.clone().finalize().into()
    }

    fn submission(&self, manifest: &Manifest, jobs: u32, fingerprint: [u8; 32]) -> Submission {
        Submission {
            name: manifest.name.clone(),
            owner: self.header.owner.clone(),
            idempotency_key: self.header.idempotency_key.clone(),
            fingerprint,
            manifest: manifest.to_json(),
            jobs,
            priority: manifest.priority,
            policy: manifest.policy.clone(),
            timeout: manifest.timeout,
            needs: manifest.resources(),
            labels: manifest.labels(),
            volumes: manifest.volumes_needed(),
            secrets: self.secrets.clone(),
            any_secret: self.any_secret,
            image: manifest.image.clone(),
            image_pin: self.header.image_pin.clone(),
            image_alias: self.alias.clone(),
            recipe: Sha256::digest(manifest.recipe()).into(),
            reuse: self.header.reuse,
            batch: manifest.batch(),
            pinned: manifest.needs.pin(),
            dev_mounts: DevMount::to_json(&manifest.sandbox.dev_mounts),
            family: manifest.family(),
            held_out: self.held_out.clone(),
            open: self.header.open,
            after: self.after.clone(),
            tests: Vec::new(),
            description: Description { tags: self.header.tags.clone(), note: self.header.note.clone() },
        }
    }
}
