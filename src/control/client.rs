//! Gives an order by the socket of a program that runs.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::order::{Answer, Order};
use crate::fault::Fault;

/// Where a cart has its socket.
pub const USUAL: &str = "/run/polyp-edge/control.sock";

/// The program answers within so long, or never.
const PATIENCE: Duration = Duration::from_secs(25);
/// No answer is longer, in bytes.
const LONGEST_ANSWER: u64 = 1 << 20;

/// Gives the order and waits for its answer.
///
/// # Errors
/// 69 if no program listens there or it does not answer; 74 if this user may not, or the socket cannot be used.
pub fn ask(path: &Path, order: &Order) -> Result<Answer> {
    let failed = |error: std::io::Error| {
        use std::io::ErrorKind;
        let shown = path.display();
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => Fault::device(format!(
                "{shown}: no polyp-edge listens there; start it with control.socket in its profile, or name its socket with \
                 --socket"
            )),
            ErrorKind::PermissionDenied => Fault::io(format!(
                "{shown}: you may not give orders there; become a member of the socket's group"
            )),
            ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                Fault::device(format!("{shown}: the program does not answer within {} s", PATIENCE.as_secs()))
            }
            _ => Fault::io(format!("{shown}: {error}")),
        }
    };
    let mut stream = UnixStream::connect(path).map_err(failed)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
    let mut line = serde_json::to_vec(order)?;
    line.push(b'\n');
    stream.write_all(&line).map_err(failed)?;
    let mut answer = Vec::new();
    BufReader::new(stream.take(LONGEST_ANSWER)).read_until(b'\n', &mut answer).map_err(failed)?;
    if answer.is_empty() {
        return Err(Fault::device(format!(
            "{}: the program has ended the connection; it may be busy with other clients, or ending",
            path.display()
        )));
    }
    serde_json::from_slice(&answer)
        .map_err(|error| Fault::data(format!("{}: the answer is not understood: {error}", path.display())))
}
