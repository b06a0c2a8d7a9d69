//! What goes over the TCP connection to the runner: datagrams both ways, orders one way. Integers are big-endian, but
//! for the shim's id at the very beginning.

use std::io::{self, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// The connection to the runner.
pub(crate) struct Framing {
    input: BufReader<TcpStream>,
    output: TcpStream,
    frame: Vec<u8>,
}

/// What the runner sends.
#[derive(Debug)]
pub(crate) enum Item {
    Datagram(Vec<u8>),
    /// This much time passes; to be acknowledged before anything else is sent.
    TimePasses(Duration),
    /// The next timer fires in exactly this time, or none runs.
    ExpectTimer(Option<Duration>),
    SetMtu(usize),
    SetInitialTimeout(Duration),
    End,
}

impl Framing {
    pub(crate) fn connect(ipv6: bool, port: u16, shim_id: u64) -> io::Result<Self> {
        let address: SocketAddr =
            if ipv6 { (Ipv6Addr::LOCALHOST, port).into() } else { (Ipv4Addr::LOCALHOST, port).into() };
        let mut output = TcpStream::connect(address)?;
        output.set_nodelay(true)?;
        output.write_all(&shim_id.to_le_bytes())?;
        Ok(Self { input: BufReader::new(output.try_clone()?), output, frame: Vec::new() })
    }

    pub(crate) fn read(&mut self) -> io::Result<Item> {
        let mut opcode = [0];
        match self.input.read_exact(&mut opcode) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(Item::End),
            read => read?,
        }
        Ok(match opcode {
            [b'P'] => {
                let mut datagram = vec![0; self.read_u32()? as usize];
                self.input.read_exact(&mut datagram)?;
                Item::Datagram(datagram)
            }
            [b'T'] => Item::TimePasses(Duration::from_nanos(self.read_u64()?)),
            [b'E'] => Item::ExpectTimer(match self.read_u64()? {
                u64::MAX => None,
                nanoseconds => Some(Duration::from_nanos(nanoseconds)),
            }),
            [b'M'] => Item::SetMtu(self.read_u32()? as usize),
            [b'U'] => Item::SetInitialTimeout(Duration::from_millis(self.read_u32()?.into())),
            [other] => return Err(io::Error::new(ErrorKind::InvalidData, format!("unknown opcode {other:#04x}"))),
        })
    }

    pub(crate) fn write_datagram(&mut self, datagram: &[u8]) -> io::Result<()> {
        let len = u32::try_from(datagram.len()).map_err(|_| ErrorKind::InvalidInput)?;
        self.frame.clear();
        self.frame.push(b'P');
        self.frame.extend_from_slice(&len.to_be_bytes());
        self.frame.extend_from_slice(datagram);
        self.output.write_all(&self.frame)
    }

    pub(crate) fn acknowledge_time(&mut self) -> io::Result<()> {
        self.output.write_all(b"t")
    }

    /// Ends the connection so that the runner reads all that was sent: a reset would swallow the alert.
    pub(crate) fn finish(mut self) {
        // The runner may be gone already, which is as good an end.
        let _ = self.output.shutdown(Shutdown::Write);
        let _ = io::copy(&mut self.input, &mut io::sink());
    }

    fn read_u32(&mut self) -> io::Result<u32> {
        let mut octets = [0; 4];
        self.input.read_exact(&mut octets)?;
        Ok(u32::from_be_bytes(octets))
    }

    fn read_u64(&mut self) -> io::Result<u64> {
        let mut octets = [0; 8];
        self.input.read_exact(&mut octets)?;
        Ok(u64::from_be_bytes(octets))
    }
}
