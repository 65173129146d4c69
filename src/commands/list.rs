//! Lists the handlers.

use super::Done;
use crate::outcome::Outcome;
use crate::userns::Namespaces;

pub(super) fn list() -> Done {
    let binfmt = Namespaces::look()?.binfmt_for_reading(None)?;
    let (entries, enabled) = (binfmt.entries()?, binfmt.is_enabled()?);
    Ok(Outcome::Listing { entries, enabled })
}
