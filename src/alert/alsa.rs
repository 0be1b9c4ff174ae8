//! Samples to a sound card, by the machine's own ALSA library, which is loaded when somebody wants a tone: a cart without sound
//! needs none, and what a card's maker has set up there (the samples' layout on an HDMI socket, for one) holds.

use std::ffi::{CStr, CString, c_char, c_int, c_long, c_uint, c_ulong, c_void};
use std::ptr;
use std::sync::OnceLock;
use std::time::Duration;

use libloading::{Library, Symbol};

use crate::runtime;

/// In Hz.
pub const RATE_HZ: u32 = 48_000;
/// Left and right.
pub const CHANNELS: usize = 2;

/// The library as Debian and Jetson Linux name it; 2 is the version of its interface since 1999.
const LIBRARY: &str = "libasound.so.2";
const PLAYBACK: c_int = 0;
const NONBLOCK: c_int = 1;
const S16_LE: c_int = 2;
const INTERLEAVED: c_int = 3;
/// What the card holds at most.
const BUFFER_US: c_uint = 500_000;
/// Between two tries to hand over what the card had no room for.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// A card that takes nothing for so long after the tone ought to be over is broken.
const PATIENCE: Duration = Duration::from_secs(1);

type Handle = *mut c_void;

/// Takes what the library has to say beside a call's error: file, line, function, error, and words with arguments of their own.
type Handler = extern "C" fn(*const c_char, c_int, *const c_char, c_int, *const c_char);

/// It would write to standard error each time that a device is looked for.
extern "C" fn say_nothing(_: *const c_char, _: c_int, _: *const c_char, _: c_int, _: *const c_char) {}

/// The library's calls, as `alsa/pcm.h` declares them.
struct Calls {
    open: unsafe extern "C" fn(*mut Handle, *const c_char, c_int, c_int) -> c_int,
    set_params: unsafe extern "C" fn(Handle, c_int, c_int, c_uint, c_uint, c_int, c_uint) -> c_int,
    drop: unsafe extern "C" fn(Handle) -> c_int,
    prepare: unsafe extern "C" fn(Handle) -> c_int,
    writei: unsafe extern "C" fn(Handle, *const c_void, c_ulong) -> c_long,
    drain: unsafe extern "C" fn(Handle) -> c_int,
    close: unsafe extern "C" fn(Handle) -> c_int,
    words: unsafe extern "C" fn(c_int) -> *const c_char,
    /// The calls are in it.
    _library: Library,
}

/// Once loaded it stays: what it has read of its settings would not be given back.
static CALLS: OnceLock<Calls> = OnceLock::new();

impl Calls {
    fn get() -> Result<&'static Calls, libloading::Error> {
        match CALLS.get() {
            Some(calls) => Ok(calls),
            None => Calls::load().map(|calls| CALLS.get_or_init(|| calls)),
        }
    }

    fn load() -> Result<Calls, libloading::Error> {
        // SAFETY: ALSA's library does nothing when it is loaded, and each type is what its header declares for that name; but for the
        // handler's further arguments, which who calls it takes back by itself on all architectures that this program is built for.
        unsafe {
            let library = Library::new(LIBRARY)?;
            let set_handler: Symbol<'_, unsafe extern "C" fn(Handler) -> c_int> =
                library.get(b"snd_lib_error_set_handler\0")?;
            set_handler(say_nothing);
            Ok(Calls {
                open: *library.get(b"snd_pcm_open\0")?,
                set_params: *library.get(b"snd_pcm_set_params\0")?,
                drop: *library.get(b"snd_pcm_drop\0")?,
                prepare: *library.get(b"snd_pcm_prepare\0")?,
                writei: *library.get(b"snd_pcm_writei\0")?,
                drain: *library.get(b"snd_pcm_drain\0")?,
                close: *library.get(b"snd_pcm_close\0")?,
                words: *library.get(b"snd_strerror\0")?,
                _library: library,
            })
        }
    }

    fn check(&self, what: &str, code: c_long) -> Result<c_long, String> {
        if code >= 0 {
            return Ok(code);
        }
        // SAFETY: it gives a text for each number, which lasts as long as the library.
        let words = unsafe { CStr::from_ptr((self.words)(code as c_int)) };
        Err(format!("cannot {what}: {}", words.to_string_lossy()))
    }
}

/// A device that plays.
pub struct Player {
    calls: &'static Calls,
    handle: Handle,
}

impl Player {
    /// Takes a device by its name in ALSA, for samples of 16 bits.
    ///
    /// # Errors
    /// In words: no library, no such device, or somebody else has it.
    pub fn open(device: &str) -> Result<Player, String> {
        let calls = Calls::get().map_err(|error| {
            format!("the ALSA library cannot be loaded (Debian's package libasound2 has it): {error}")
        })?;
        let name = CString::new(device).map_err(|error| error.to_string())?;
        let mut handle = ptr::null_mut();
        // SAFETY: the name ends with a zero, and the handle is written to before it is read.
        let opened = unsafe { (calls.open)(&mut handle, name.as_ptr(), PLAYBACK, NONBLOCK) };
        calls.check("open it", opened.into())?;
        let player = Player { calls, handle };
        // SAFETY: the handle is open until `player` is dropped.
        let set = unsafe {
            (player.calls.set_params)(
                player.handle,
                S16_LE,
                INTERLEAVED,
                CHANNELS as c_uint,
                RATE_HZ,
                1,
                BUFFER_US,
            )
        };
        player.calls.check("play 16 bits at 48 kHz", set.into())?;
        Ok(player)
    }

    /// Plays interleaved samples, in place of what still plays. Returns when the card has them all; they end by themselves.
    ///
    /// # Errors
    /// In words, if the device is gone or takes nothing.
    pub fn play(&mut self, samples: &[i16]) -> Result<(), String> {
        // SAFETY: the handle is open.
        let stopped = unsafe { (self.calls.drop)(self.handle) };
        self.calls.check("stop what plays", stopped.into())?;
        // SAFETY: the handle is open.
        let ready = unsafe { (self.calls.prepare)(self.handle) };
        self.calls.check("begin", ready.into())?;
        let lasts = Duration::from_secs_f64((samples.len() / CHANNELS) as f64 / f64::from(RATE_HZ));
        let begun = runtime::now();
        let mut left = samples;
        while left.len() >= CHANNELS {
            let frames = left.len() / CHANNELS;
            // SAFETY: as many frames as are asked for lie behind the pointer.
            let taken = unsafe { (self.calls.writei)(self.handle, left.as_ptr().cast(), frames as c_ulong) };
            let taken =
                if taken == c_long::from(-libc::EAGAIN) { 0 } else { self.calls.check("play", taken)? };
            left = left.get(CHANNELS * taken as usize..).unwrap_or_default();
            if taken == 0 {
                if runtime::since(begun) > lasts + PATIENCE {
                    return Err("the card takes no sound".to_owned());
                }
                runtime::thread::sleep(LOOK_EVERY);
            }
        }
        // Plays to the end of what it has, also where that is too little to begin by itself. That it is not over yet is no error.
        // SAFETY: the handle is open.
        let ending = unsafe { (self.calls.drain)(self.handle) };
        if ending != -libc::EAGAIN {
            self.calls.check("play to the end", ending.into())?;
        }
        Ok(())
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        // SAFETY: it was opened, and nobody uses it any more.
        unsafe { (self.calls.close)(self.handle) };
    }
}
