//! The test rig: a scripted model that speaks the model APIs, and real agents that talk to it. Nothing here is for users.
//!
//! ```no_run
//! use muster_rehearsal::{Agent, Home, Model, Script, Step};
//!
//! let script = Script::new([
//!     Step::write("hello.txt", "hi\n"),
//!     Step::shell("cat hello.txt"),
//!     Step::last("I wrote hello.txt."),
//! ]);
//! let model = Model::start(script).unwrap();
//! let agent = muster_rehearsal::install(Agent::Codex).unwrap();
//! let (project, home) = (tempfile::tempdir().unwrap(), Home::new().unwrap());
//! let ran = agent.run(project.path(), &home, &model, "say hello", Agent::PATIENCE).unwrap();
//! assert!(ran.success() && project.path().join("hello.txt").exists());
//! ```
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test rig: what it assumes wrongly must stop the test"
)]

mod agent;
mod api;
mod home;
mod http;
mod install;
pub mod library;
mod loop_agent;
mod model;
mod offer;
mod play;
mod run;
mod script;

pub use agent::{Agent, Installed};
pub use api::Api;
pub use home::Home;
pub use install::{Skipped, agents_dir, install, packages};
pub use loop_agent::{
    LoopAgent, curl_agent, name_only_claude, name_only_langchain, plain_agent, plain_agent_script,
};
pub use model::{Asked, Model};
pub use run::{Ran, RunError, find_program, run};
pub use script::{Script, Step};
