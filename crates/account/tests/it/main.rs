//! What the readers make of real accounts, and of what is none.

mod claude;
mod codex;
mod gemini;
mod opencode;
mod openhands;
