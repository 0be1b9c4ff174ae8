//! The simulated network.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use polyp_edge::engine::{Engine, Options};
use polyp_edge::runtime;
use polyp_edge::segment::Network;

use super::picture::CELLS;
use super::store::FAILS_AFTER;
use super::world::{ASSISTS_WITHIN, World};
use crate::bundle::cells;

/// Pixels along each side of the network's input.
const SIDE: usize = 32;

/// The network: finds what is bright.
pub struct WorldNetwork {
    world: World,
    /// Which of all networks it is, the first one 1.
    number: u64,
    /// Made for a reload, and not to take the place of one that failed.
    is_for_reload: bool,
    /// It fails so long after it has seen its first frame.
    fails_after: Option<Duration>,
    begun: Option<Instant>,
    /// It is the lighter one, for when the computer is hot.
    is_lite: bool,
    /// What computes the answer, if not this module.
    engine: Option<Engine>,
}

impl WorldNetwork {
    /// A network that was just loaded.
    pub fn new(world: &World, is_lite: bool) -> WorldNetwork {
        let is_for_reload = ["reload", "heat model"].contains(&runtime::thread::name().as_str());
        WorldNetwork {
            world: world.clone(),
            number: world.another_network(),
            is_for_reload,
            is_lite,
            fails_after: None,
            begun: None,
            engine: None,
        }
    }

    /// The same as one that is no good.
    #[must_use]
    pub fn failing_soon(self) -> WorldNetwork {
        WorldNetwork { fails_after: Some(FAILS_AFTER), ..self }
    }

    /// A network that tract runs with the cart's own operations, on one thread: it finds the same.
    ///
    /// # Errors
    /// If it cannot be loaded.
    pub fn with_engine(world: &World, is_lite: bool) -> Result<WorldNetwork> {
        let onnx = cells(SIDE as u64, CELLS as u64);
        let engine = Engine::from_onnx(&onnx, &Options::default())?;
        Ok(WorldNetwork { engine: Some(engine), ..WorldNetwork::new(world, is_lite) })
    }
}

impl Network for WorldNetwork {
    fn input_shape(&self) -> [usize; 3] {
        [SIDE, SIDE, 3]
    }

    fn output_shape(&self) -> [usize; 3] {
        [CELLS, CELLS, 1]
    }

    fn output_quantisation(&self) -> (f32, u8) {
        self.engine.as_ref().map_or((0.1, 128), Engine::output_quantisation)
    }

    fn run(&mut self, input: &[u8], logits: &mut [u8]) -> Result<()> {
        let (takes, hang_for) = {
            let mut world = self.world.lock();
            world.is_in_charge(self.number, self.is_for_reload, self.is_lite);
            if runtime::now() >= world.slow_until {
                world.takes = Duration::from_millis(9);
            }
            let hang_for = world.hang_for.take();
            if let Some(time) = hang_for {
                let stuck_after = world.stuck_after;
                world.assistance_ill(time.min(stuck_after) + 2 * ASSISTS_WITHIN);
            }
            (world.takes, hang_for)
        };
        runtime::thread::sleep(hang_for.unwrap_or(takes));
        let begun = *self.begun.get_or_insert_with(runtime::now);
        let mut world = self.world.lock();
        let is_spent = self.fails_after.is_some_and(|time| runtime::since(begun) >= time);
        if std::mem::take(&mut world.network_fails) || is_spent {
            world.network_failed(self.number);
            bail!("the simulated network failed");
        }
        if std::mem::take(&mut world.network_panics) {
            world.network_failed(self.number);
            drop(world);
            panic!("the network was told to panic");
        }
        if world.nonsense > 0 {
            world.nonsense -= 1;
            // It may have waited for this while assistance was off because of heat, or come more slowly.
            world.assistance_ill(ASSISTS_WITHIN);
            logits.fill(255);
            return Ok(());
        }
        if world.nothing > 0 {
            world.nothing -= 1;
            logits.fill(0);
            return Ok(());
        }
        if let Some(engine) = &mut self.engine {
            drop(world);
            return engine.run(input, logits);
        }
        let cell_px = SIDE / CELLS;
        for (index, logit) in logits.iter_mut().enumerate() {
            let (x, y) = (cell_px * (index % CELLS) + cell_px / 2, cell_px * (index / CELLS) + cell_px / 2);
            *logit = input[3 * (y * SIDE + x)];
        }
        Ok(())
    }
}
