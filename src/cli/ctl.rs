//! `ctl`: orders to a program that runs.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::bundle::manifest::Sensitivity;
use crate::control::order::{Answer, Order, Record, Switch};
use crate::control::{client, order};
use crate::fault::Fault;

/// Gives an order to the polyp-edge that runs on this machine, by the socket that `control.socket` in its profile names.
///
/// Whoever may write to the socket may give orders: the service's user, and members of the group polyp-edge.
#[derive(clap::Args)]
pub struct Arguments {
    /// The socket.
    #[arg(long, value_name = "PATH", default_value = client::USUAL, global = true)]
    socket: PathBuf,
    /// Print the answer as JSON on standard output.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Switch outlines off or on, from the next frame on. While they are off, the monitor says so.
    Outlines {
        /// What they are to be.
        #[arg(value_enum)]
        to: Switch,
    },
    /// Change how readily polyps are marked, until the profile is reloaded. The model card has what each point costs.
    Sensitivity {
        /// The point of the bundle's operating curve.
        #[arg(value_enum)]
        to: Sensitivity,
    },
    /// Take pictures from another source that the profile names, until the profile is reloaded.
    Input {
        /// The source's name, or next.
        to: String,
    },
    /// Put a mark into the audit trail, to find this moment again.
    Mark {
        /// What to call it, one line.
        text: String,
    },
    /// Keep a picture with what is drawn on it, where study.folder in the profile says.
    Snapshot,
    /// Record what is shown, as recording in the profile says, where study.folder does.
    Record {
        /// What is to become of the recording.
        #[arg(value_enum)]
        to: Record,
    },
    /// Tell what the program is doing.
    Status,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let order = match &arguments.what {
        What::Outlines { to } => Order::Outlines { to: *to },
        What::Sensitivity { to } => Order::Sensitivity { to: *to },
        What::Input { to } => Order::Input { to: to.clone() },
        What::Mark { text } => Order::Mark { text: text.clone() },
        What::Snapshot => Order::Snapshot,
        What::Record { to } => Order::Record { to: *to },
        What::Status => Order::Status,
    };
    // What the program would refuse is a mistake in the arguments.
    order::parse(&serde_json::to_vec(&order)?).map_err(Fault::usage)?;
    let answer = client::ask(&arguments.socket, &order)?;
    if arguments.json {
        say!("{}", serde_json::to_string_pretty(&answer)?);
    }
    if !answer.ok {
        let why = answer.error.as_deref().unwrap_or("the program does not say why");
        return Err(Fault::device(format!("the order was not carried out: {why}")));
    }
    if !arguments.json {
        tell(&arguments.what, &answer)?;
    }
    Ok(())
}

fn tell(what: &What, answer: &Answer) -> Result<()> {
    let outlines = match answer.outlines {
        Some(Switch::Off) => "off",
        _ => "on",
    };
    match what {
        What::Outlines { .. } => say!("outlines are {outlines}"),
        What::Sensitivity { to } => say!("the sensitivity is {to}"),
        What::Input { .. } => {
            say!("pictures come from the source {}", answer.input.as_deref().unwrap_or("that was asked for"));
        }
        What::Mark { .. } => say!("marked"),
        What::Snapshot => {
            say!("kept in {}", answer.kept.as_deref().unwrap_or(Path::new("the study's folder")).display());
        }
        What::Record { to: Record::Last } => say!("the last seconds are being written"),
        What::Record { .. } => match answer.recording {
            Some(Switch::On) => say!("recording"),
            _ => say!("not recording"),
        },
        What::Status => {
            let state = answer.state.clone().unwrap_or_default();
            let text =
                |key: &str| state.get(key).and_then(|value| value.as_str()).unwrap_or("not known").to_owned();
            let reason = state.get("reason").and_then(|reason| reason.as_str());
            say!(
                "state     {}{}",
                text("state"),
                reason.map_or(String::new(), |reason| format!(": {reason}"))
            );
            say!("outlines  {outlines}, sensitivity {}", answer.sensitivity.unwrap_or_default());
            let model = state.get("model").filter(|model| !model.is_null());
            let of_model = |key: &str| {
                model
                    .and_then(|model| model.get(key))
                    .and_then(|value| value.as_str())
                    .unwrap_or("none yet")
                    .to_owned()
            };
            if let Some(recording) = state.get("recording").filter(|recording| recording["state"] != "none") {
                let text = |key: &str| recording.get(key).and_then(|value| value.as_str());
                let more = text("why").or(text("folder")).map_or(String::new(), |more| format!(": {more}"));
                say!("recording {}{more}", text("state").unwrap_or("not known"));
            }
            say!("model     {} {}", of_model("name"), of_model("version"));
            let input = answer.input.as_deref().map_or(String::new(), |input| format!("{input}: "));
            say!("source    {input}{}", text("feed"));
            say!("display   {}", text("display"));
        }
    }
    Ok(())
}
