//! The folder of installed bundles: their slots and the record of them.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Result;

use super::disk::{Disk, Folder, Lock};
use super::slots::{self, Slot, Slots};
use crate::bundle::{Bundle, Trust};
use crate::fault::{Exit, Fault};
use crate::runtime;

/// The record's file.
pub(super) const RECORD: &str = "slots.json";
/// What is being installed, and the record that is being written.
pub(super) const INCOMING: &str = "incoming.part";
const RECORD_PART: &str = "slots.json.part";
/// How long a change of the record waits for another program's.
const PATIENCE: Duration = Duration::from_secs(5);
/// The largest record, bytes.
const LARGEST_RECORD: u64 = 1 << 20;

/// A folder of slots.
#[derive(Clone, Debug)]
pub struct Store<D = Folder> {
    pub(super) disk: D,
    pub(super) folder: PathBuf,
}

impl Store {
    /// The store in a folder, which need not exist yet.
    pub fn at(folder: &Path) -> Store {
        Store { disk: Folder::new(folder), folder: folder.to_owned() }
    }
}

/// An installation under way: nobody else installs meanwhile.
#[derive(Debug)]
pub struct Installing<'a, D: Disk> {
    store: &'a Store<D>,
    _lock: Lock,
}

impl<D: Disk> Store<D> {
    /// The record; `None` if nothing was ever installed.
    ///
    /// # Errors
    /// 65 if it is damaged, 74 if it cannot be read.
    pub fn slots(&self) -> Result<Option<Slots>> {
        let path = self.folder.join(RECORD);
        let bytes = self
            .disk
            .read(RECORD, LARGEST_RECORD)
            .map_err(|error| Fault::io(format!("cannot read {}: {error}", path.display())))?;
        bytes.map(|bytes| Slots::parse(&path, &bytes)).transpose()
    }

    /// Where a slot's file lies.
    pub fn path(&self, slot: &Slot) -> PathBuf {
        self.folder.join(&slot.file)
    }

    /// Opens the bundle in a slot.
    ///
    /// # Errors
    /// As [`Bundle::open_trusted`]; 65 if another bundle lies there than the one that was installed.
    pub fn open(&self, slot: &Slot, trust: &Trust) -> Result<Bundle> {
        let path = self.path(slot);
        let bundle = Bundle::open_trusted(&path, trust)?;
        if bundle.digest != slot.digest {
            return Err(Fault::data(format!("{}: it is not the bundle that was installed", path.display())));
        }
        Ok(bundle)
    }

    /// Begins an installation, and removes what an interrupted one left behind.
    ///
    /// # Errors
    /// 74 if the folder cannot be made or written to, or if somebody else installs.
    pub fn begin(&self) -> Result<Installing<'_, D>> {
        let lock = self.locked("install.lock", Duration::ZERO, || {
            format!("{}: another installation is under way; wait until it has ended", self.folder.display())
        })?;
        self.disk.remove(INCOMING).map_err(|error| self.cannot_write(&error))?;
        Ok(Installing { store: self, _lock: lock })
    }

    /// Changes the record. Nothing is written if `change` changes nothing.
    ///
    /// # Errors
    /// What `change` says; 65 or 74 as [`Self::slots`]; 74 if it cannot be written.
    pub fn change<T>(&self, change: impl FnOnce(&mut Slots) -> Result<T>) -> Result<T> {
        let _lock = self.locked("slots.lock", PATIENCE, || {
            format!("{}: another program keeps the record locked", self.folder.display())
        })?;
        let before = self.slots()?.unwrap_or_default();
        let mut slots = before.clone();
        let outcome = change(&mut slots)?;
        if slots != before {
            self.put(&slots)?;
        }
        Ok(outcome)
    }

    fn put(&self, slots: &Slots) -> Result<()> {
        let text = slots.text()?;
        let write = || -> Result<()> {
            self.disk.remove(RECORD_PART)?;
            self.disk
                .create(RECORD_PART, &mut |file| Ok(std::io::Write::write_all(file, text.as_bytes())?))?;
            self.disk.rename(RECORD_PART, RECORD)?;
            self.disk.sync()?;
            Ok(())
        };
        write().map_err(|error| {
            Fault::io(format!("cannot write {}: {error:#}", self.folder.join(RECORD).display()))
        })
    }

    /// Goes back by hand: from the bundle on trial to the good one, or from the good one to the one before. The one that is to run.
    ///
    /// # Errors
    /// 1 if there is none to go back to, 76 if it is too old; what `check` says of the one to go back to, which then is not gone
    /// back to; as [`Self::change`].
    pub fn roll_back(&self, check: impl FnOnce(&Slot) -> Result<()>) -> Result<Slot> {
        if self.slots()?.is_none() {
            return Err(Fault::new(Exit::Assertion, "no bundle is installed"));
        }
        self.change(|slots| {
            let slot = slots.roll_back(unix_s())?;
            check(&slot)?;
            Ok(slot)
        })
    }

    /// Ends the trial by hand; the bundle that was on trial and is good now.
    ///
    /// # Errors
    /// What `check` says of the bundle on trial, which then stays on trial; as [`Self::change`].
    pub fn mark_good(&self, check: impl FnOnce(&Slot) -> Result<()>) -> Result<Option<Slot>> {
        if self.slots()?.is_none() {
            return Ok(None);
        }
        self.change(|slots| {
            let Some(digest) = slots.trial.as_ref().map(|trial| trial.slot.digest.clone()) else {
                return Ok(None);
            };
            let Some(slot) = slots.accept(&digest) else { return Ok(None) };
            check(&slot)?;
            Ok(Some(slot))
        })
    }

    /// Removes the files of slots that the record does not name; their names.
    ///
    /// # Errors
    /// As [`Self::begin`] and [`Self::change`].
    pub fn prune(&self) -> Result<Vec<String>> {
        let _installing = self.begin()?;
        self.change(|slots| self.remove_unnamed(slots))
    }

    fn remove_unnamed(&self, slots: &Slots) -> Result<Vec<String>> {
        let failed = |error: std::io::Error| self.cannot_write(&error);
        let mut removed = Vec::new();
        for name in self.disk.list().map_err(failed)? {
            if slots::is_slot(&name) && !slots.names(&name) {
                self.disk.remove(&name).map_err(failed)?;
                removed.push(name);
            }
        }
        if !removed.is_empty() {
            self.disk.sync().map_err(failed)?;
        }
        Ok(removed)
    }

    fn locked(&self, name: &str, patience: Duration, held: impl Fn() -> String) -> Result<Lock> {
        let until = runtime::now() + patience;
        loop {
            match self.disk.lock(name) {
                Ok(Some(lock)) => return Ok(lock),
                Ok(None) if runtime::now() >= until => return Err(Fault::io(held())),
                Ok(None) => runtime::thread::sleep(Duration::from_millis(10)),
                Err(error) => return Err(self.cannot_write(&error)),
            }
        }
    }

    fn cannot_write(&self, error: &std::io::Error) -> anyhow::Error {
        Fault::io(format!(
            "cannot write to the folder of installed bundles {}: {error}",
            self.folder.display()
        ))
    }
}

impl<D: Disk> Installing<'_, D> {
    /// Writes a packed bundle where it is not yet used, and gives its path.
    ///
    /// # Errors
    /// What `write` says; 74 if it cannot be written.
    pub fn write(&self, mut write: impl FnMut(&mut File) -> Result<()>) -> Result<PathBuf> {
        let store = self.store;
        let path = store.folder.join(INCOMING);
        store.disk.create(INCOMING, &mut write).map_err(|error| {
            // What cannot be removed is removed by the next installation.
            let _ = store.disk.remove(INCOMING);
            if error.is::<Fault>() {
                return error;
            }
            Fault::io(format!("cannot write {}: {error:#}", path.display()))
        })?;
        Ok(path)
    }

    /// Puts what was written into a slot of its own, on trial, and removes slots that are no longer named. `bundle` is what was
    /// written, opened and tested.
    ///
    /// # Errors
    /// 76 if it has become a step back since it was verified; 74 if it cannot be written. The record is then as it was.
    pub fn keep(self, bundle: &Bundle) -> Result<Slot> {
        let store = self.store;
        let identity = bundle.identity();
        store.change(|slots| {
            if identity.rollback_index < slots.lowest_rollback_index {
                return Err(Fault::new(
                    Exit::Signature,
                    format!(
                        "its rollback index is {}, lower than {}, which has been good on this cart meanwhile",
                        identity.rollback_index, slots.lowest_rollback_index
                    ),
                ));
            }
            let slot = slots.install(&identity, unix_s());
            let failed = |error: std::io::Error| store.cannot_write(&error);
            store.disk.rename(INCOMING, &slot.file).map_err(failed)?;
            store.disk.sync().map_err(failed)?;
            Ok(slot)
        })
        .inspect(|_| {
            let pruned = store.change(|slots| store.remove_unnamed(slots));
            if let Err(error) = pruned {
                log::warn!("bundles that are no longer used stay on the disk: {error:#}");
            }
        })
    }

    /// Removes what was written.
    ///
    /// # Errors
    /// 74 if it cannot be removed.
    pub fn abandon(self) -> Result<()> {
        self.store.disk.remove(INCOMING).map_err(|error| self.store.cannot_write(&error))
    }
}

/// Seconds since 1970.
pub(super) fn unix_s() -> u64 {
    runtime::wall_clock().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}
