//! What a language model is shown of a run, how it is asked, and what of its answer is taken. Text in, text out: who asks,
//! and whether, is the command line's.
//!
//! The text that the model reads was in part written by the agent, which may try to steer it. So nothing rests on the model
//! withstanding that: whatever it answers, all that can come of it is an opinion that cites what exists (`answer.rs`), in
//! words of which none means "all is well".

mod answer;
mod prompt;
mod skeleton;

pub use answer::{Answer, answer};
pub use prompt::{Form, NONCE_LEN, Prompt, prompt, request};
pub use skeleton::{Facts, Line, Said, Skeleton, skeleton};
