//! The chart, rendered by the real Helm engine; the images that it installs; and the pages that tell of both.

mod annotations;
mod certificate;
mod check;
mod e2e;
mod helm;
mod image;
mod manifests;
mod matrix;
mod monitoring;
mod objects;
mod pages;
mod program;
mod rights;
mod values;
mod watch;
