//! What injection adds to a pod.

pub(crate) mod patch;
