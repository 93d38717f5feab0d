//! Who a job's user is by name. Programs ask for it (`getpass.getuser()`, `pwd.getpwuid()`), and an image knows nothing of a
//! user that the manifest or the agent chooses: then it gets an entry beside the image's own.

use crate::ImageFile;

/// The name that a user or group gets that the image does not know.
const NAME: &str = "btctl";
/// The directory of such a user: the one that any job can write to.
const HOME: &str = "/tmp";

/// A job's user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Login {
    /// Absent where the image names a user that it does not know; the engine refuses that.
    pub name: Option<String>,
    /// Its uid and gid; absent as its name is.
    pub ids: Option<(u32, u32)>,
    /// `/etc/passwd` with an entry for the user, if the image has none.
    pub passwd: Option<String>,
    /// `/etc/group` with entries for its groups, if the image lacks one.
    pub group: Option<String>,
}

/// An image's `/etc/passwd` and `/etc/group`, and the user that it names.
#[derive(Clone, Copy, Debug)]
pub struct ImageUsers<'i> {
    pub passwd: &'i ImageFile,
    pub group: &'i ImageFile,
    pub user: &'i str,
}

impl Login {
    /// `ids` are those that the container runs as; the image's own user where there are none.
    pub fn of(ids: Option<(u32, u32)>, groups: &[u32], image: ImageUsers<'_>) -> Self {
        let (uid, gid) = match ids {
            Some((uid, gid)) => (uid, Some(gid)),
            None => {
                let (user, group) = image.user.split_once(':').unwrap_or((image.user, ""));
                match user.parse() {
                    _ if user.is_empty() => (0, None),
                    Ok(uid) => (uid, group.parse().ok()),
                    Err(_) => {
                        let name = by_name(image.passwd, user).then(|| user.to_owned());
                        return Self { name, ids: ids_of(&image, user, group), ..Self::default() };
                    }
                }
            }
        };
        let (name, passwd) = match (by_id(image.passwd, uid), image.passwd.text()) {
            (Some(name), _) => (name, None),
            (None, None) => (NAME.to_owned(), None),
            (None, Some(text)) => {
                let name = match by_name(image.passwd, NAME) {
                    true => format!("{NAME}-{uid}"),
                    false => NAME.to_owned(),
                };
                let gid = gid.unwrap_or(0);
                let entry = format!("{name}:x:{uid}:{gid}:btctl job:{HOME}:/bin/sh\n");
                (name, Some(with(text, &entry)))
            }
        };
        let unknown = gid.iter().chain(groups).filter(|gid| by_id(image.group, **gid).is_none());
        let mut unknown: Vec<u32> = unknown.copied().collect();
        unknown.sort_unstable();
        unknown.dedup();
        let entries: String = unknown
            .into_iter()
            .map(|id| match groups.contains(&id) {
                true => format!("{NAME}-{id}:x:{id}:{name}\n"),
                false => format!("{NAME}-{id}:x:{id}:\n"),
            })
            .collect();
        let group = image.group.text().filter(|_| !entries.is_empty()).map(|text| with(text, &entries));
        let own = gid.or_else(|| main_group(image.passwd, |_, known| known == uid));
        Self { name: Some(name), ids: Some((uid, own.unwrap_or(0))), passwd, group }
    }
}

/// The ids of a user that the image names by name.
fn ids_of(image: &ImageUsers<'_>, user: &str, group: &str) -> Option<(u32, u32)> {
    let (_, uid) = fields(image.passwd).find(|(name, _)| *name == user)?;
    let gid = match group {
        "" => main_group(image.passwd, |name, _| name == user),
        group => group.parse().ok().or_else(|| fields(image.group).find(|(name, _)| *name == group)?.1),
    };
    Some((uid?, gid?))
}

/// The group that `/etc/passwd` gives a user.
fn main_group(passwd: &ImageFile, is_user: impl Fn(&str, u32) -> bool) -> Option<u32> {
    passwd.text().unwrap_or_default().lines().find_map(|line| {
        let fields: Vec<_> = line.split(':').collect();
        let [name, _, uid, gid, ..] = fields[..] else { return None };
        is_user(name, uid.parse().ok()?).then(|| gid.parse().ok())?
    })
}

fn with(text: &str, entries: &str) -> String {
    let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    format!("{text}{end}{entries}")
}

fn fields(file: &ImageFile) -> impl Iterator<Item = (&str, Option<u32>)> {
    let text = file.text().unwrap_or_default();
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        Some((name, fields.nth(1).and_then(|id| id.parse().ok())))
    })
}

fn by_id(file: &ImageFile, id: u32) -> Option<String> {
    fields(file).find(|(_, known)| *known == Some(id)).map(|(name, _)| name.to_owned())
}

fn by_name(file: &ImageFile, name: &str) -> bool {
    fields(file).any(|(known, _)| known == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(
        passwd: &ImageFile,
        group: &ImageFile,
        user: &str,
        ids: Option<(u32, u32)>,
        groups: &[u32],
    ) -> Login {
        Login::of(ids, groups, ImageUsers { passwd, group, user })
    }

    #[test]
    fn a_user_that_the_image_does_not_know_gets_an_entry_beside_its_own() {
        let text = |text: &str| ImageFile::Text(text.to_owned());
        let (none, passwd, group) = (
            ImageFile::Absent,
            text("root:x:0:0::/root:/bin/sh\napp:x:7:7::/app:/bin/sh"),
            text("root:x:0:\napp:x:7:\n"),
        );
        let known = login(&passwd, &group, "", Some((7, 7)), &[]);
        assert_eq!(known, Login { name: Some("app".to_owned()), ids: Some((7, 7)), ..Login::default() });
        let unknown = login(&passwd, &group, "", Some((12345, 54321)), &[7, 99]);
        assert_eq!(unknown.name.as_deref(), Some("btctl"));
        let expected = "root:x:0:0::/root:/bin/sh\napp:x:7:7::/app:/bin/sh\nbtctl:x:12345:54321:btctl job:/tmp:/bin/sh\n";
        assert_eq!(unknown.passwd.as_deref(), Some(expected));
        let expected = "root:x:0:\napp:x:7:\nbtctl-99:x:99:btctl\nbtctl-54321:x:54321:\n";
        assert_eq!(unknown.group.as_deref(), Some(expected));
        let bare = login(&none, &none, "", Some((65534, 65534)), &[]);
        assert_eq!(bare.passwd.as_deref(), Some("btctl:x:65534:65534:btctl job:/tmp:/bin/sh\n"));
        assert_eq!(bare.group.as_deref(), Some("btctl-65534:x:65534:\n"));
        // A name that is taken, and files that can't be read.
        let taken = login(&text("btctl:x:1:1::/:\n"), &none, "", Some((2, 2)), &[]);
        assert_eq!(taken.name.as_deref(), Some("btctl-2"));
        let unreadable = login(&ImageFile::Unreadable, &ImageFile::Unreadable, "", Some((2, 2)), &[]);
        assert_eq!(
            unreadable,
            Login { name: Some("btctl".to_owned()), ids: Some((2, 2)), ..Login::default() }
        );
    }

    #[test]
    fn an_images_own_user_is_found_by_name_or_number() {
        let passwd = ImageFile::Text("root:x:0:0::/root:/bin/sh\napp:x:7:7::/app:/bin/sh\n".to_owned());
        let none = ImageFile::Absent;
        let name = |user: &str| login(&passwd, &none, user, None, &[]).name;
        assert_eq!(name("").as_deref(), Some("root"));
        assert_eq!(name("app:users").as_deref(), Some("app"));
        assert_eq!(name("7").as_deref(), Some("app"));
        assert_eq!(name("nosuch"), None);
        let ids =
            |user: &str| login(&passwd, &ImageFile::Text("users:x:100:\n".to_owned()), user, None, &[]).ids;
        let found = ["", "7", "7:9", "9", "app", "app:users", "app:5"].map(ids);
        assert_eq!(found, [(0, 0), (7, 7), (7, 9), (9, 0), (7, 7), (7, 100), (7, 5)].map(Some));
        assert_eq!((ids("nosuch"), ids("app:nosuch")), (None, None));
        let unknown = login(&passwd, &none, "1000:1000", None, &[]);
        assert!(unknown.passwd.unwrap().ends_with("btctl:x:1000:1000:btctl job:/tmp:/bin/sh\n"));
    }
}
