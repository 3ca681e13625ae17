//! A wire between two processes that a test can cut, or let through in one direction only.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;

/// Passes every connection on to `target`. Ends with the test.
pub struct Wire {
    /// Where to connect instead of the target.
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    target: SocketAddr,
    deaf: AtomicBool,
    over: AtomicBool,
    /// Both ends of every connection.
    ends: Mutex<Vec<TcpStream>>,
}

impl Wire {
    /// Listens on a free port.
    pub fn to(target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            target,
            deaf: AtomicBool::new(false),
            over: AtomicBool::new(false),
            ends: Mutex::default(),
        });
        let mine = Arc::clone(&shared);
        std::thread::spawn(move || {
            for near in listener.incoming() {
                if mine.over.load(Ordering::SeqCst) {
                    break;
                }
                // One that cannot be passed on is closed: its target is dead.
                let _ = near.and_then(|near| mine.join(near));
            }
        });
        Ok(Self { address, shared })
    }

    /// While deaf, what the client says arrives, and nothing that the target answers.
    pub fn deaf(&self, deaf: bool) {
        self.shared.deaf.store(deaf, Ordering::SeqCst);
    }

    /// Ends every connection.
    pub fn cut(&self) {
        for end in self.shared.ends.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = end.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        self.cut();
        // Wakes the listener.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn join(self: &Arc<Self>, near: TcpStream) -> std::io::Result<()> {
        let far = TcpStream::connect(self.target)?;
        for end in [&near, &far] {
            end.set_nodelay(true)?;
            self.ends.lock().unwrap_or_else(PoisonError::into_inner).push(end.try_clone()?);
        }
        for (from, to, answers) in [(near.try_clone()?, far.try_clone()?, false), (far, near, true)] {
            let shared = Arc::clone(self);
            std::thread::spawn(move || shared.carry(from, to, answers));
        }
        Ok(())
    }

    fn carry(&self, mut from: TcpStream, mut to: TcpStream, answers: bool) {
        let mut buffer = [0; 16 * 1024];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            if answers && self.deaf.load(Ordering::SeqCst) {
                continue;
            }
            if to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }
}
