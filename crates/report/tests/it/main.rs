//! What people see, from outside.

mod hostile;
