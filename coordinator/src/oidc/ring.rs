//! Signatures of ID tokens are checked by ring, as TLS' are. Nothing is signed here.

use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result};
use jsonwebtoken::signature::{self, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use ring::signature::{
    self as checked, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Err(ErrorKind::UnsupportedAlgorithm.into()),
    verifier_factory: verifier,
    key_utils: KeyUtils::new_unimplemented(),
};

/// To be called before a token is looked at.
pub(super) fn install() {
    // A second time changes nothing.
    PROVIDER.install_default().ok();
}

/// What a public key is checked by.
#[derive(Clone, Copy)]
enum By {
    Rsa(&'static RsaParameters),
    Curve(&'static dyn VerificationAlgorithm),
}

struct Checker {
    algorithm: Algorithm,
    by: By,
    key: DecodingKey,
}

/// The algorithms of public keys; none that needs a shared secret is among them.
fn by(algorithm: Algorithm) -> Option<By> {
    Some(match algorithm {
        Algorithm::RS256 => By::Rsa(&checked::RSA_PKCS1_2048_8192_SHA256),
        Algorithm::RS384 => By::Rsa(&checked::RSA_PKCS1_2048_8192_SHA384),
        Algorithm::RS512 => By::Rsa(&checked::RSA_PKCS1_2048_8192_SHA512),
        Algorithm::PS256 => By::Rsa(&checked::RSA_PSS_2048_8192_SHA256),
        Algorithm::PS384 => By::Rsa(&checked::RSA_PSS_2048_8192_SHA384),
        Algorithm::PS512 => By::Rsa(&checked::RSA_PSS_2048_8192_SHA512),
        Algorithm::ES256 => By::Curve(&checked::ECDSA_P256_SHA256_FIXED),
        Algorithm::ES384 => By::Curve(&checked::ECDSA_P384_SHA384_FIXED),
        Algorithm::EdDSA => By::Curve(&checked::ED25519),
        _ => return None,
    })
}

pub(super) fn is_taken(algorithm: Algorithm) -> bool {
    by(algorithm).is_some()
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    let by = by(*algorithm).ok_or(ErrorKind::UnsupportedAlgorithm)?;
    if key.family() != algorithm.family() {
        return Err(ErrorKind::InvalidKeyFormat.into());
    }
    Ok(Box::new(Checker { algorithm: *algorithm, by, key: key.clone() }))
}

impl Verifier<Vec<u8>> for Checker {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), signature::Error> {
        let holds = match (self.by, self.key.kind()) {
            (By::Rsa(parameters), DecodingKeyKind::RsaModulusExponent { n, e }) => {
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signature)
            }
            (By::Curve(algorithm), DecodingKeyKind::SecretOrDer(key)) => {
                UnparsedPublicKey::new(algorithm, key).verify(message, signature)
            }
            (By::Rsa(_) | By::Curve(_), _) => Err(ring::error::Unspecified),
        };
        holds.map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for Checker {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}
