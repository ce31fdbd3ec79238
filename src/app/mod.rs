//! The supervised parts and what passes between them; nothing else spawns.

pub mod parts;
pub mod web;
