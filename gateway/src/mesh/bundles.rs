// SPDX-License-Identifier: Apache-2.0
//! The authorities that files hold. Never judges whether they should be believed.

use std::path::PathBuf;

use torana_ir::TrustError;

use super::roots::Roots;
use crate::dial::{self, Failure};

/// All that these files hold, in PEM; `unusable` says that of one of them.
pub(super) async fn roots_of<E: From<Failure>>(
    files: &[PathBuf],
    unusable: impl Fn(String, TrustError) -> E,
) -> Result<Roots, E> {
    let mut all = Roots::default();
    for file in files {
        let read = Roots::from_pem(&dial::contents(file).await?);
        all = all.union(&read.map_err(|why| unusable(file.display().to_string(), why))?);
    }
    Ok(all)
}
