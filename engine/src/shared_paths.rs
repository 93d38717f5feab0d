//! Which paths mean the same to this process and to the engine. They all do, unless this process runs in a container of that
//! engine: then those do that are mounted into it from the same path of the machine.

use std::path::{Path, PathBuf};

/// Paths that the engine can mount by the name that this process knows them by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SharedPaths(Option<Vec<PathBuf>>);

impl SharedPaths {
    /// Those in these directories alone.
    pub fn only(dirs: Vec<PathBuf>) -> Self {
        Self(Some(dirs))
    }

    /// Fails if the engine would look for it elsewhere; `what` names the path.
    pub fn check(&self, what: &str, path: &Path) -> Result<(), String> {
        let Some(dirs) = &self.0 else { return Ok(()) };
        if dirs.iter().any(|dir| path.starts_with(dir)) {
            return Ok(());
        }
        let path = path.display();
        Err(format!(
            "this agent runs in a container, and {what} {path} is not the same directory on the engine's machine: mount it at \
             the same path (`docker run -v {path}:{path}`)"
        ))
    }
}

/// The id of the container that a process runs in, by its table of mounts: engines mount the container's own files there,
/// from a directory that has the id's name.
pub(crate) fn own_container(mountinfo: &str) -> Option<&str> {
    const OWN_FILES: [&str; 3] = ["/etc/hostname", "/etc/hosts", "/etc/resolv.conf"];
    let is_id = |part: &&str| part.len() == 64 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    mountinfo.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(3);
        let (source, mounted_at) = (fields.next()?, fields.next()?);
        if !OWN_FILES.contains(&mounted_at) {
            return None;
        }
        source.rsplit('/').find(is_id)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "74b953ce177ff545e18737e668631fccc897ca4bccc40a98c9b6a20a4f577def";

    #[test]
    fn a_container_is_known_by_the_files_that_its_engine_mounts() {
        let docker = format!(
            "27 1 254:0 / / rw - ext4 /dev/vda rw\n\
             92 74 254:0 /var/lib/docker/containers/{ID}/hostname /etc/hostname rw - ext4 /dev/vda rw"
        );
        assert_eq!(own_container(&docker), Some(ID));
        let podman = format!(
            "92 74 254:0 /var/lib/containers/storage/overlay-containers/{ID}/userdata/hosts /etc/hosts rw - ext4 /dev/vda rw"
        );
        assert_eq!(own_container(&podman), Some(ID));
        let machine =
            format!("42 27 254:0 /srv/{ID} /srv rw - ext4 /dev/vda rw\n27 1 254:0 / / rw - ext4 /dev/vda rw");
        assert_eq!(own_container(&machine), None);
        assert_eq!(own_container("\n1 2\n"), None);
    }

    #[test]
    fn only_what_is_mounted_at_the_same_path_is_shared() {
        assert_eq!(SharedPaths::default().check("it", Path::new("/anything")), Ok(()));
        let shared = SharedPaths::only(vec!["/srv/btctl".into()]);
        assert_eq!(shared.check("it", Path::new("/srv/btctl/agent")), Ok(()));
        assert_eq!(shared.check("it", Path::new("/srv/btctl")), Ok(()));
        let refused = shared.check("the volume prices", Path::new("/srv/btctl2")).unwrap_err();
        assert!(
            refused.contains("the volume prices /srv/btctl2")
                && refused.contains("-v /srv/btctl2:/srv/btctl2"),
            "{refused}"
        );
    }
}
