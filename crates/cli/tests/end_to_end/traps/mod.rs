//! What bites others on copy-on-write folders.

mod contents;
mod layers;
mod links;
mod outside;
mod rename;
mod shapes;
