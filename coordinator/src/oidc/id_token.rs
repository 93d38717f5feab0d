//! What an ID token must be: signed by a key of the issuer, made by it, for this cluster, now, and for this sign-in.

use jiff::Timestamp;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation, decode, decode_header};
use serde_json::{Map, Value};
use subtle::ConstantTimeEq;

use super::Error;
use super::ring;

/// Seconds by which the clocks of the issuer and of this machine may differ.
const LEEWAY: u64 = 60;

pub(super) type Claims = Map<String, Value>;

/// What a token is held against.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected<'e> {
    pub(super) issuer: &'e str,
    pub(super) client_id: &'e str,
    /// What the sign-in was begun with; None where the flow has none.
    pub(super) nonce: Option<&'e str>,
}

fn refused(why: &str) -> Error {
    Error::Unproven(format!("the issuer's ID token is refused: {why}"))
}

/// How a token says that it is signed, if that is a way that is taken.
pub(super) fn header(token: &str) -> Result<Header, Error> {
    let not_taken = "it is not signed in a way that is taken (RS, PS, ES or EdDSA, with a public key)";
    let header = decode_header(token).map_err(|_| refused(not_taken))?;
    match ring::is_taken(header.alg) {
        true => Ok(header),
        false => Err(refused(not_taken)),
    }
}

/// The key that a token names; where it names none, the only one that there is for its algorithm.
pub(super) fn key<'k>(keys: &'k JwkSet, header: &Header) -> Option<&'k Jwk> {
    let fits = |key: &&Jwk| {
        let is_for_signatures =
            key.common.public_key_use.as_ref().is_none_or(|of| *of == PublicKeyUse::Signature);
        let is_of_algorithm = key
            .common
            .key_algorithm
            .is_none_or(|of| Algorithm::try_from(of).is_ok_and(|of| of == header.alg));
        let family = DecodingKey::from_jwk(key).map(|key| key.family());
        is_for_signatures && is_of_algorithm && family.is_ok_and(|family| family == header.alg.family())
    };
    let mut fitting = keys.keys.iter().filter(fits);
    match &header.kid {
        Some(kid) => fitting.find(|key| key.common.key_id.as_ref() == Some(kid)),
        None => fitting.next().filter(|_| fitting.next().is_none()),
    }
}

/// The claims of a token that is what it must be.
pub(super) fn claims(
    token: &str,
    header: &Header,
    key: &Jwk,
    expected: Expected<'_>,
) -> Result<Claims, Error> {
    ring::install();
    let key = DecodingKey::from_jwk(key).map_err(|_| refused("its key can't be read"))?;
    let mut validation = Validation::new(header.alg);
    validation.leeway = LEEWAY;
    validation.validate_nbf = true;
    validation.set_issuer(&[expected.issuer]);
    validation.set_audience(&[expected.client_id]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    let decoded = decode::<Claims>(token, &key, &validation).map_err(|error| match error.kind() {
        ErrorKind::InvalidSignature => refused("its signature is not the issuer's"),
        ErrorKind::ExpiredSignature => refused(
            "it has expired; if it was made a moment ago, the clock of this machine or of the issuer is wrong",
        ),
        ErrorKind::ImmatureSignature => refused(
            "it does not hold yet; the clock of this machine or of the issuer is wrong",
        ),
        ErrorKind::InvalidIssuer => refused("it was made by another issuer"),
        ErrorKind::InvalidAudience => refused("it was made for another client"),
        ErrorKind::MissingRequiredClaim(claim) => refused(&format!("it has no `{claim}`")),
        _ => refused("it can't be read"),
    })?;
    check(&decoded.claims, expected)?;
    Ok(decoded.claims)
}

fn check(claims: &Claims, expected: Expected<'_>) -> Result<(), Error> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let is_for_several = matches!(claims.get("aud"), Some(Value::Array(all)) if all.len() > 1);
    match claims.get("azp") {
        Some(party) if party.as_str() != Some(expected.client_id) => {
            return Err(refused("it was made for another client"));
        }
        None if is_for_several => return Err(refused("it was made for several clients")),
        _ => {}
    }
    let now = Timestamp::now().as_second();
    let made = claims.get("iat").and_then(Value::as_f64);
    #[allow(clippy::cast_precision_loss)]
    if made.is_none_or(|made| made > (now + LEEWAY.cast_signed()) as f64) {
        return Err(refused(
            "it was made in the future, or says nothing of when; the clock of this machine or of the issuer is wrong",
        ));
    }
    if text("sub").is_none_or(|sub| sub.is_empty()) {
        return Err(refused("it is about nobody"));
    }
    let Some(nonce) = expected.nonce else { return Ok(()) };
    let is_same = text("nonce").is_some_and(|own| own.as_bytes().ct_eq(nonce.as_bytes()).into());
    match is_same {
        true => Ok(()),
        false => Err(refused("it was made for another sign-in")),
    }
}

#[cfg(test)]
mod tests {
    use ::ring::rand::SystemRandom;
    use ::ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
    use serde_json::json;

    use super::*;

    const EXPECTED: Expected<'_> = Expected { issuer: "https://i", client_id: "btctl", nonce: Some("n") };

    fn token(header: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
        let now = Timestamp::now().as_second();
        let claims = json!({
            "iss": "https://i", "aud": "btctl", "sub": "ann", "iat": now, "exp": now + 60, "nonce": "n",
        });
        let part = |value: &Value| BASE64.encode(value.to_string());
        let text = format!("{}.{}", part(header), part(&claims));
        format!("{text}.{}", BASE64.encode(sign(text.as_bytes())))
    }

    fn read(token: &str, keys: &JwkSet) -> Result<Claims, Error> {
        let header = header(token)?;
        let key = key(keys, &header).ok_or_else(|| refused("there is no key"))?;
        claims(token, &header, key, EXPECTED)
    }

    #[test]
    fn keys_on_curves_are_known_and_told_apart() {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let ec = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap();
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        let ed = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
        let point = ec.public_key().as_ref();
        let keys = json!({ "keys": [
            { "kty": "EC", "crv": "P-256", "kid": "e", "use": "sig", "x": BASE64.encode(&point[1..33]), "y": BASE64.encode(&point[33..]) },
            { "kty": "OKP", "crv": "Ed25519", "kid": "d", "alg": "EdDSA", "x": BASE64.encode(ed.public_key()) },
            { "kty": "EC", "crv": "P-256", "kid": "o", "use": "enc", "x": BASE64.encode(&point[1..33]), "y": BASE64.encode(&point[33..]) },
            { "kty": "unheard-of", "kid": "x" },
        ]});
        let keys: JwkSet = serde_json::from_value(keys).unwrap();
        let by_ec = |text: &[u8]| ec.sign(&random, text).unwrap().as_ref().to_vec();
        let by_ed = |text: &[u8]| ed.sign(text).as_ref().to_vec();
        for header in [json!({ "alg": "ES256", "kid": "e" }), json!({ "alg": "ES256" })] {
            assert_eq!(read(&token(&header, by_ec), &keys).unwrap()["sub"], "ann", "{header}");
        }
        assert!(read(&token(&json!({ "alg": "EdDSA", "kid": "d" }), by_ed), &keys).is_ok());
        for (header, why) in [
            (json!({ "alg": "ES256", "kid": "d" }), "there is no key"),
            (json!({ "alg": "ES256", "kid": "o" }), "there is no key"),
            (json!({ "alg": "ES256", "kid": "x" }), "there is no key"),
            (json!({ "alg": "RS256", "kid": "e" }), "there is no key"),
            (json!({ "alg": "ES384", "kid": "e" }), "signature"),
            (json!({ "alg": "HS256", "kid": "e" }), "not signed in a way"),
            (json!({ "alg": "none" }), "not signed in a way"),
        ] {
            let told = read(&token(&header, by_ec), &keys).unwrap_err().to_string();
            assert!(told.contains(why), "{header}: {told}");
        }
        let told =
            read(&token(&json!({ "alg": "ES256", "kid": "e" }), by_ed), &keys).unwrap_err().to_string();
        assert!(told.contains("signature"), "{told}");
    }
}
