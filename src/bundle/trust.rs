//! Whether a bundle may run on this cart: who signed it, what it was made for, and that it is no step back.

use std::path::Path;

use anyhow::Result;

use super::manifest::Manifest;
use super::signature::{Keys, Signer};
use crate::fault::{Exit, Fault};

/// What a cart asks of a bundle.
#[derive(Clone, Debug)]
pub struct Trust {
    /// One of them must have signed its manifest.
    pub keys: Keys,
    /// What it must have been made for.
    pub compatible: String,
    /// The lowest rollback index that it may have.
    pub lowest_rollback_index: u64,
}

impl Trust {
    /// Who signed the manifest in `directory`, whose bytes these are.
    ///
    /// # Errors
    /// 76 if nobody did who is trusted.
    pub(super) fn signer(
        &self,
        directory: &Path,
        manifest: &[u8],
        signature: Option<&[u8]>,
    ) -> Result<Signer> {
        let Some(signature) = signature else {
            return Err(refused(directory, "it is not signed; sign it with polyp-edge bundle sign"));
        };
        self.keys.verify(manifest, signature).map_err(|error| refused(directory, &error.to_string()))
    }

    /// That a manifest, whose signer is trusted, is for this cart.
    ///
    /// # Errors
    /// 76 if it is for another one, or a step back.
    pub(super) fn check(&self, directory: &Path, manifest: &Manifest) -> Result<()> {
        if manifest.compatible != self.compatible {
            return Err(refused(
                directory,
                &format!(
                    "it is made for {:?}, and this cart takes what is made for {:?}",
                    manifest.compatible, self.compatible
                ),
            ));
        }
        if manifest.rollback_index < self.lowest_rollback_index {
            return Err(refused(
                directory,
                &format!(
                    "its rollback index is {}, lower than {}: it is older than what this cart may run",
                    manifest.rollback_index, self.lowest_rollback_index
                ),
            ));
        }
        Ok(())
    }
}

fn refused(directory: &Path, why: &str) -> anyhow::Error {
    Fault::new(Exit::Signature, format!("{}: the bundle is refused: {why}", directory.display()))
}
