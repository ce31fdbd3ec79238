//! Prints samples as they come: `listen Test:1 [TOPIC ...]`; index 0 (or none) listens to all instances, no topic to all
//! events and telemetry.
#![expect(clippy::print_stdout, reason = "printing is what this program is for")]

use std::sync::Arc;

use futures::StreamExt as _;
use sal_idl::{Library, TopicKind};
use salobj::transport::kafka::{KafkaOptions, KafkaTransport};
use salobj::{Clock, Domain, Env, Remote, RemoteOptions};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let target = args.next().ok_or("usage: listen Name[:index] [TOPIC ...]")?;
    let (name, index) = target.split_once(':').unwrap_or((&target, "0"));
    let topics: Vec<String> = args.collect();

    let env = Env::from_process()?;
    let transport = Arc::new(KafkaTransport::new(&env, KafkaOptions::default())?);
    let domain = Domain::new(transport, Clock::System, env);
    let component = Library::embedded().component(name)?;
    let options = if topics.is_empty() { RemoteOptions::default() } else { RemoteOptions::include(topics) };
    let remote = Remote::open(&domain, component.clone(), index.parse()?, options.readonly()).await?;

    let mut streams = Vec::new();
    for topic in &component.topics {
        let reader = match topic.kind {
            TopicKind::Event => remote.event(topic.short_name()),
            TopicKind::Telemetry => remote.telemetry(topic.short_name()),
            TopicKind::Command | TopicKind::AckCmd => continue,
        };
        if let Ok(reader) = reader {
            streams.push(reader.stream().boxed());
        }
    }
    let mut all = futures::stream::select_all(streams);
    while let Some(sample) = all.next().await {
        print!("{} {}:{} {}", sample.sent().utc_iso(), name, sample.sal_index(), sample.topic.attr_name());
        for (field, value) in sample.public_fields() {
            print!(" {field}={value:?}");
        }
        println!();
    }
    Ok(())
}
