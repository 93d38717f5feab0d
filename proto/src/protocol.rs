//! Which version of the agents' protocol two peers speak. A release speaks its own version and the one before, so that
//! coordinators and agents can be updated one after the other.

use std::fmt;

use crate::v1;

/// What this release speaks. With a new version, `oldest` becomes the version that was the newest before.
pub const OURS: v1::Protocols = v1::Protocols { oldest: 1, newest: 2 };

/// The first version whose agents run several jobs in one container (`batch`).
pub const BATCHES: u32 = 2;

/// The first version whose agents cut the data of jobs before a day (`holdout`).
pub const HOLDOUTS: u32 = 2;

/// The first version whose agents give an attempt the memory that its assignment names.
pub const GROWN: u32 = 2;

/// The first version whose agents give jobs cpus of their own (`cpus: { pin: true }`).
pub const PINS: u32 = 2;

/// The first version whose agents lay local directories over an image (`dev_mount`).
pub const DEV_MOUNTS: u32 = 2;

/// The first version that has all that is asked for; 0: any has it.
pub fn first_with(asked: impl IntoIterator<Item = (bool, u32)>) -> u32 {
    asked.into_iter().filter_map(|(is_asked, first)| is_asked.then_some(first)).max().unwrap_or(0)
}

/// What a peer speaks that says nothing of it.
const UNSAID: v1::Protocols = v1::Protocols { oldest: 1, newest: 1 };

/// Two peers with no version in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoneInCommon {
    ours: v1::Protocols,
    theirs: v1::Protocols,
}

/// The newest version that both speak.
pub fn agree(theirs: Option<v1::Protocols>) -> Result<u32, NoneInCommon> {
    common(OURS, theirs.unwrap_or(UNSAID))
}

fn common(ours: v1::Protocols, theirs: v1::Protocols) -> Result<u32, NoneInCommon> {
    let newest = ours.newest.min(theirs.newest);
    match newest >= ours.oldest.max(theirs.oldest) {
        true => Ok(newest),
        false => Err(NoneInCommon { ours, theirs }),
    }
}

impl fmt::Display for NoneInCommon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ours, theirs } = self;
        let older = if ours.newest < theirs.newest { "this side" } else { "the other side" };
        write!(
            f,
            "coordinator and agent have no version of the protocol in common: this side speaks {} to {}, the other side \
             {} to {}; update {older}",
            ours.oldest, ours.newest, theirs.oldest, theirs.newest
        )
    }
}

impl std::error::Error for NoneInCommon {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_speak_the_older_version_and_others_do_not_speak() {
        let peers = |oldest, newest| v1::Protocols { oldest, newest };
        assert_eq!(agree(None), Ok(1));
        assert_eq!(agree(Some(OURS)), Ok(OURS.newest));
        assert_eq!(common(peers(1, 2), peers(2, 3)), Ok(2));
        assert_eq!(common(peers(2, 3), peers(1, 2)), Ok(2));
        let error = common(peers(1, 2), peers(3, 4)).unwrap_err().to_string();
        assert!(error.contains("speaks 1 to 2") && error.ends_with("update this side"), "{error}");
        let error = common(peers(3, 4), peers(1, 2)).unwrap_err().to_string();
        assert!(error.ends_with("update the other side"), "{error}");
    }
}
