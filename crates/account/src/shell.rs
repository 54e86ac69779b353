//! TODO

/// The command that a product wrapped before it gave it to the shell.
pub fn unwrap(_command: &str) -> Option<String> {
    None
}
