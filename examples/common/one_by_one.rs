//! The loop of a server of many peers on a socket of the standard library: a system call for each datagram.

use super::failure::{Failure, MAX_DATAGRAM};
use super::many::{Many, Wire};
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How often the loop looks for Ctrl-C and the next line of statistics.
pub(crate) const TICK: Duration = Duration::from_millis(100);

/// Serves until `stop` is set, and says each second how it goes. `who` stands before what it says.
pub(crate) fn serve(socket: UdpSocket, mut many: Many, stop: &AtomicBool, who: &str) -> Result<(), Failure> {
    let mut wire = Socket(socket);
    let mut buffer = vec![0; MAX_DATAGRAM];
    let mut said = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let now = Instant::now();
        let due = many.poll_timeout().map_or(TICK, |due| due.saturating_duration_since(now)).min(TICK);
        wire.0.set_read_timeout(Some(due.max(Duration::from_millis(1))))?;
        match wire.0.recv_from(&mut buffer) {
            Ok((len, from)) => many.receive(Instant::now(), from, &mut buffer[..len], &mut wire),
            Err(error) if is_nothing(error.kind()) => {}
            Err(error) => return Err(error.into()),
        }
        let now = Instant::now();
        many.handle_timeout(now, &mut wire);
        if now.duration_since(said) >= Duration::from_secs(1) {
            said = now;
            println!("{who}{}", many.statistics());
        }
    }
    println!("{who}stopping: close_notify to all");
    many.close(Instant::now(), &mut wire);
    println!("{who}{}", many.statistics());
    Ok(())
}

/// What a receive call may end with for no fault of ours: the system reports there, too, that a former peer's port is closed.
pub(crate) fn is_nothing(kind: ErrorKind) -> bool {
    use ErrorKind::{ConnectionRefused, ConnectionReset, Interrupted, TimedOut, WouldBlock};
    matches!(kind, WouldBlock | TimedOut | Interrupted | ConnectionRefused | ConnectionReset)
}

struct Socket(UdpSocket);

impl Wire for Socket {
    fn send(&mut self, to: SocketAddr, datagram: &[u8]) {
        // What does not go out is lost, as any datagram may be.
        let _ = self.0.send_to(datagram, to);
    }
}
