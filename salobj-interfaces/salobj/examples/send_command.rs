//! Sends one command and shows its acknowledgements: `send_command Test:1 setScalars int0=5 string0=hello`.
#![expect(clippy::print_stdout, reason = "printing is what this program is for")]

use std::sync::Arc;

use sal_idl::{Library, SalType};
use salobj::transport::kafka::{KafkaOptions, KafkaTransport};
use salobj::{Clock, Domain, Env, Remote, RemoteOptions, Value};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let usage = "usage: send_command Name[:index] COMMAND [FIELD=VALUE ...]";
    let (target, command) = (args.next().ok_or(usage)?, args.next().ok_or(usage)?);
    let (name, index) = target.split_once(':').unwrap_or((&target, "0"));
    let component = Library::embedded().component(name)?;
    let topic =
        component.topic(&format!("cmd_{command}")).ok_or(format!("{name} has no command {command}"))?;
    let pairs: Vec<String> = args.collect();
    let mut fields: Vec<(&str, Value)> = Vec::new();
    for pair in &pairs {
        let (field, text) = pair.split_once('=').ok_or(usage)?;
        let value = match topic.field(field).map(|f| f.sal_type) {
            None => return Err(format!("{command} has no field {field}").into()),
            Some(SalType::String) => text.into(),
            Some(SalType::Boolean) => text.parse::<bool>()?.into(),
            Some(SalType::Float | SalType::Double) => text.parse::<f64>()?.into(),
            Some(_) => text.parse::<i64>()?.into(),
        };
        fields.push((field, value));
    }

    let env = Env::from_process()?;
    let transport = Arc::new(KafkaTransport::new(&env, KafkaOptions::default())?);
    let domain = Domain::new(transport, Clock::System, env);
    let none: [&str; 0] = [];
    let remote =
        Remote::open(&domain, component.clone(), index.parse()?, RemoteOptions::include(none)).await?;
    let mut tracked = remote.command(&command)?.start_tracked(&fields).await?;
    let mut failed = false;
    while let Some(ack) = tracked.next().await {
        println!("{ack}");
        failed = ack.ack.is_failure();
    }
    remote.close().await;
    if failed { Err("the command failed".into()) } else { Ok(()) }
}
