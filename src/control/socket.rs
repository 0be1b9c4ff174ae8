//! Orders by a UNIX socket: a line of JSON each, and a line of JSON in answer.
//!
//! Whoever may write to the socket's file may give orders: its owner and its group. What clients do harms nobody: there are
//! [`MOST_CLIENTS`] at most, each with one order under way and a line of [`LONGEST_LINE`] bytes; one that does not read its answers, or
//! sends nothing but nonsense, is disconnected, and one that has long been silent makes room for another.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::order::{Answer, Request, Way, parse};
use crate::fault::{Fault, one_line};
use crate::files::make_folder;
use crate::runtime;
use crate::runtime::channel::{Nothing, Receiver, Sender, channel};

/// Clients at once.
pub const MOST_CLIENTS: usize = 16;
/// A line with its end, in bytes.
pub const LONGEST_LINE: usize = 4096;
/// Lines that are no orders, after which a client is disconnected.
const MOST_NONSENSE: u32 = 20;
/// Answers that wait to be read, in bytes.
const MOST_UNREAD: usize = 1 << 18;
/// A client that was silent for so long makes room for another.
const MAY_BE_SILENT: Duration = Duration::from_secs(1);
/// An order that is not carried out by then is not going to be. Another sensitivity takes as long as loading a model.
const ANSWERED_WITHIN: Duration = Duration::from_secs(20);
/// Between two looks whether an order was carried out, and whether the run is over.
const LOOK_EVERY: Duration = Duration::from_millis(2);
const STOP_SEEN_WITHIN: Duration = Duration::from_millis(100);
/// After the system could not accept a client.
const REST: Duration = Duration::from_millis(100);
/// Readable and writable for owner and group.
const MODE: u32 = 0o660;

/// A socket that takes orders in.
pub struct Server {
    listener: UnixListener,
    path: PathBuf,
    clients: Vec<Client>,
    has_failed: bool,
}

impl Server {
    /// Makes the socket, in a folder that is made if need be. One that a program has left behind is replaced.
    ///
    /// # Errors
    /// 74 with the path; also if another program listens there.
    pub fn bind(path: &Path) -> Result<Server> {
        let cannot = |error: &dyn std::fmt::Display| {
            Fault::io(format!("cannot make the socket {} (control.socket): {error}", path.display()))
        };
        if let Some(folder) = path.parent() {
            make_folder(folder)?;
        }
        match path.symlink_metadata() {
            Ok(there) if there.file_type().is_socket() => {
                if UnixStream::connect(path).is_ok() {
                    return Err(cannot(&"another program listens there"));
                }
                std::fs::remove_file(path).map_err(|error| cannot(&error))?;
            }
            Ok(_) => return Err(cannot(&"there is a file of this name that is no socket")),
            Err(_) => {}
        }
        let listener = UnixListener::bind(path).map_err(|error| cannot(&error))?;
        // Until here, nobody but the owner may connect.
        std::fs::set_permissions(path, PermissionsExt::from_mode(MODE)).map_err(|error| cannot(&error))?;
        listener.set_nonblocking(true).map_err(|error| cannot(&error))?;
        Ok(Server { listener, path: path.to_owned(), clients: Vec::new(), has_failed: false })
    }

    /// Takes orders in until `stop` is set; then the socket is removed.
    pub fn serve(mut self, orders: &Sender<Request>, stop: &Arc<AtomicBool>) {
        while !stop.load(Ordering::Relaxed) {
            self.wait();
            self.accept();
            for client in &mut self.clients {
                client.attend(orders);
            }
            self.clients.retain(|client| !client.is_over);
        }
    }

    /// Until something can be done, or for a moment.
    fn wait(&self) {
        let is_waiting = self.clients.iter().any(|client| client.answer.is_some());
        let patience = if is_waiting { LOOK_EVERY } else { STOP_SEEN_WITHIN };
        let mut watched = vec![PollFd::new(&self.listener, PollFlags::IN)];
        watched.extend(self.clients.iter().map(|client| {
            let output = if client.output.is_empty() { PollFlags::empty() } else { PollFlags::OUT };
            let input = if client.answer.is_some() { PollFlags::empty() } else { PollFlags::IN };
            PollFd::from_borrowed_fd(client.stream.as_fd(), input | output)
        }));
        let patience = Timespec { tv_sec: 0, tv_nsec: patience.as_nanos() as _ };
        if poll(&mut watched, Some(&patience)).is_err() {
            runtime::thread::sleep(LOOK_EVERY);
        }
    }

    fn accept(&mut self) {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    self.has_failed = false;
                    if self.clients.len() >= MOST_CLIENTS && !self.make_room() {
                        continue;
                    }
                    if let Some(client) = Client::new(stream) {
                        self.clients.push(client);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    if !std::mem::replace(&mut self.has_failed, true) {
                        log::warn!("{}: cannot accept a connection: {error}", self.path.display());
                    }
                    runtime::thread::sleep(REST);
                    return;
                }
            }
        }
    }

    /// Disconnects the client that has been silent for longest, if that is long enough.
    fn make_room(&mut self) -> bool {
        let longest = self.clients.iter().enumerate().min_by_key(|(_, client)| client.heard);
        match longest {
            Some((index, client)) if runtime::since(client.heard) >= MAY_BE_SILENT => {
                self.clients.remove(index);
                true
            }
            _ => false,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that is not there any more is what is wanted.
        let _ = std::fs::remove_file(&self.path);
    }
}

struct Client {
    stream: UnixStream,
    uid: u32,
    input: Vec<u8>,
    output: Vec<u8>,
    /// Of the order under way, and since when.
    answer: Option<(Receiver<Answer>, Instant)>,
    heard: Instant,
    nonsense: u32,
    /// It has sent all that it will.
    has_ended: bool,
    is_over: bool,
}

impl Client {
    fn new(stream: UnixStream) -> Option<Client> {
        stream.set_nonblocking(true).ok()?;
        let uid = rustix::net::sockopt::socket_peercred(&stream).ok()?.uid.as_raw();
        Some(Client {
            stream,
            uid,
            input: Vec::new(),
            output: Vec::new(),
            answer: None,
            heard: runtime::now(),
            nonsense: 0,
            has_ended: false,
            is_over: false,
        })
    }

    fn attend(&mut self, orders: &Sender<Request>) {
        self.take_answer();
        if self.answer.is_none() {
            self.read();
        }
        while self.answer.is_none()
            && let Some(line) = self.line()
        {
            self.take(&line, orders);
        }
        self.write();
        let is_silent = self.answer.is_none() && self.output.is_empty();
        self.is_over |= self.output.len() > MOST_UNREAD
            || self.nonsense > MOST_NONSENSE && self.output.is_empty()
            || self.has_ended && is_silent;
    }

    /// One order after the other: the next is read once this one is answered.
    fn take(&mut self, line: &[u8], orders: &Sender<Request>) {
        if line.iter().all(u8::is_ascii_whitespace) {
            return;
        }
        match parse(line) {
            Ok(order) => {
                let (sender, answer) = channel();
                let request = Request { order, way: Way::Socket { uid: self.uid }, answer: Some(sender) };
                match orders.send(request) {
                    Ok(()) => self.answer = Some((answer, runtime::now())),
                    Err(_) => self.say(&Answer::refused("the program is ending")),
                }
            }
            Err(why) => {
                self.nonsense += 1;
                self.say(&Answer::refused(why));
            }
        }
    }

    fn take_answer(&mut self) {
        let Some((answer, since)) = &self.answer else { return };
        let answer = match answer.try_recv() {
            Ok(answer) => answer,
            Err(Nothing::Ever) => Answer::refused("the program is ending"),
            Err(Nothing::Yet) if runtime::since(*since) < ANSWERED_WITHIN => return,
            Err(Nothing::Yet) => Answer::refused("the program does not answer; its log may say why"),
        };
        self.answer = None;
        self.say(&answer);
    }

    fn say(&mut self, answer: &Answer) {
        match serde_json::to_vec(answer) {
            Ok(line) => {
                self.output.extend_from_slice(&line);
                self.output.push(b'\n');
            }
            Err(error) => log::warn!("an answer cannot be written: {}", one_line(&error.into())),
        }
    }

    fn read(&mut self) {
        let mut piece = [0; LONGEST_LINE];
        let room = LONGEST_LINE.saturating_sub(self.input.len()).max(1);
        match self.stream.read(piece.get_mut(..room).unwrap_or_default()) {
            Ok(0) => self.has_ended = true,
            Ok(count) => {
                self.heard = runtime::now();
                self.input.extend_from_slice(piece.get(..count).unwrap_or_default());
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => self.is_over = true,
        }
    }

    /// The next whole line without its end; what comes last needs none.
    fn line(&mut self) -> Option<Vec<u8>> {
        if let Some(end) = self.input.iter().position(|&byte| byte == b'\n') {
            let mut line: Vec<u8> = self.input.drain(..=end).collect();
            line.pop();
            return Some(line);
        }
        if self.input.len() >= LONGEST_LINE {
            self.input.clear();
            self.nonsense = MOST_NONSENSE + 1;
            self.say(&Answer::refused(format!("a line may have {LONGEST_LINE} bytes")));
            return None;
        }
        let is_last = self.has_ended && !self.input.is_empty();
        is_last.then(|| std::mem::take(&mut self.input))
    }

    fn write(&mut self) {
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(0) => self.is_over = true,
                Ok(count) => {
                    self.output.drain(..count);
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => self.is_over = true,
            }
            return;
        }
    }
}
