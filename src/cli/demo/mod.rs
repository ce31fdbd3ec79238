//! `catcher demo`: a simulated observatory, the Catcher, and everything around it, on a clock that runs faster.
//!
//! ```text
//!  scenario ─► Observatory (ESS, ATCamera, ATMCS) ─► bus ─► Catcher ─► OCPS (simulated), EFD (simulated or real), reports
//!                                                     └──► Remote ─► story ─► lines in colour, or one JSON summary
//! ```
//!
//! The rules are the shipped ones, byte for byte; the only inputs are simulated messages. Embedded by default; with
//! `--broker`, `--registry` and `--efd` the same is played on real servers.

mod stage;
mod story;
mod summary;
mod view;

use std::process::ExitCode;
use std::time::Duration;

use futures::StreamExt;
use salobj::Tai;

use stage::Stage;
use story::Story;
use view::View;

/// Events of the Catcher that tell the story.
const TOPICS: [&str; 6] = ["summaryState", "rule", "task", "result", "alarm", "summary"];

/// How long after the end of the scenario the last runs may take, on the demo clock.
const EPILOGUE: Duration = Duration::from_secs(900);

/// Arguments of `catcher demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  catcher demo                   the night, to look at
  catcher demo --once --json     to its end without anybody; exit code 0 only if everything happened
  catcher demo --calm --once     a calm night with short exposures: nothing is noticed
  catcher demo --broker 127.0.0.1:9092 --registry http://127.0.0.1:8081 --efd http://127.0.0.1:8086 --once")]
pub(super) struct Args {
    /// Play the night once and end.
    #[arg(long)]
    once: bool,
    /// Print one JSON summary at the end, and nothing else.
    #[arg(long, requires = "once")]
    json: bool,
    /// Seconds of the observatory for one real second.
    #[arg(long, default_value_t = 120.0, value_parser = speed)]
    speed: f64,
    /// A calm night with exposures of at most 1 s.
    #[arg(long)]
    calm: bool,
    /// A real Kafka broker, `host:port`, instead of the embedded one.
    #[arg(long, requires = "registry")]
    broker: Option<String>,
    /// The schema registry of that broker.
    #[arg(long, requires = "broker")]
    registry: Option<String>,
    /// A real EFD instead of the embedded one: a YAML file with an `efd` configuration (see config_schema/Catcher.yaml),
    /// or the address of an InfluxDB 2 (then INFLUX_ORG, INFLUX_BUCKET and INFLUX_TOKEN say the rest).
    #[arg(long)]
    efd: Option<String>,
    /// Keep reports and journal here; without it they are removed at the end.
    #[arg(long)]
    data_dir: Option<std::path::PathBuf>,
    /// Record everything that the rules are told into this file, for `catcher replay --exact`.
    #[arg(long, value_name = "FILE")]
    record: Option<std::path::PathBuf>,
}

fn speed(text: &str) -> Result<f64, String> {
    let speed: f64 = text.parse().map_err(|_| format!("'{text}' is not a number"))?;
    if (1.0..=600.0).contains(&speed) { Ok(speed) } else { Err("between 1 and 600".to_owned()) }
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    crate::telemetry::init(
        if args.json { "error" } else { "warn,salobj::csc::configure=error" },
        salobj::log::layer(),
    );
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(play(args))
}

async fn play(args: Args) -> anyhow::Result<ExitCode> {
    let stage = Stage::set(&args).await?;
    let mut view = View::new(stage.start, args.json);
    view.title(&stage);
    let mut story = Story::default();
    let result = follow(&args, &stage, &mut story, &mut view).await;
    let summary = summary::of(&stage, &story, args.calm).await;
    view.end(&summary, args.json)?;
    stage.close().await;
    result?;
    Ok(if summary.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Plays the scenario and listens; ends when all has been told, or when somebody presses Ctrl-C.
async fn follow(args: &Args, stage: &Stage, story: &mut Story, view: &mut View) -> anyhow::Result<()> {
    let streams = TOPICS.map(|topic| {
        let reader = stage.remote.event(topic).expect("the topics are those of the interface");
        reader.stream().map(move |sample| (topic, sample)).boxed()
    });
    let mut events = futures::stream::select_all(streams);
    let mut play = std::pin::pin!(stage.observatory.play());
    let mut over: Option<Tai> = None;
    loop {
        let limit = over.unwrap_or(Tai(f64::MAX));
        tokio::select! {
            Some((topic, sample)) = events.next() => {
                if let Some(line) = story.event(topic, &sample) {
                    view.line(&line);
                }
            }
            played = &mut play, if over.is_none() => {
                played?;
                over = Some(stage.clock.now() + EPILOGUE);
            }
            () = stage.clock.sleep_until(limit), if over.is_some() => return Ok(()),
            interrupted = tokio::signal::ctrl_c() => return Ok(interrupted?),
        }
        if over.is_some() && story.idle() && summary::told(story, args.calm) {
            return Ok(());
        }
    }
}
