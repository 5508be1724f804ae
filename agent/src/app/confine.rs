//! Keeps what the process holds in the process.

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit, umask,
};

/// Turns core dumps off, keeps other processes of the same user from tracing this one and reading its memory
/// (`PR_SET_DUMPABLE`, prctl(2)), and lets nobody else into the files and sockets made from now on.
pub(crate) fn confine() -> Result<(), Errno> {
    umask(Mode::RWXG | Mode::RWXO);
    setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(0),
            maximum: Some(0),
        },
    )?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
}
