//! The store's folder wherever a change of it is interrupted, by the loss of power or by the end of the process.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::rc::Rc;

use testing::bundle as made;
use testing::cart::put_base;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;

use super::disk::{Disk, Folder, Lock};
use super::installed::{INCOMING, RECORD};
use super::session::first_that_opens;
use super::*;
use crate::board::Board;
use crate::bundle::Bundle;
use crate::fault::{Exit, Fault, exit_of};

/// A file's content when it was written.
type Inode = Rc<Vec<u8>>;

/// What happened to the folder.
#[derive(Clone, Debug)]
enum Step {
    /// Names that lead to something else from now on: all at once, or none of them.
    Names(Vec<(String, Option<Inode>)>),
    /// Being written, under this name: a loss of power leaves any part of it.
    Writing(String, Inode),
    /// All names before are on the disk.
    Synced,
}

/// A folder whose every change is remembered.
#[derive(Clone, Debug)]
struct Watched {
    folder: Folder,
    path: PathBuf,
    steps: Rc<RefCell<Vec<Step>>>,
}

impl Watched {
    fn new(path: &Path) -> Watched {
        Watched { folder: Folder::new(path), path: path.to_owned(), steps: Rc::default() }
    }

    fn content(&self, name: &str) -> Option<Inode> {
        fs::read(self.path.join(name)).ok().map(Rc::new)
    }

    fn push(&self, step: Step) {
        self.steps.borrow_mut().push(step);
    }
}

impl Disk for Watched {
    fn read(&self, name: &str, largest: u64) -> std::io::Result<Option<Vec<u8>>> {
        self.folder.read(name, largest)
    }

    fn list(&self) -> std::io::Result<Vec<String>> {
        self.folder.list()
    }

    fn create(&self, name: &str, write: &mut dyn FnMut(&mut File) -> Result<()>) -> Result<()> {
        self.folder.create(name, write)?;
        let content = self.content(name).unwrap();
        self.push(Step::Writing(name.into(), content.clone()));
        self.push(Step::Names(vec![(name.into(), Some(content))]));
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> std::io::Result<()> {
        let content = self.content(from);
        self.folder.rename(from, to)?;
        self.push(Step::Names(vec![(to.into(), content), (from.into(), None)]));
        Ok(())
    }

    fn remove(&self, name: &str) -> std::io::Result<()> {
        let was_there = self.content(name).is_some();
        self.folder.remove(name)?;
        if was_there {
            self.push(Step::Names(vec![(name.into(), None)]));
        }
        Ok(())
    }

    fn sync(&self) -> std::io::Result<()> {
        self.folder.sync()?;
        self.push(Step::Synced);
        Ok(())
    }

    fn lock(&self, name: &str) -> std::io::Result<Option<Lock>> {
        self.folder.lock(name)
    }
}

/// Names and what they lead to.
type Names = BTreeMap<String, Inode>;

/// Every content of the folder that a loss of power can leave: after any step, with any of the changes of names that were not
/// synced yet, and with a file that was being written empty, half or whole.
fn left_by_power_loss(before: &Names, steps: &[Step]) -> Vec<Names> {
    let (mut left, mut on_disk, mut pending) = (vec![before.clone()], before.clone(), Vec::new());
    for step in steps {
        let partial = match step {
            Step::Writing(name, content) => {
                let parts = [0, content.len() / 2, content.len()];
                parts.map(|length| (name.clone(), Rc::new(content[..length].to_vec()))).to_vec()
            }
            Step::Names(names) => {
                pending.push(names.clone());
                Vec::new()
            }
            Step::Synced => {
                pending.drain(..).for_each(|names| apply(&mut on_disk, &names));
                Vec::new()
            }
        };
        assert!(pending.len() < 8, "too many changes without a sync");
        for chosen in 0..1_u32 << pending.len() {
            let mut names = on_disk.clone();
            let these = pending.iter().enumerate().filter(|(index, _)| chosen >> index & 1 == 1);
            these.for_each(|(_, change)| apply(&mut names, change));
            for (name, content) in &partial {
                let mut names = names.clone();
                names.insert(name.clone(), content.clone());
                left.push(names);
            }
            left.push(names);
        }
    }
    left.sort();
    left.dedup();
    left
}

fn apply(names: &mut Names, change: &[(String, Option<Inode>)]) {
    for (name, content) in change {
        match content {
            Some(content) => names.insert(name.clone(), content.clone()),
            None => names.remove(name),
        };
    }
}

fn content_of(folder: &Path) -> Names {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let files = entries.map(|entry| entry.unwrap().path());
    files
        .map(|path| {
            (path.file_name().unwrap().to_str().unwrap().to_owned(), Rc::new(fs::read(path).unwrap()))
        })
        .collect()
}

/// A folder with bundles and a board that uses its store.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let place = Place { folder };
        fs::create_dir(place.at("boards")).unwrap();
        put_base(&place.at("boards"));
        for (version, rollback_index) in [("1", 0), ("2", 0), ("3", 5)] {
            made::write_version(&place.at(version), version, rollback_index);
        }
        place
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn board(&self, store: &Path) -> Board {
        let text = format!(
            "name = \"test\"\ninherits = \"base\"\n[model]\nbundle = \"installed\"\n[store]\nfolder = {store:?}\n"
        );
        fs::write(self.at("boards/test.toml"), text).unwrap();
        Board::load(&self.at("boards/test.toml")).unwrap()
    }

    /// A store in which version 1 is good and 2 is on trial.
    fn store(&self, name: &str) -> Board {
        let board = self.board(&self.at(name));
        let store = Store::at(&board.profile.store.folder);
        install(&store, &board, &self.at("1")).unwrap();
        store.mark_good(|_| Ok(())).unwrap().unwrap();
        install(&store, &board, &self.at("2")).unwrap();
        board
    }
}

fn install<D: Disk>(store: &Store<D>, board: &Board, bundle: &Path) -> Result<Slot> {
    let trust = trust(board)?;
    let source = Bundle::open_trusted(bundle, &trust)?;
    let installing = store.begin()?;
    let path = installing.write(|file| source.pack(file))?;
    installing.keep(&Bundle::open_trusted(&path, &trust)?)
}

fn runs(board: &Board) -> Result<String> {
    bundle(board).map(|bundle| bundle.manifest.model_version)
}

/// Does something to a store that is as `prepare` leaves it, and looks at all that a loss of power can leave of it: the bundle that
/// runs is one of `may_run`, and the store can be used as if nothing had happened.
fn survives(
    what: &str,
    may_run: &[&str],
    change: impl Fn(&Store<Watched>, &Board, &Place) -> Result<()>,
) -> usize {
    let place = Place::new();
    let board = place.store("store");
    let folder = board.profile.store.folder.clone();
    let before = content_of(&folder);
    let watched = Watched::new(&folder);
    let store = Store { disk: watched.clone(), folder: folder.clone() };
    change(&store, &board, &place).unwrap();
    let left = left_by_power_loss(&before, &watched.steps.borrow());
    for (number, names) in left.iter().enumerate() {
        let after = place.at(&format!("after-{number}"));
        fs::create_dir(&after).unwrap();
        for (name, content) in names {
            fs::write(after.join(name), &**content).unwrap();
        }
        let files: Vec<&String> = names.keys().collect();
        let board = place.board(&after);
        let version = runs(&board).unwrap_or_else(|error| panic!("{what}: {files:?}: {error:#}"));
        assert!(may_run.contains(&version.as_str()), "{what}: {files:?}: {version} runs");
        // A cart that starts, an installation, and the end of its trial.
        let session = Session::default();
        assert_eq!(session.choose(&board).unwrap().bundle.manifest.model_version, version);
        let store = Store::at(&after);
        let slot = install(&store, &board, &place.at("3")).unwrap();
        assert_eq!(runs(&board).unwrap(), "3", "{what}: {files:?}");
        session.judge(&board, &slot.digest, &Verdict::Good).unwrap();
        let slots = store.slots().unwrap().unwrap();
        assert_eq!((slots.good.as_ref(), slots.lowest_rollback_index), (Some(&slot), 5), "{what}: {files:?}");
        store.prune().unwrap();
        let packed = content_of(&after).into_keys().filter(|name| name.ends_with(".polyp")).count();
        assert!(packed <= 2 && !after.join(INCOMING).exists(), "{what}: {files:?}");
        fs::remove_dir_all(after).unwrap();
    }
    left.len()
}

#[test]
fn an_installation_survives_the_loss_of_power_at_any_step() {
    let states = survives("install", &["2", "3"], |store, board, place| {
        install(store, board, &place.at("3")).map(drop)
    });
    assert!(states >= 10, "{states}");
}

#[test]
fn the_end_of_a_trial_survives_the_loss_of_power_at_any_step() {
    let digest = |store: &Store<Watched>| store.slots().unwrap().unwrap().trial.unwrap().slot.digest;
    survives("good", &["2"], |store, _, _| store.mark_good(|_| Ok(())).map(drop));
    survives("given up", &["1", "2"], |store, _, _| {
        let digest = digest(store);
        store.change(|slots| Ok(slots.refuse(&digest, "a test", 0))).map(drop)
    });
    survives("rolled back", &["1", "2"], |store, _, _| store.roll_back(|_| Ok(())).map(drop));
    survives("started and survived", &["2"], |store, _, _| {
        let digest = digest(store);
        store.change(|slots| Ok(slots.start(0)))?;
        store.change(|slots| {
            slots.survive(&digest, 60);
            Ok(())
        })
    });
    survives("rolled back and pruned", &["1", "2"], |store, _, _| {
        store.roll_back(|_| Ok(()))?;
        store.prune().map(drop)
    });
}

/// The first bundle of a cart: before it there is none, and afterwards it is there.
#[test]
fn the_first_installation_survives_the_loss_of_power_too() {
    let place = Place::new();
    let board = place.board(&place.at("store"));
    let folder = board.profile.store.folder.clone();
    let watched = Watched::new(&folder);
    let store = Store { disk: watched.clone(), folder: folder.clone() };
    install(&store, &board, &place.at("1")).unwrap();
    let steps = watched.steps.borrow();
    for (number, names) in left_by_power_loss(&Names::new(), &steps).iter().enumerate() {
        let after = place.at(&format!("after-{number}"));
        fs::create_dir(&after).unwrap();
        names.iter().for_each(|(name, content)| fs::write(after.join(name), &**content).unwrap());
        let board = place.board(&after);
        match runs(&board) {
            Ok(version) => assert_eq!(version, "1"),
            Err(error) => assert!(error.to_string().contains("no bundle is installed"), "{error:#}"),
        }
        install(&Store::at(&after), &board, &place.at("2")).unwrap();
        assert_eq!(runs(&board).unwrap(), "2");
    }
}

/// Whoever looks at what a loss of power leaves is not blind.
#[test]
fn a_record_that_names_a_slot_before_it_is_synced_would_be_found() {
    let place = Place::new();
    let board = place.store("store");
    let folder = board.profile.store.folder.clone();
    let before = content_of(&folder);
    let watched = Watched::new(&folder);
    let store = Store { disk: watched.clone(), folder };
    install(&store, &board, &place.at("3")).unwrap();
    // The same steps without the sync between slot and record.
    let mut steps = watched.steps.borrow().clone();
    let first_sync = steps.iter().position(|step| matches!(step, Step::Synced)).unwrap();
    steps.remove(first_sync);
    let lost = left_by_power_loss(&before, &steps).iter().any(|names| {
        let record = names.get(RECORD).map(|bytes| Slots::parse(Path::new("record"), bytes).unwrap());
        record
            .is_some_and(|slots| slots.in_order().next().is_some_and(|slot| !names.contains_key(&slot.file)))
    });
    assert!(lost);
}

#[test]
fn a_bundle_on_trial_that_does_not_open_is_given_up_for_the_good_one() {
    let place = Place::new();
    let board = place.store("store");
    let store = Store::at(&board.profile.store.folder);
    let slot = store.slots().unwrap().unwrap().trial.unwrap().slot;
    let whole = fs::read(store.path(&slot)).unwrap();
    fs::write(store.path(&slot), &whole[..whole.len() - 700]).unwrap();
    let session = Session::default();
    let chosen = session.choose(&board).unwrap();
    assert_eq!((chosen.bundle.manifest.model_version.as_str(), chosen.trial), ("1", None));
    let slots = store.slots().unwrap().unwrap();
    assert_eq!(slots.trial, None);
    assert!(slots.refused.unwrap().why.contains("0002-bright-2.polyp"));
}

#[test]
fn a_bundle_whose_starts_are_not_survived_is_given_up() {
    let place = Place::new();
    let board = place.store("store");
    for start in 1..=3 {
        let session = Session::default();
        for _ in 0..3 {
            let chosen = session.choose(&board).unwrap();
            assert_eq!(chosen.bundle.manifest.model_version, "2", "start {start}");
        }
    }
    let chosen = Session::default().choose(&board).unwrap();
    assert_eq!((chosen.bundle.manifest.model_version.as_str(), chosen.trial), ("1", None));
    let refused = Store::at(&board.profile.store.folder).slots().unwrap().unwrap().refused.unwrap();
    assert!(refused.why.contains("ended 3 times within a minute"), "{}", refused.why);

    // Starts that were survived do not count.
    let board = place.store("another");
    for _ in 0..10 {
        let session = Session::default();
        let chosen = session.choose(&board).unwrap();
        let trial = chosen.trial.unwrap();
        session.judge(&board, &trial.digest, &Verdict::Survives(Duration::from_secs(60))).unwrap();
    }
    assert_eq!(Session::default().choose(&board).unwrap().trial.unwrap().assisted, Duration::from_secs(60));
}

#[test]
fn what_was_good_raises_the_lowest_rollback_index_and_nothing_lowers_it() {
    let place = Place::new();
    let board = place.store("store");
    let store = Store::at(&board.profile.store.folder);
    install(&store, &board, &place.at("3")).unwrap();
    // On trial it raises nothing: the good one can still return.
    assert_eq!(trust(&board).unwrap().lowest_rollback_index, 0);
    store.mark_good(|_| Ok(())).unwrap().unwrap();
    assert_eq!(trust(&board).unwrap().lowest_rollback_index, 5);
    for refused in
        [install(&store, &board, &place.at("2")).unwrap_err(), store.roll_back(|_| Ok(())).unwrap_err()]
    {
        assert_eq!(exit_of(&refused), Exit::Signature, "{refused:#}");
    }
    assert_eq!(runs(&board).unwrap(), "3");
    // Nor does another profile's bundle, by its path.
    let mut by_path = board.clone();
    by_path.profile.model.bundle = place.at("2");
    assert_eq!(exit_of(&bundle(&by_path).unwrap_err()), Exit::Signature);
}

#[test]
fn the_next_one_runs_where_the_good_one_is_damaged() {
    let place = Place::new();
    let board = place.store("store");
    let store = Store::at(&board.profile.store.folder);
    store.mark_good(|_| Ok(())).unwrap().unwrap();
    let good = store.slots().unwrap().unwrap().good.unwrap();
    fs::remove_file(store.path(&good)).unwrap();
    assert_eq!(Session::default().choose(&board).unwrap().bundle.manifest.model_version, "1");
    // It stays the good one: its file may come back.
    assert_eq!(store.slots().unwrap().unwrap().good, Some(good));
}

#[test]
fn what_failed_in_this_process_is_not_chosen_again_whatever_the_disk_does() {
    let place = Place::new();
    let board = place.store("store");
    let store = Store::at(&board.profile.store.folder);
    let digest = store.slots().unwrap().unwrap().trial.unwrap().slot.digest;
    let session = Session::default();
    let held = store.disk.lock("slots.lock").unwrap().unwrap();
    let error = session.judge(&board, &digest, &Verdict::Failed("a test".into())).unwrap_err();
    assert!(error.to_string().contains("keeps the record locked"), "{error:#}");
    drop(held);
    assert!(store.slots().unwrap().unwrap().is_on_trial(&digest));
    assert_eq!(session.choose(&board).unwrap().bundle.manifest.model_version, "1");
}

#[test]
fn a_damaged_record_is_told_of_and_no_bundle_runs() {
    let place = Place::new();
    let board = place.store("store");
    let record = board.profile.store.folder.join(RECORD);
    let whole = fs::read_to_string(&record).unwrap();
    let newer = whole.replace("\"schema\": 1", "\"schema\": 2");
    let elsewhere = whole.replace("0001-bright-1.polyp", "../0001-bright-1.polyp");
    for (text, part) in [
        (&whole[..whole.len() / 2], "is damaged"),
        ("", "is damaged"),
        (&newer, "a newer program wrote it"),
        (&elsewhere, "is no slot's file"),
    ] {
        fs::write(&record, text).unwrap();
        let error = Session::default().choose(&board).unwrap_err();
        assert_eq!(exit_of(&error), Exit::Data, "{error:#}");
        assert!(error.to_string().contains(part), "{error:#}");
    }
}

#[test]
fn two_installations_do_not_meet_and_one_that_is_abandoned_leaves_nothing() {
    let place = Place::new();
    let board = place.store("store");
    let store = Store::at(&board.profile.store.folder);
    let before = content_of(&board.profile.store.folder);
    let installing = store.begin().unwrap();
    let error = store.begin().unwrap_err();
    assert!(error.to_string().contains("another installation is under way"), "{error:#}");
    installing.write(|file| Ok(std::io::Write::write_all(file, b"a part")?)).unwrap();
    installing.abandon().unwrap();
    assert_eq!(content_of(&board.profile.store.folder), before);
    let installing = store.begin().unwrap();
    let failed = installing.write(|_| Err(Fault::data("not this one"))).unwrap_err();
    assert_eq!(exit_of(&failed), Exit::Data);
    drop(installing);
    assert_eq!(content_of(&board.profile.store.folder), before);
}

/// Nothing is made where nothing was ever installed.
#[test]
fn a_store_that_is_not_there_is_no_store() {
    let place = Place::new();
    let board = place.board(&place.at("nowhere"));
    let error = Session::default().choose(&board).unwrap_err();
    assert_eq!(exit_of(&error), Exit::Data);
    assert!(error.to_string().contains("install one with polyp-edge bundle install"), "{error:#}");
    assert!(!place.at("nowhere").exists());
    let store = Store::at(&place.at("nowhere"));
    let error = first_that_opens(&store, &trust(&board).unwrap(), |_| true, |_, _| {}).unwrap_err();
    assert_eq!(exit_of(&error), Exit::Data);
}
