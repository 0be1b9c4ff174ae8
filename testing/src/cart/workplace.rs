//! Temporary folders, and turns: a test that measures time has the machine to itself.

use std::path::Path;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tempfile::TempDir;

/// Tests that measure time have the machine to themselves.
static MACHINE: RwLock<()> = RwLock::new(());

enum Turn {
    Alone(#[expect(dead_code)] RwLockWriteGuard<'static, ()>),
    Shared(#[expect(dead_code)] RwLockReadGuard<'static, ()>),
}

/// A folder of its own for a test, and the test's turn: every test of a test program in which some measure time begins
/// with one, and has no second one meanwhile.
pub struct Workplace {
    _turn: Turn,
    folder: TempDir,
}

impl Workplace {
    /// With the machine to itself, for as long as it lives.
    pub fn alone() -> Workplace {
        Workplace::with(Turn::Alone(MACHINE.write().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Beside other tests that do not measure time.
    pub fn shared() -> Workplace {
        Workplace::with(Turn::Shared(MACHINE.read().unwrap_or_else(PoisonError::into_inner)))
    }

    fn with(turn: Turn) -> Workplace {
        Workplace { _turn: turn, folder: tempfile::tempdir().unwrap() }
    }

    /// The folder, which is removed at the end.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}
