//! A name server that says what a test wants it to.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{Arc, Mutex},
    thread,
};

const A: u16 = 1;

/// A name server on a free UDP port of the loopback, that runs until the test process ends. Unless told otherwise,
/// every name has the address 127.0.0.1 and nothing else.
pub struct Dns {
    address: SocketAddr,
    answers: Arc<Mutex<HashMap<String, DnsAnswer>>>,
}

/// What there is to say about a name.
#[derive(Clone, Debug)]
pub enum DnsAnswer {
    /// It has these addresses.
    Addresses(Vec<Ipv4Addr>),
    /// It does not exist.
    NoSuchName,
    /// The server failed.
    ServerFailure,
    /// Nothing.
    Silence,
}

impl Dns {
    /// A server on a free port.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[must_use]
    pub fn start() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = socket.local_addr().expect("an address");
        let answers = Arc::new(Mutex::new(HashMap::new()));
        let serving = answers.clone();
        thread::spawn(move || serve(&socket, &serving));
        Self { address, answers }
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers questions about this name so.
    pub fn answer(&self, name: &str, answer: DnsAnswer) {
        self.answers.lock().unwrap().insert(name.to_owned(), answer);
    }
}

fn serve(socket: &UdpSocket, answers: &Mutex<HashMap<String, DnsAnswer>>) {
    let mut buffer = [0; 1500];
    while let Ok((length, client)) = socket.recv_from(&mut buffer) {
        let answer = |name: &str| answers.lock().unwrap().get(name).cloned();
        if let Some(reply) = reply(&buffer[..length], answer) {
            let _ = socket.send_to(&reply, client);
        }
    }
}

/// The answer to a query. RFC 1035 section 4.
fn reply(query: &[u8], answer: impl Fn(&str) -> Option<DnsAnswer>) -> Option<Vec<u8>> {
    let mut at = 12;
    let mut name = String::new();
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        name += &String::from_utf8_lossy(query.get(at..at + length)?);
        name.push('.');
        at += length;
    }
    let question = query.get(12..at + 4)?;
    let wanted = u16::from_be_bytes([*query.get(at)?, *query.get(at + 1)?]);
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let answer = answer(&name).unwrap_or_else(|| DnsAnswer::Addresses(vec![Ipv4Addr::LOCALHOST]));
    let (code, addresses) = match answer {
        DnsAnswer::Addresses(addresses) => (0, if wanted == A { addresses } else { Vec::new() }),
        DnsAnswer::NoSuchName => (3, Vec::new()),
        DnsAnswer::ServerFailure => (2, Vec::new()),
        DnsAnswer::Silence => return None,
    };
    let count = u8::try_from(addresses.len()).ok()?;
    // A response, authoritative, recursion desired and available.
    let mut reply = vec![query[0], query[1], 0x85, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0];
    reply.extend_from_slice(question);
    for address in addresses {
        // A pointer to the name in the question; type A, class IN, no time to live, four octets.
        reply.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
        reply.extend_from_slice(&address.octets());
    }
    Some(reply)
}
