//! librdkafka's mock broker on a thread of its own (its handle cannot move between threads).

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use rdkafka::mocking::MockCluster;
use salobj::transport::TransportError;

/// The only broker's id.
const BROKER: i32 = 1;

type Reply = Sender<Result<(), String>>;

enum Order {
    CreateTopic(String, i32, Reply),
    SetDown(bool, Reply),
    Stop,
}

/// A Kafka broker in this process, on a port of the loopback interface. It ends when this is dropped.
pub struct MockBroker {
    address: String,
    orders: Mutex<Sender<Order>>,
    thread: Option<JoinHandle<()>>,
}

impl MockBroker {
    /// Starts a broker without topics.
    pub fn start() -> Result<MockBroker, TransportError> {
        let failed = |reason: String| TransportError::unavailable("start the mock broker", reason);
        let (orders, inbox) = channel();
        let (ready, address) = channel();
        let thread = std::thread::Builder::new()
            .name("mock broker".to_owned())
            .spawn(move || match MockCluster::new(1) {
                Ok(cluster) => {
                    if ready.send(Ok(cluster.bootstrap_servers())).is_ok() {
                        obey(&cluster, &inbox);
                    }
                }
                // The other side has gone if this fails.
                Err(error) => drop(ready.send(Err(error.to_string()))),
            })
            .map_err(|e| failed(e.to_string()))?;
        let address = address.recv().map_err(|e| failed(e.to_string()))?.map_err(failed)?;
        Ok(MockBroker { address, orders: Mutex::new(orders), thread: Some(thread) })
    }

    /// `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Makes a topic with so many partitions; one that exists stays as it is.
    pub fn create_topic(&self, name: &str, partitions: i32) -> Result<(), TransportError> {
        self.order(format!("create topic {name}"), |reply| {
            Order::CreateTopic(name.to_owned(), partitions, reply)
        })
    }

    /// Takes the broker away from its clients, or brings it back with everything that it had.
    pub fn set_down(&self, down: bool) -> Result<(), TransportError> {
        self.order("stop or start the mock broker".to_owned(), |reply| Order::SetDown(down, reply))
    }

    fn order(&self, attempt: String, order: impl FnOnce(Reply) -> Order) -> Result<(), TransportError> {
        let (reply, answer) = channel();
        let gone = || TransportError::unavailable(attempt.clone(), "the mock broker has stopped");
        self.orders.lock().map_err(|_| gone())?.send(order(reply)).map_err(|_| gone())?;
        answer.recv().map_err(|_| gone())?.map_err(|reason| TransportError::refused(attempt.clone(), reason))
    }
}

impl Drop for MockBroker {
    fn drop(&mut self) {
        if let Ok(orders) = self.orders.lock() {
            // It may have ended by itself.
            drop(orders.send(Order::Stop));
        }
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn obey<C: rdkafka::client::ClientContext>(cluster: &MockCluster<'_, C>, inbox: &Receiver<Order>) {
    let mut topics = std::collections::BTreeSet::new();
    for order in inbox {
        let (result, reply) = match order {
            Order::Stop => return,
            Order::CreateTopic(name, partitions, reply) => {
                let new = topics.insert(name.clone());
                (if new { cluster.create_topic(&name, partitions, 1) } else { Ok(()) }, reply)
            }
            Order::SetDown(true, reply) => (cluster.broker_down(BROKER), reply),
            Order::SetDown(false, reply) => (cluster.broker_up(BROKER), reply),
        };
        // Whoever asked may have gone.
        drop(reply.send(result.map_err(|e| e.to_string())));
    }
}
