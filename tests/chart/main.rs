//! The chart, rendered by the real Helm engine, and the images that it installs.

mod helm;
mod image;
mod objects;
mod pages;
mod program;
mod values;
