//! What the crate does together, and with the real `ssh-keygen`.

mod keygen;
mod register;
