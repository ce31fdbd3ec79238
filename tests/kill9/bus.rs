//! The bus of a test: a real broker (`CATCHER_TEST_KAFKA_BROKER`), or the mock broker of this process.
//!
//! The mock makes topics only by its handle, so the process that is killed asks for them at a door: a port that takes a name
//! and answers when the topic is there.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};

use salobj::transport::TopicSpec;
use salobj::transport::{Transport as _, TransportError};
use salobj::{Clock, Domain};
use salobj_testbed::Testbed;

/// A broker and a registry.
pub(crate) struct Bus {
    bed: Testbed,
    door: Option<SocketAddr>,
}

impl Bus {
    /// The real one, or else the mock.
    pub(crate) async fn start() -> Bus {
        let bed = Testbed::for_tests().await.expect("the servers of the environment answer");
        let door = bed.broker().is_some().then(|| open_door(&bed));
        Bus { bed, door }
    }

    /// Where the killed process asks for topics, if it is to run on the mock broker.
    pub(crate) fn door(&self) -> Option<SocketAddr> {
        self.door
    }

    /// The test bed.
    pub(crate) fn bed(&self) -> &Testbed {
        &self.bed
    }

    /// A participant of this process; `origin` tells it from the others, and is no process id of a child.
    pub(crate) fn domain(&self, origin: i64) -> Domain {
        Domain::with_origin(self.bed.transport(), Clock::System, self.bed.env().clone(), origin)
    }

    /// Environment of the killed process.
    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        [
            ("LSST_TOPIC_SUBNAME", self.bed.env().topic_subname.as_str()),
            ("LSST_KAFKA_BROKER_ADDR", self.bed.broker_address()),
            ("LSST_SCHEMA_REGISTRY_URL", self.bed.registry_url()),
            ("LSST_SITE", "test"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }
}

/// Takes one name after the other for as long as this process lives.
fn open_door(bed: &Testbed) -> SocketAddr {
    let door = TcpListener::bind(("127.0.0.1", 0)).expect("there is a port");
    let address = door.local_addr().expect("it has an address");
    let (transport, runtime) = (bed.transport(), tokio::runtime::Handle::current());
    std::thread::spawn(move || {
        for stream in door.incoming().flatten() {
            let mut name = String::new();
            if BufReader::new(&stream).read_line(&mut name).is_err() {
                continue;
            }
            let spec = TopicSpec { name: name.trim().to_owned(), compacted: false };
            let made = runtime.block_on(transport.create_topics(&[spec]));
            // The other side may have been killed meanwhile.
            drop((&stream).write_all(if made.is_ok() { b"made\n" } else { b"refused\n" }));
        }
    });
    address
}

/// Asks at the door for a topic.
pub(crate) fn ask(door: SocketAddr, topic: &TopicSpec) -> Result<(), TransportError> {
    let failed = |reason: String| TransportError::unavailable(format!("make topic {}", topic.name), reason);
    let asked = || -> std::io::Result<String> {
        let stream = TcpStream::connect(door)?;
        (&stream).write_all(format!("{}\n", topic.name).as_bytes())?;
        let mut answer = String::new();
        BufReader::new(&stream).read_line(&mut answer)?;
        Ok(answer)
    };
    match asked() {
        Ok(answer) if answer == "made\n" => Ok(()),
        Ok(answer) => Err(failed(answer)),
        Err(e) => Err(failed(e.to_string())),
    }
}
