//! The SAL layer on the in-memory bus, in virtual time.

mod states;
