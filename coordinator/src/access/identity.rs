//! Who makes a call.

use bt_model::id::AgentId;
use bt_model::role::Role;
use jiff::Timestamp;

use super::rights::Right;
use super::secret::ROOT;
use crate::queue::Sphere;

/// Letters of a name.
const LONGEST_NAME: usize = 100;

/// Who makes a call, as the coordinator knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Empty where nobody is asked.
    pub(crate) name: String,
    pub(crate) role: Role,
    /// In whose name it may submit; the first is meant if none is named. Empty: in any, its own if none is named.
    pub(crate) owners: Vec<String>,
    /// The token's id.
    pub(crate) token: Option<String>,
    /// The issuer that somebody signed in with for the token.
    pub(crate) issuer: Option<String>,
    /// The agent whose own certificate was shown.
    pub(crate) agent: Option<AgentId>,
    pub(crate) expires: Option<Timestamp>,
    /// False where the coordinator asks nobody who they are.
    pub(crate) is_known: bool,
    /// It showed nothing itself: the kernel says who it is, or a proxy.
    pub(crate) is_vouched: bool,
}

impl Identity {
    /// Whoever calls a coordinator that asks nobody: it may do everything, and its word is taken for whose sweeps it makes.
    pub(crate) fn anybody() -> Self {
        Self {
            name: String::new(),
            role: Role::Admin,
            owners: Vec::new(),
            token: None,
            issuer: None,
            agent: None,
            expires: None,
            is_known: false,
            is_vouched: false,
        }
    }

    pub(crate) fn may(&self, right: Right) -> bool {
        !self.is_known || right.is_of(self.role)
    }

    /// Whose sweeps it may change.
    pub(crate) fn sphere(&self) -> Sphere<'_> {
        match self.role {
            _ if !self.is_known => Sphere::Everybodys,
            Role::Operator | Role::Admin => Sphere::Everybodys,
            Role::Viewer | Role::Submitter | Role::Agent => Sphere::Of(&self.owners),
        }
    }

    /// Whose sweep a submit makes. The error says whose it may be.
    pub(crate) fn owner(&self, asked: &str, otherwise: &str) -> Result<String, String> {
        if !self.is_known {
            return Ok(if asked.is_empty() { otherwise } else { asked }.to_owned());
        }
        let own = self.owners.iter().find(|owner| **owner == self.name).or(self.owners.first());
        match asked {
            "" => Ok(own.unwrap_or(&self.name).clone()),
            asked if self.owners.is_empty() || self.owners.iter().any(|owner| owner == asked) => {
                Ok(asked.to_owned())
            }
            asked => Err(format!(
                "{} may not submit as {asked:?}; its token is for {}",
                self.name,
                self.owners.join(", ")
            )),
        }
    }
}

/// Refuses what can't be the name of a caller or an owner.
pub(crate) fn check_name(what: &str, name: &str) -> Result<(), String> {
    let fits = !name.trim().is_empty()
        && name.trim() == name
        && name.chars().count() <= LONGEST_NAME
        && !name.chars().any(|c| c.is_control() || c == ',');
    match fits {
        true => Ok(()),
        false => Err(format!(
            "{what} has 1 to {LONGEST_NAME} letters, no commas or control characters, and no space at its ends"
        )),
    }
}

/// Refuses what can't be the name of a person whom others vouch for.
pub(crate) fn check_person(name: &str) -> Result<(), String> {
    check_name("a person's name", name)?;
    match name == ROOT {
        true => Err("`root` is who holds the administrator's token of the coordinator's file".to_owned()),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ann(role: Role) -> Identity {
        let owners = ["desk", "ann"].map(str::to_owned).into();
        Identity { name: "ann".to_owned(), role, owners, is_known: true, ..Identity::anybody() }
    }

    #[test]
    fn an_owner_is_one_of_the_tokens() {
        let ann = ann(Role::Submitter);
        assert_eq!(ann.owner("", "x").unwrap(), "ann");
        assert_eq!(ann.owner("desk", "x").unwrap(), "desk");
        let refused = ann.owner("bob", "x").unwrap_err();
        assert!(refused.contains("\"bob\"") && refused.contains("desk, ann"), "{refused}");
        assert_eq!(Identity { owners: vec!["desk".into()], ..ann }.owner("", "x").unwrap(), "desk");
        let local = Identity { name: "ann".to_owned(), is_known: true, ..Identity::anybody() };
        assert_eq!(
            (local.owner("", "x").unwrap(), local.owner("bob", "x").unwrap()),
            ("ann".into(), "bob".into())
        );
        assert_eq!(Identity::anybody().owner("bob", "x").unwrap(), "bob");
        assert_eq!(Identity::anybody().owner("", "x").unwrap(), "x");
    }

    #[test]
    fn only_operators_change_everybodys_sweeps() {
        for role in Role::ALL {
            let all = matches!(ann(role).sphere(), Sphere::Everybodys);
            assert_eq!(all, matches!(role, Role::Operator | Role::Admin), "{role}");
        }
    }
}
