//! A name server that says what a test wants it to.

use std::{
    collections::{HashMap, VecDeque},
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{Arc, Mutex},
    thread,
};

const A: u16 = 1;
const TXT: u16 = 16;

/// A name server on a free UDP port of the loopback, that runs until the test process ends. Unless told otherwise,
/// every name has the address 127.0.0.1 and nothing else.
pub struct Dns {
    address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
}

#[derive(Default)]
struct Zone {
    answers: HashMap<String, DnsAnswer>,
}

/// What there is to say about a name.
#[derive(Clone, Debug)]
pub enum DnsAnswer {
    /// It has these addresses.
    Addresses(Vec<Ipv4Addr>),
    /// It has the first of these addresses when it is asked for the first time, then the next, and at last the last.
    InTurn(VecDeque<Ipv4Addr>),
    /// It has these texts, of at most 255 octets each, and no address.
    Texts(Vec<String>),
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
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into())
    }

    /// A server at this address.
    ///
    /// # Panics
    ///
    /// If it is taken.
    #[must_use]
    pub fn start_at(address: SocketAddr) -> Self {
        let socket = UdpSocket::bind(address).unwrap_or_else(|error| panic!("{address}: {error}"));
        let address = socket.local_addr().expect("an address");
        let zone = Arc::new(Mutex::new(Zone::default()));
        let serving = zone.clone();
        thread::spawn(move || serve(&socket, &serving));
        Self { address, zone }
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers questions about this name so.
    pub fn answer(&self, name: &str, answer: DnsAnswer) {
        self.zone.lock().unwrap().answers.insert(name.to_owned(), answer);
    }
}

impl Zone {
    fn answer(&mut self, name: &str, kind: u16) -> Option<DnsAnswer> {
        match self.answers.get_mut(name)? {
            DnsAnswer::InTurn(turns) if kind == A => {
                let next = if turns.len() > 1 { turns.pop_front() } else { turns.front().copied() };
                Some(DnsAnswer::Addresses(next.into_iter().collect()))
            }
            answer => Some(answer.clone()),
        }
    }
}

fn serve(socket: &UdpSocket, zone: &Mutex<Zone>) {
    let mut buffer = [0; 1500];
    while let Ok((length, client)) = socket.recv_from(&mut buffer) {
        let answer = |name: &str, kind| zone.lock().unwrap().answer(name, kind);
        if let Some(reply) = reply(&buffer[..length], answer) {
            let _ = socket.send_to(&reply, client);
        }
    }
}

/// The answer to a query. RFC 1035 section 4.
fn reply(query: &[u8], answer: impl Fn(&str, u16) -> Option<DnsAnswer>) -> Option<Vec<u8>> {
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
    let answer = answer(&name, wanted).unwrap_or_else(|| DnsAnswer::Addresses(vec![Ipv4Addr::LOCALHOST]));
    let (code, records) = match answer {
        DnsAnswer::Addresses(addresses) => {
            (0, addresses.iter().map(|address| (A, address.octets().into())).collect())
        }
        DnsAnswer::InTurn(_) => (0, Vec::new()),
        DnsAnswer::Texts(texts) => (0, texts.iter().map(|text| (TXT, text_data(text))).collect()),
        DnsAnswer::NoSuchName => (3, Vec::new()),
        DnsAnswer::ServerFailure => (2, Vec::new()),
        DnsAnswer::Silence => return None,
    };
    let records: Vec<(u16, Vec<u8>)> = records.into_iter().filter(|(kind, _)| *kind == wanted).collect();
    let count = u8::try_from(records.len()).ok()?;
    // A response, authoritative, recursion desired and available.
    let mut reply = vec![query[0], query[1], 0x85, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0];
    reply.extend_from_slice(question);
    for (kind, data) in records {
        // A pointer to the name in the question; the type, class IN, no time to live.
        reply.extend_from_slice(&[0xc0, 12]);
        reply.extend_from_slice(&kind.to_be_bytes());
        reply.extend_from_slice(&[0, 1, 0, 0, 0, 0]);
        reply.extend_from_slice(&u16::try_from(data.len()).ok()?.to_be_bytes());
        reply.extend_from_slice(&data);
    }
    Some(reply)
}

/// A text as one character-string. RFC 1035 section 3.3.14.
fn text_data(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).expect("a text of at most 255 octets");
    [&[length], text.as_bytes()].concat()
}
