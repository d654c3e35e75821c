//! Plugin files for `crate::fuzzing`.

use super::component::inspect;
use super::componentize::componentize;

/// Whatever is in the file, looking at it ends with an answer; what is taken becomes a valid component or is refused.
pub fn component(bytes: &[u8]) {
    match inspect(bytes) {
        Err(problem) => assert!(!problem.to_string().is_empty()),
        Ok(inspected) => {
            let component = componentize(bytes.to_vec(), inspected.world, inspected.form);
            assert!(component.is_err() || inspect(&component.unwrap_or_default()).is_ok(), "a component is sound");
        }
    }
}
