//! A name server that can lie. RFC 1035.

use std::{
    collections::HashMap,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::{Arc, Mutex},
    thread,
};

const A: u16 = 1;
const CNAME: u16 = 5;
const TXT: u16 = 16;
const CAA: u16 = 257;

/// A name server at a port of the loopback, over UDP and TCP, that runs until the test process ends. Unless told
/// otherwise, every name has the address 127.0.0.1 and nothing else.
pub(crate) struct NameServer {
    address: SocketAddr,
    lies: Arc<Mutex<HashMap<String, Lie>>>,
}

/// What is sent when a name is asked for: none or several messages, the last of them over TCP.
#[derive(Clone)]
pub(crate) struct Lie(Arc<dyn Messages>);

trait Messages: Send + Sync {
    fn about(&self, query: &Query) -> Vec<Message>;
}

impl<F: Fn(&Query) -> Vec<Message> + Send + Sync> Messages for F {
    fn about(&self, query: &Query) -> Vec<Message> {
        self(query)
    }
}

/// A message, and whether it comes from another port than it should.
pub(crate) struct Message {
    bytes: Vec<u8>,
    from_elsewhere: bool,
}

/// What was asked.
pub(crate) struct Query {
    id: u16,
    /// The name as it was written, its case included, and the type and class.
    question: Vec<u8>,
    /// In lower case.
    name: String,
    kind: u16,
    pub(crate) is_udp: bool,
}

/// A record with its owner.
#[derive(Clone)]
pub(crate) struct Record {
    owner: String,
    kind: u16,
    data: Vec<u8>,
}

impl Record {
    pub(crate) fn text(owner: &str, text: &str) -> Self {
        let length = u8::try_from(text.len()).expect("at most 255 octets");
        Self { owner: owner.into(), kind: TXT, data: [&[length], text.as_bytes()].concat() }
    }

    /// A CAA record with these flags. RFC 8659 section 4.1.
    pub(crate) fn caa(owner: &str, flags: u8, tag: &str, value: &str) -> Self {
        let length = u8::try_from(tag.len()).expect("a short tag");
        let data = [&[flags, length], tag.as_bytes(), value.as_bytes()].concat();
        Self { owner: owner.into(), kind: CAA, data }
    }

    pub(crate) fn alias(owner: &str, target: &str) -> Self {
        Self { owner: owner.into(), kind: CNAME, data: labels(target) }
    }
}

impl Lie {
    pub(crate) fn of(lie: impl Fn(&Query) -> Vec<Message> + Send + Sync + 'static) -> Self {
        Self(Arc::new(lie))
    }

    /// These records, over TCP if they do not fit.
    pub(crate) fn records(records: Vec<Record>) -> Self {
        Self::of(move |query| vec![query.answer(&records)])
    }

    /// One text.
    pub(crate) fn text(owner: &str, text: &str) -> Self {
        Self::records(vec![Record::text(owner, text)])
    }

    /// These records of other types than addresses, beside the address that every name has.
    pub(crate) fn beside_address(records: Vec<Record>) -> Self {
        Self::of(move |query| {
            let wanted: Vec<_> = records.iter().filter(|record| record.kind == query.kind).cloned().collect();
            vec![query.answer(&[truth(query), wanted].concat())]
        })
    }

    /// This, where CAA records are asked for; else what every name has.
    pub(crate) fn about_caa(self) -> Self {
        Self::of(
            move |query| {
                if query.kind == CAA { self.0.about(query) } else { vec![query.answer(&truth(query))] }
            },
        )
    }

    /// Nothing but this code.
    pub(crate) fn code(code: u8) -> Self {
        Self::of(move |query| vec![query.message(query.id, &query.question, code, false, &[])])
    }
}

impl Query {
    /// The genuine answer with these records.
    pub(crate) fn answer(&self, records: &[Record]) -> Message {
        self.forged(self.id, &self.question, records)
    }

    /// An answer with another id.
    pub(crate) fn answer_to_another_query(&self, records: &[Record]) -> Message {
        self.forged(self.id.wrapping_add(1), &self.question, records)
    }

    /// An answer to another question.
    pub(crate) fn answer_about(&self, name: &str, records: &[Record]) -> Message {
        let rest = &self.question[self.question.len() - 4..];
        self.forged(self.id, &[&labels(name), rest].concat(), records)
    }

    /// An answer that does not keep the case of the question.
    pub(crate) fn answer_in_lower_case(&self, records: &[Record]) -> Message {
        self.answer_about(&self.name, records)
    }

    fn forged(&self, id: u16, question: &[u8], records: &[Record]) -> Message {
        let whole = self.message(id, question, 0, false, records);
        // What every implementation takes over UDP.
        if self.is_udp && whole.bytes.len() > 1200 { self.message(id, question, 0, true, &[]) } else { whole }
    }

    fn message(&self, id: u16, question: &[u8], code: u8, truncated: bool, records: &[Record]) -> Message {
        let count = u16::try_from(records.len()).expect("few records").to_be_bytes();
        // A response, authoritative, recursion desired and available.
        let flags = [0x85 | (u8::from(truncated) << 1), 0x80 | code];
        let mut bytes = [&id.to_be_bytes()[..], &flags, &[0, 1], &count, &[0; 4], question].concat();
        for Record { owner, kind, data } in records {
            if *owner == self.name {
                bytes.extend([0xc0, 12]); // the name in the question
            } else {
                bytes.extend(labels(owner));
            }
            bytes.extend(kind.to_be_bytes());
            bytes.extend([0, 1, 0, 0, 0, 0]); // class IN, no time to live
            bytes.extend(u16::try_from(data.len()).expect("short data").to_be_bytes());
            bytes.extend(data);
        }
        Message { bytes, from_elsewhere: false }
    }
}

impl Message {
    /// The same, from another port.
    pub(crate) fn sent_from_elsewhere(self) -> Self {
        Self { from_elsewhere: true, ..self }
    }
}

impl NameServer {
    pub(crate) fn start() -> Self {
        let (udp, tcp) = bind();
        let address = udp.local_addr().expect("an address");
        let lies = Arc::<Mutex<HashMap<String, Lie>>>::default();
        let (over_udp, over_tcp) = (lies.clone(), lies.clone());
        thread::spawn(move || serve_udp(&udp, &over_udp));
        thread::spawn(move || {
            for stream in tcp.incoming().flatten() {
                let lies = over_tcp.clone();
                thread::spawn(move || serve_tcp(stream, &lies));
            }
        });
        Self { address, lies }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers questions about this name so.
    pub(crate) fn answer(&self, name: &str, lie: Lie) {
        self.lies.lock().unwrap().insert(name.to_owned(), lie);
    }
}

/// The same port over both protocols, which takes a try or two if others are busy taking ports.
fn bind() -> (UdpSocket, TcpListener) {
    loop {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().expect("an address")) {
            return (udp, tcp);
        }
    }
}

fn serve_udp(socket: &UdpSocket, lies: &Mutex<HashMap<String, Lie>>) {
    let elsewhere = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let mut buffer = [0; 1500];
    while let Ok((length, client)) = socket.recv_from(&mut buffer) {
        for message in answers(&buffer[..length], true, lies) {
            let socket = if message.from_elsewhere { &elsewhere } else { socket };
            let _ = socket.send_to(&message.bytes, client);
        }
    }
}

fn serve_tcp(mut stream: TcpStream, lies: &Mutex<HashMap<String, Lie>>) {
    let mut length = [0; 2];
    while stream.read_exact(&mut length).is_ok() {
        let mut query = vec![0; u16::from_be_bytes(length).into()];
        let Ok(()) = stream.read_exact(&mut query) else { return };
        if let Some(Message { bytes, .. }) = answers(&query, false, lies).pop() {
            let length = u16::try_from(bytes.len()).expect("a message of at most 64 KiB").to_be_bytes();
            let _ = stream.write_all(&[&length[..], &bytes].concat());
        }
    }
}

fn answers(query: &[u8], is_udp: bool, lies: &Mutex<HashMap<String, Lie>>) -> Vec<Message> {
    let Some(query) = read(query, is_udp) else { return Vec::new() };
    let lie = lies.lock().unwrap().get(&query.name).cloned();
    lie.map_or_else(|| vec![query.answer(&truth(&query))], |lie| lie.0.about(&query))
}

fn truth(query: &Query) -> Vec<Record> {
    let address = Record { owner: query.name.clone(), kind: A, data: Ipv4Addr::LOCALHOST.octets().into() };
    if query.kind == A { vec![address] } else { Vec::new() }
}

fn read(query: &[u8], is_udp: bool) -> Option<Query> {
    let mut at = 12;
    let mut name = Vec::new();
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        name.push(String::from_utf8_lossy(query.get(at..at + length)?).to_ascii_lowercase());
        at += length;
    }
    Some(Query {
        id: u16::from_be_bytes([query[0], query[1]]),
        question: query.get(12..at + 4)?.to_vec(),
        name: name.join("."),
        kind: u16::from_be_bytes([query[at], query[at + 1]]),
        is_udp,
    })
}

fn labels(name: &str) -> Vec<u8> {
    let label =
        |label: &str| [&[u8::try_from(label.len()).expect("a short label")], label.as_bytes()].concat();
    name.split('.').map(label).chain([vec![0]]).flatten().collect()
}
