//! The engine from outside: what goes in, what comes out.

mod reconcile;
mod replay;
mod rig;
mod roll;
mod survivor;
