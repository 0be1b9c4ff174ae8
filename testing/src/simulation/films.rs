//! What stands in for recordings on a disk: takes pictures in, and looks whether they are those of one source, in their order.

use anyhow::{Result, bail};
use polyp_edge::fault::Fault as Failure;
use polyp_edge::recording::Recording;
use polyp_edge::recording::ring::{About, Taken};

use super::world::World;

/// A recording of the simulated cart.
pub(super) struct WorldFilm {
    world: World,
    name: String,
    first: About,
    /// The newest picture's number, and its frame's.
    last: Option<(u64, u64)>,
    pictures: u64,
}

impl WorldFilm {
    pub(super) fn begin(world: &World, first: &About) -> Result<WorldFilm> {
        world.wait_for_disk();
        if world.disk_is_full() {
            bail!(Failure::io("the simulated disk is full"));
        }
        let name = {
            let mut world = world.lock();
            world.tell("a recording begins");
            world.films += 1;
            format!("{}-video", world.films)
        };
        Ok(WorldFilm { world: world.clone(), name, first: *first, last: None, pictures: 0 })
    }
}

impl Recording for WorldFilm {
    fn name(&self) -> &str {
        &self.name
    }

    fn add(&mut self, picture: &Taken) -> Result<()> {
        self.world.wait_for_disk();
        if self.world.disk_is_full() {
            bail!(Failure::io("the simulated disk is full"));
        }
        let Some(about) = picture.about else { return Ok(()) };
        let mut world = self.world.lock();
        if (about.epoch, about.size) != (self.first.epoch, self.first.size) {
            world.breaks("a recording has pictures of two sources or sizes");
        }
        if self.last.is_some_and(|(number, frame)| picture.number <= number || about.frame <= frame) {
            world.breaks("a recording's pictures are not in their order");
        }
        if (0..2).any(|part| !picture.part(part).ends_with(&[0xFF, 0xD9])) {
            world.breaks("a recording has a picture that is not whole");
        }
        drop(world);
        self.last = Some((picture.number, about.frame));
        self.pictures += 1;
        Ok(())
    }

    fn finish(self: Box<Self>, why: &str, missing: u64) -> Result<()> {
        self.world.wait_for_disk();
        let pictures = self.pictures;
        self.world.lock().tell(&format!("a recording of {pictures} pictures ends, {missing} missing: {why}"));
        Ok(())
    }
}
