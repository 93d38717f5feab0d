//! What a manifest must keep to when it is submitted, and is not asked again when it is read back: rules that are stricter
//! than they were when a sweep was queued would make that sweep unreadable.

use super::choice::JobUser;
use super::definition::Manifest;
use super::error::{Error, suggestion};
use super::volume::MAX_NAME;
use super::{batch, growing, mounts, pins, process, secrets, zone};
use crate::alias;
use crate::stop_when;

/// A part of a cpu that Linux can give to a container: 1 ms in every 100.
const LEAST_CPU_MILLIS: u64 = 10;
/// The largest uid and gid that container engines take.
const MOST_ID: u32 = i32::MAX as u32;
/// The most files that Linux lets a process open (`fs.nr_open`) unless it was changed.
const MOST_FILES: i64 = 1 << 20;

impl Manifest {
    /// Checks what is asked of a manifest when it is submitted, and not of one that is read back.
    pub fn admit(&self) -> Result<(), Error> {
        self.window_list()?;
        check(self).map_err(|(path, error)| error.or_at(self.places.of(&path)))
    }

    /// Whether its jobs can be run on data that is cut. Not asked of a sweep that spends a look.
    pub fn admit_holdout(&self) -> Result<(), Error> {
        let Some(holdout) = &self.judged.holdout else { return Ok(()) };
        let refused = |key: &str, told: String| Err(Error::new(told).or_at(self.places.of(key)));
        let mut cut = self.volumes.iter().enumerate().filter(|(_, mount)| holdout.cuts(&mount.volume));
        if let Some((index, mount)) = cut.clone().find(|(_, mount)| !mount.read_only) {
            let how = match &holdout.volumes {
                Some(_) => String::new(),
                None => "; the sweep that sets a holdout can list under `holdout.volumes` those that hold the data".to_owned(),
            };
            return refused(
                &format!("volumes.{index}"),
                format!(
                    "`holdout` cuts the volume {}, and a volume that is cut can only be read; mount it as {}:{}:ro{how}",
                    mount.volume, mount.volume, mount.target
                ),
            );
        }
        let is_mounted = |volume: &&String| self.volumes.iter().any(|mount| mount.volume == **volume);
        if let Some(missing) = holdout.volumes.iter().flatten().find(|volume| !is_mounted(volume)) {
            let hint = suggestion(
                missing,
                self.volumes.iter().map(|mount| mount.volume.as_str()),
                "volumes of the manifest",
            );
            return refused(
                "holdout",
                format!("`holdout.volumes` names {missing}, which the manifest does not mount{hint}"),
            );
        }
        if cut.next().is_none() {
            let told = "`holdout` has nothing to cut: the manifest mounts no volume, and only volumes can be cut; mount the \
                        data as a volume";
            return refused("holdout", told.to_owned());
        }
        let unseen = self.window_list()?.into_iter().find(|window| window.test_start >= holdout.from);
        if let Some(window) = unseen {
            return refused(
                "windows.to",
                format!(
                    "window {} is tested from {} on, and its jobs see no data from {} on (`holdout`); let `windows.to` be {} \
                     at the latest, or spend a look (--look WHY)",
                    window.number, window.test_start, holdout.from, holdout.from
                ),
            );
        }
        Ok(())
    }
}

/// The first mistake, with the key that it belongs to.
fn check(manifest: &Manifest) -> Result<(), (String, Error)> {
    let refused = |key: &str, told: String| Err((key.to_owned(), Error::new(told)));
    if let Err(why) = alias::check_image(&manifest.image) {
        let short: String = manifest.image.chars().take(80).collect();
        return refused("image", format!("{short:?} is not an image: its name {why}"));
    }
    if let Some(millis @ ..LEAST_CPU_MILLIS) = manifest.needs.cpu_millis {
        let cpus = millis as f64 / 1000.0;
        return refused("resources", format!("`cpus` is {cpus}; a container gets 0.01 of a cpu at least"));
    }
    if let Some((soft, hard)) = manifest.sandbox.ulimits.get("nofile") {
        let most = 0..=MOST_FILES;
        if let Some(limit) = [soft, hard].into_iter().find(|limit| !most.contains(limit)) {
            let limit = match limit {
                -1 => "unlimited".to_owned(),
                limit => limit.to_string(),
            };
            let told = format!(
                "the limit nofile is {limit}; {MOST_FILES} is the most that Linux grants (fs.nr_open)"
            );
            return refused("ulimits", told);
        }
    }
    if let JobUser::Ids { uid, gid } = manifest.user
        && let Some(id) = [uid, gid].into_iter().find(|id| *id > MOST_ID)
    {
        return refused(
            "user",
            format!("`user` has the id {id}; container engines take ids up to {MOST_ID}"),
        );
    }
    if let Some(id) = manifest.sandbox.groups.iter().find(|id| **id > MOST_ID) {
        return refused(
            "groups",
            format!("`groups` has the id {id}; container engines take ids up to {MOST_ID}"),
        );
    }
    if let Some(name) = &manifest.timezone {
        zone::check(name).map_err(|error| ("timezone".to_owned(), error))?;
    }
    // POSIX knows rules too, such as EST5EDT,M3.2.0,M11.1.0 and :/path; a name of two parts is a zone's.
    let names_a_zone =
        |name: &&String| name.contains('/') && !name.starts_with(['/', ':']) && !name.contains(['{', ',']);
    if let Some(name) = manifest.env.get("TZ").filter(names_a_zone) {
        zone::check(name).map_err(|error| {
            let told = error.message.replacen("`timezone`", "`TZ` in `env`", 1);
            ("env.TZ".to_owned(), Error::new(told))
        })?;
    }
    if let Some(source) = &manifest.policy.stop_when {
        stop_when::check(source).map_err(|error| (stop_when::KEY.to_owned(), error))?;
    }
    process::admit(manifest)?;
    batch::admit(manifest)?;
    growing::admit(manifest)?;
    pins::admit(manifest)?;
    secrets::admit(&manifest.sandbox.secrets, &manifest.env)?;
    long_names(manifest)?;
    mounts::check(manifest)
}

/// A name in a path that no file system takes.
fn long_names(manifest: &Manifest) -> Result<(), (String, Error)> {
    let sandbox = &manifest.sandbox;
    let volumes =
        manifest.volumes.iter().enumerate().map(|(n, mount)| (format!("volumes.{n}"), &mount.target));
    let tmpfs = sandbox.tmpfs.iter().map(|tmpfs| ("tmpfs".to_owned(), &tmpfs.path));
    let others = [("cache", sandbox.cache.as_ref()), ("working_dir", sandbox.working_dir.as_ref())];
    let others = others.into_iter().filter_map(|(key, path)| Some((key.to_owned(), path?)));
    let results = [("results".to_owned(), &manifest.results)];
    for (key, path) in results.into_iter().chain(volumes).chain(tmpfs).chain(others) {
        if let Some(name) = path.split('/').find(|name| name.len() > MAX_NAME) {
            let told = format!(
                "`{}` has a path with a name of {} bytes; {MAX_NAME} are the most in each part of a path",
                key.split('.').next().unwrap_or(&key),
                name.len()
            );
            return Err((key, Error::new(told)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::manifest::{Format, Manifest};

    #[test]
    fn what_no_engine_starts_is_refused_with_its_place() {
        let long = "a".repeat(256);
        for (lines, words) in [
            ("timezone: America/NewYork", "did you mean America/New_York?"),
            ("env: { TZ: America/NewYork }", "`TZ` in `env` is \"America/NewYork\""),
            ("resources: { cpus: 0.005 }", "`cpus` is 0.005; a container gets 0.01"),
            ("resources: { cpu_millicore: 9 }", "`cpus` is 0.009"),
            ("ulimits: { nofile: 2000000 }", "nofile is 2000000; 1048576 is the most"),
            ("ulimits: { nofile: { soft: 10, hard: -1 } }", "nofile is unlimited"),
            ("user: '4294967294:1'", "the id 4294967294"),
            ("user: '1:2147483648'", "the id 2147483648"),
            ("stop_when: drawdown", "it must be true or false"),
            ("stop_when: '1 < 2'", "names no metric"),
            ("groups: [4294967295]", "`groups` has the id 4294967295"),
            (&format!("results: /{long}"), "a name of 256 bytes"),
            (&format!("volumes: ['p:/x/{long}']"), "`volumes` has a path with a name of 256 bytes"),
            (&format!("working_dir: /x/{long}/y"), "`working_dir`"),
        ] {
            let text = format!("image: x\n{lines}\n");
            let read =
                Manifest::parse(text.as_bytes(), Format::Yaml, "s.yaml").and_then(|draft| draft.finish());
            let told = read.unwrap_err().to_string();
            assert!(told.contains(words) && told.starts_with("s.yaml:2:"), "{lines}: {told}");
        }
    }

    #[test]
    fn the_bounds_themselves_are_taken() {
        for lines in [
            "resources: { cpus: 0.01 }",
            "env: { TZ: Asia/Tokyo }",
            "env: { TZ: 'EST5EDT,M3.2.0/2,M11.1.0/2' }",
            "env: { TZ: ':/etc/localtime' }",
            "env: { TZ: '{{ region }}/{{ city }}' }\nparams: [{ region: Asia, city: Tokyo }]",
            "ulimits: { nofile: 1048576, core: -1 }",
            "user: '2147483647:2147483647'",
            "groups: [2147483647]",
            &format!("results: /{}", "a".repeat(255)),
        ] {
            let text = format!("image: x\n{lines}\n");
            Manifest::parse(text.as_bytes(), Format::Yaml, "s.yaml").unwrap().finish().unwrap();
        }
    }
}
