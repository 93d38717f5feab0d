//! Who somebody is here, by what the issuer says of them: the claim that names a person, and rules that give roles.

use std::str::FromStr;

use bt_model::excerpt::excerpt;
use bt_model::role::Role;
use serde_json::{Map, Value};

use super::Error;
use crate::access::check_person;
use crate::config::people_role;

/// Letters of a claim's value that are shown.
const SHOWN: usize = 60;

/// Those who have a claim have a role: `CLAIM=VALUE:ROLE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleRule {
    claim: String,
    value: String,
    role: Role,
}

impl FromStr for RoleRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('=').and_then(|(claim, rest)| {
            let (value, role) = rest.rsplit_once(':')?;
            Some((claim.trim(), value.trim(), role.trim()))
        });
        match parts {
            Some((claim, value, role)) if !claim.is_empty() && !value.is_empty() => {
                Ok(Self { claim: claim.to_owned(), value: value.to_owned(), role: people_role(role)? })
            }
            _ => Err(format!("{text:?} is not CLAIM=VALUE:ROLE, such as groups=quants:submitter")),
        }
    }
}

/// Who signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Person {
    pub(crate) name: String,
    pub(crate) role: Role,
}

/// How the issuer's claims are read.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) user_claim: Option<String>,
    pub(super) roles: Vec<RoleRule>,
    pub(super) default_role: Option<Role>,
}

impl Rules {
    /// Whether claims are missing that the rules look at.
    pub(super) fn lacks(&self, claims: &Map<String, Value>) -> bool {
        let user = self.user_claim.as_deref().unwrap_or("email");
        claim(claims, user).is_none() || self.roles.iter().any(|rule| claim(claims, &rule.claim).is_none())
    }

    pub(super) fn person(&self, claims: &Map<String, Value>) -> Result<Person, Error> {
        let name = self.name(claims)?;
        check_person(&name)
            .map_err(|why| Error::Denied(format!("who signed in has no name for here: {why}")))?;
        let has =
            |rule: &&RoleRule| claim(claims, &rule.claim).is_some_and(|found| holds(found, &rule.value));
        let given = self.roles.iter().filter(has).map(|rule| rule.role).max_by_key(|role| rank(*role));
        match given.or(self.default_role) {
            Some(role) => Ok(Person { name, role }),
            None => {
                crate::access::call::signs_in(&name, None);
                let mut looked: Vec<_> = self.roles.iter().map(|rule| rule.claim.as_str()).collect();
                looked.dedup();
                Err(Error::Denied(format!(
                    "{name} is known to the issuer, and has no role here: nothing in {} gives one; an administrator gives \
                     roles by groups of the issuer",
                    looked.join(", ")
                )))
            }
        }
    }

    fn name(&self, claims: &Map<String, Value>) -> Result<String, Error> {
        let text = |name: &str| claim(claims, name).and_then(Value::as_str).map(str::to_owned);
        let missing = |name: &str| {
            Error::Denied(format!(
                "the issuer says nothing of `{name}`, which names people here; an administrator sets --oidc-user-claim, or \
                 --oidc-scopes so that the issuer gives it"
            ))
        };
        let name = match &self.user_claim {
            Some(named) => named.as_str(),
            None if claim(claims, "email").is_some() => "email",
            None => "sub",
        };
        let found = text(name).ok_or_else(|| missing(name))?;
        if name == "email" && !is_verified(claims) {
            let shown = excerpt(&found, SHOWN);
            return Err(Error::Denied(format!(
                "the issuer does not say that {shown} is verified (email_verified), so that anybody may have entered it; \
                 verify it there, or let an administrator choose another claim by --oidc-user-claim"
            )));
        }
        Ok(found)
    }
}

fn is_verified(claims: &Map<String, Value>) -> bool {
    match claims.get("email_verified") {
        Some(Value::Bool(is)) => *is,
        // Some issuers write it so.
        Some(Value::String(text)) => text == "true",
        _ => false,
    }
}

/// A claim by its name; `realm_access.roles` is also one within another.
fn claim<'c>(claims: &'c Map<String, Value>, name: &str) -> Option<&'c Value> {
    claims.get(name).or_else(|| {
        let (outer, inner) = name.split_once('.')?;
        claim(claims.get(outer)?.as_object()?, inner)
    })
}

/// Whether a claim is this value, or a list that has it.
fn holds(found: &Value, value: &str) -> bool {
    match found {
        Value::String(text) => text == value,
        Value::Bool(is) => value == if *is { "true" } else { "false" },
        Value::Array(all) => all.iter().any(|one| one.as_str() == Some(value)),
        _ => false,
    }
}

fn rank(role: Role) -> usize {
    Role::ALL.iter().position(|known| *known == role).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rules(roles: &[&str]) -> Rules {
        let roles = roles.iter().map(|rule| rule.parse().unwrap()).collect();
        Rules { user_claim: None, roles, default_role: None }
    }

    fn claims(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn the_highest_role_that_a_claim_gives_counts() {
        let rules = rules(&[
            "groups=ops:operator",
            "groups=quants:submitter",
            "realm_access.roles=urn:all:viewer",
            "boss=true:admin",
        ]);
        let role = |more: Value| {
            let mut all = claims(json!({"sub": "1", "email": "ann@firm.example", "email_verified": true}));
            all.extend(claims(more));
            rules.person(&all).map(|person| person.role)
        };
        assert_eq!(role(json!({"groups": ["quants", "x"]})), Ok(Role::Submitter));
        assert_eq!(role(json!({"groups": ["quants", "ops"]})), Ok(Role::Operator));
        assert_eq!(role(json!({"groups": "quants"})), Ok(Role::Submitter));
        assert_eq!(role(json!({"realm_access": {"roles": ["urn:all"]}})), Ok(Role::Viewer));
        assert_eq!(role(json!({"boss": true, "groups": ["ops"]})), Ok(Role::Admin));
        for none in
            [json!({}), json!({"groups": ["quant"]}), json!({"groups": {"quants": 1}}), json!({"boss": "x"})]
        {
            let refused = role(none).unwrap_err().to_string();
            assert!(refused.contains("ann@firm.example") && refused.contains("no role"), "{refused}");
        }
    }

    #[test]
    fn a_person_is_named_by_a_claim_that_the_issuer_vouches_for() {
        let any = Rules { default_role: Some(Role::Viewer), ..rules(&[]) };
        let name = |rules: &Rules, value: Value| {
            rules.person(&claims(value)).map(|person| person.name).map_err(|error| error.to_string())
        };
        let told = |rules: &Rules, value: Value, part: &str| {
            let refused = name(rules, value).unwrap_err();
            assert!(refused.contains(part), "{refused}");
        };
        assert_eq!(name(&any, json!({"sub": "7", "email": "a@b", "email_verified": true})).unwrap(), "a@b");
        assert_eq!(name(&any, json!({"sub": "7"})).unwrap(), "7");
        told(&any, json!({"sub": "7", "email": "a@b"}), "email_verified");
        told(&any, json!({"sub": "7", "email": "a@b", "email_verified": false}), "email_verified");
        told(&any, json!({"sub": "7", "email": 7, "email_verified": true}), "says nothing of `email`");
        told(&any, json!({"sub": "root"}), "root");
        told(&any, json!({"sub": "a,b"}), "no commas");
        told(&any, json!({"sub": "x".repeat(101)}), "100 letters");
        let named = Rules { user_claim: Some("preferred_username".to_owned()), ..any };
        assert_eq!(name(&named, json!({"sub": "7", "preferred_username": "ann"})).unwrap(), "ann");
        told(&named, json!({"sub": "7", "email": "a@b", "email_verified": true}), "`preferred_username`");
        assert!(
            named.lacks(&claims(json!({"sub": "7"})))
                && !named.lacks(&claims(json!({"preferred_username": ""})))
        );
    }

    #[test]
    fn a_rule_is_a_claim_a_value_and_a_role() {
        for wrong in
            ["groups", "groups=quants", "=a:viewer", "groups=:viewer", "groups=a:boss", "groups=a:agent"]
        {
            assert!(wrong.parse::<RoleRule>().is_err(), "{wrong}");
        }
        let rule: RoleRule = "groups=CN=quants,OU=a:submitter".parse().unwrap();
        assert_eq!((rule.claim.as_str(), rule.value.as_str()), ("groups", "CN=quants,OU=a"));
    }
}
