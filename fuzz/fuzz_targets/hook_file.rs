//! `hook_file` of crates/cli/src/fuzzing.rs: a program cannot be depended on, so its files are modules here.

#![no_main]

#[allow(dead_code, reason = "the program uses the rest")]
#[path = "../../crates/cli/src/configuration.rs"]
mod configuration;
#[allow(dead_code, reason = "other targets use the rest")]
#[path = "../../crates/cli/src/fuzzing.rs"]
mod fuzzing;
#[allow(dead_code, reason = "the program uses the rest")]
#[path = "../../crates/cli/src/identify.rs"]
mod identify;
#[allow(dead_code, reason = "the program uses the rest")]
#[path = "."]
mod gate {
    #[path = "../../crates/cli/src/gate/line.rs"]
    pub mod line;
    #[path = "../../crates/cli/src/gate/words.rs"]
    pub mod words;
}
#[allow(dead_code, reason = "the program uses the rest")]
#[path = "."]
mod hooks {
    #[path = "../../crates/cli/src/hooks/edit.rs"]
    pub mod edit;
    #[path = "../../crates/cli/src/hooks/event.rs"]
    pub mod event;
    #[path = "../../crates/cli/src/hooks/state.rs"]
    pub mod state;
}
#[allow(dead_code, reason = "the program uses the rest")]
#[path = "."]
mod mcp {
    #[path = "../../crates/cli/src/mcp/message.rs"]
    pub mod message;
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::hook_file(bytes));
