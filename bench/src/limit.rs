//! The limit: the least a server can do. One thread, blocking writes, one system call a delivery.
//!
//! A connection that sends the byte `S` is a subscriber. One that sends `P` is the publisher: whatever it
//! sends after that, in messages led by their length (u32, big endian), is written to every subscriber.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
};

use anyhow::Result;

/// Longest message the publisher may send; the measurements send a few hundred bytes.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// Serves until the publisher hangs up.
pub(crate) fn serve() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("listening on {}", listener.local_addr()?);
    let mut subscribers: Vec<TcpStream> = Vec::new();
    loop {
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let mut kind = [0];
        stream.read_exact(&mut kind)?;
        if kind == *b"S" {
            // An answer, so that the driver knows that this one is counted in.
            stream.write_all(b"s")?;
            subscribers.push(stream);
        } else {
            stream.write_all(b"p")?;
            repeat(&mut stream, &mut subscribers)?;
        }
    }
}

fn repeat(publisher: &mut TcpStream, subscribers: &mut [TcpStream]) -> Result<()> {
    let mut message = vec![0; MESSAGE_BYTES_MAX];
    loop {
        let mut length = [0; 4];
        if publisher.read_exact(&mut length).is_err() {
            return Ok(());
        }
        let length = usize::try_from(u32::from_be_bytes(length))?.min(MESSAGE_BYTES_MAX);
        publisher.read_exact(&mut message[..length])?;
        for subscriber in subscribers.iter_mut() {
            subscriber.write_all(&message[..length])?;
        }
    }
}
