//! `bundle`: who signed a model bundle and what is in it; keys, signing and packing; and the bundles installed on a cart.

mod installed;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Subcommand;

use crate::board::Board;
use crate::bundle::manifest::{COMPATIBLE, OperatingPoint, Sensitivity};
use crate::bundle::signature::{Keys, SecretKey, Signer, new_key};
use crate::bundle::{Bundle, SIGNATURE, Trust};
use crate::fault::Fault;
use crate::files::{self, signals};
use crate::store::{self, word};

/// The longest password, in bytes.
const LONGEST_PASSWORD: usize = 1024;

/// Verifies, shows, signs and packs model bundles, makes keys for it, and installs bundles on a cart.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Checks every file of a bundle and who signed it, as a cart does before it uses it.
    Verify {
        /// The bundle: a folder, or a packed file.
        bundle: PathBuf,
        /// A profile: its keys, what it takes, and the lowest rollback index.
        #[arg(long, value_name = "FILE", required_unless_present = "keys", conflicts_with = "keys")]
        board: Option<PathBuf>,
        /// A folder of public keys instead.
        #[arg(long, value_name = "DIR")]
        keys: Option<PathBuf>,
        /// Print JSON on standard output.
        #[arg(long)]
        json: bool,
    },
    /// Tells what a bundle says of itself, whoever signed it.
    Show {
        /// The bundle: a folder, or a packed file.
        bundle: PathBuf,
        /// Print JSON on standard output.
        #[arg(long)]
        json: bool,
    },
    /// Signs a bundle's manifest, which holds the digests of all its files.
    Sign {
        /// The bundle's folder.
        bundle: PathBuf,
        /// The secret key, as keygen or minisign makes it.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// A file whose first line is the key's password; asked for if not given.
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
        /// A word beside the signature, which covers it; the bundle's name and version if not given.
        #[arg(long, value_name = "TEXT")]
        comment: Option<String>,
    },
    /// Makes a key: NAME.pub for the carts, and NAME.key, protected by a password, which must never be on one.
    Keygen {
        /// Where to, without an ending.
        name: PathBuf,
        /// A file whose first line is the password; asked for if not given.
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Packs a bundle into one file that can be carried to a cart.
    Pack {
        /// The bundle's folder.
        bundle: PathBuf,
        /// The file; the bundle's name and version in the working directory if not given.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Replace a file that is there.
        #[arg(long)]
        force: bool,
    },
    #[command(flatten)]
    Installed(installed::Verb),
}

#[derive(serde::Serialize)]
struct BundleReport<'a> {
    schema: u32,
    name: &'a str,
    model_version: &'a str,
    rollback_index: u64,
    compatible: &'a str,
    digest: &'a str,
    /// None: `show` does not ask.
    key: Option<String>,
    is_development_key: Option<bool>,
    comment: Option<&'a str>,
    input: [usize; 4],
    golden_frames: usize,
    files: usize,
    model_bytes: usize,
    data: &'a [String],
    commit: &'a str,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    signals::end_cleanly()?;
    match &arguments.verb {
        Verb::Verify { bundle, board, keys, json } => {
            verify(bundle, board.as_deref(), keys.as_deref(), *json)
        }
        Verb::Show { bundle, json } => show(&Bundle::open(bundle)?, *json),
        Verb::Sign { bundle, key, password_file, comment } => {
            sign(bundle, key, password_file.as_deref(), comment.as_deref())
        }
        Verb::Keygen { name, password_file } => keygen(name, password_file.as_deref()),
        Verb::Pack { bundle, out, force } => pack(bundle, out.as_deref(), *force),
        Verb::Installed(verb) => installed::run(verb),
    }
}

fn verify(path: &Path, board: Option<&Path>, keys: Option<&Path>, json: bool) -> Result<()> {
    let trust = match (board, keys) {
        (Some(board), _) => store::trust(&Board::load(board)?)?,
        (None, Some(keys)) => {
            if !keys.is_dir() {
                return Err(Fault::usage(format!("--keys {}: it is not a folder", keys.display())));
            }
            Trust { keys: Keys::read(keys)?, compatible: COMPATIBLE.into(), lowest_rollback_index: 0 }
        }
        (None, None) => {
            return Err(Fault::usage("name a profile with --board, or a folder of keys with --keys"));
        }
    };
    show(&Bundle::open_trusted(path, &trust)?, json)
}

fn show(bundle: &Bundle, json: bool) -> Result<()> {
    let manifest = &bundle.manifest;
    let signer = bundle.signer.as_ref();
    let report = BundleReport {
        schema: 1,
        name: &manifest.name,
        model_version: &manifest.model_version,
        rollback_index: manifest.rollback_index,
        compatible: &manifest.compatible,
        digest: &bundle.digest,
        key: signer.map(|signer| signer.key.to_string()),
        is_development_key: signer.map(|signer| signer.is_development),
        comment: signer.map(|signer| signer.comment.as_str()),
        input: manifest.input.shape,
        golden_frames: manifest.golden.len(),
        files: manifest.files.len(),
        model_bytes: bundle.model().len(),
        data: &manifest.provenance.data,
        commit: &manifest.provenance.commit,
    };
    if json {
        say!("{}", serde_json::to_string_pretty(&report)?);
        return Ok(());
    }
    say!("model     {} {}, rollback index {}", report.name, report.model_version, report.rollback_index);
    say!("made for  {}", report.compatible);
    say!("digest    {}", report.digest);
    match signer {
        Some(Signer { comment, .. }) if comment.is_empty() => say!("signed    with {}", signer_text(signer)),
        Some(Signer { comment, .. }) => say!("signed    with {}: {comment}", signer_text(signer)),
        None => say!("signed    not asked; `polyp-edge bundle verify` says with which key"),
    }
    say!("input     {0} × {0} pixels; model {1} KiB", report.input[2], report.model_bytes >> 10);
    say!("files     {}, all as the manifest says; {} golden frames", report.files, report.golden_frames);
    let standard = OperatingPoint { decision: manifest.decision, gate: manifest.gate };
    let points = std::iter::once((Sensitivity::Standard, standard))
        .chain(manifest.sensitivity.iter().map(|(name, point)| (*name, *point)));
    for (name, OperatingPoint { decision, gate }) in points {
        say!(
            "{name:<9} a pixel from {}, a region with a peak of {}; shown once found in {} of {} frames",
            decision.threshold,
            decision.min_peak,
            gate.appear,
            gate.window
        );
    }
    say!("trained   on {}; by commit {}", report.data.join(", "), report.commit);
    Ok(())
}

fn signer_text(signer: Option<&Signer>) -> String {
    signer.map(Signer::to_string).unwrap_or_default()
}

fn sign(path: &Path, key: &Path, password: Option<&Path>, comment: Option<&str>) -> Result<()> {
    // What is signed is whole, and the digests in its manifest are those of its files.
    let bundle = Bundle::open(path)?;
    let signature = path.join(SIGNATURE);
    if !path.is_dir() {
        return Err(Fault::usage(format!(
            "{}: a packed bundle cannot be signed; sign its folder, then pack it",
            path.display()
        )));
    }
    let text = SecretKey::read(key)?;
    let key = text.unlock(&password_of(password, "password of the key: ")?)?;
    let usual = format!(
        "{} {}, rollback index {}",
        bundle.manifest.name, bundle.manifest.model_version, bundle.manifest.rollback_index
    );
    let comment = comment.unwrap_or(&usual);
    if comment.contains(char::is_control) {
        return Err(Fault::usage("--comment: it must be one line"));
    }
    let signed = key.sign(bundle.manifest_text(), comment)?;
    files::write_readable(&signature, |file| Ok(file.write_all(signed.as_bytes())?))?;
    say!("{}: signed with the key {}", path.display(), key.id());
    Ok(())
}

fn keygen(name: &Path, password: Option<&Path>) -> Result<()> {
    let with = |ending: &str| {
        let mut path = name.as_os_str().to_owned();
        path.push(ending);
        PathBuf::from(path)
    };
    let (public, secret) = (with(".pub"), with(".key"));
    for path in [&public, &secret] {
        if path.symlink_metadata().is_ok() {
            return Err(Fault::usage(format!("{}: it is there already", path.display())));
        }
    }
    let chosen = password_of(password, "password for the new key: ")?;
    if password.is_none() && chosen != password_of(None, "the same once more: ")? {
        return Err(Fault::usage("the passwords differ; nothing was written"));
    }
    let (id, public_text, secret_text) = new_key(&chosen)?;
    files::write_new(&secret, 0o600, secret_text.as_bytes())?;
    files::write_new(&public, 0o644, public_text.as_bytes())?;
    say!("key {id}");
    say!("{}: put it into the folder trust.keys of the carts' profiles", public.display());
    say!("{}: keep it, and its password, where no cart is; it cannot be made again", secret.display());
    Ok(())
}

fn pack(path: &Path, out: Option<&Path>, force: bool) -> Result<()> {
    let bundle = Bundle::open(path)?;
    let usual = PathBuf::from(format!(
        "{}-{}.polyp",
        word(&bundle.manifest.name),
        word(&bundle.manifest.model_version)
    ));
    let out = out.unwrap_or(&usual);
    if !force && out.symlink_metadata().is_ok() {
        return Err(Fault::usage(format!("{}: it is there already; --force replaces it", out.display())));
    }
    files::write_readable(out, |file| bundle.pack(file))?;
    say!("{}: {} KiB", out.display(), out.metadata().map_or(0, |file| file.len()) >> 10);
    Ok(())
}

/// The first line of a file, or what somebody types.
fn password_of(file: Option<&Path>, prompt: &str) -> Result<String> {
    let password = match file {
        Some(path) => {
            let failed =
                |error: std::io::Error| Fault::io(format!("cannot read {}: {error}", path.display()));
            let file = std::fs::File::open(path).map_err(failed)?;
            let mut line = String::new();
            BufReader::new(file.take(LONGEST_PASSWORD as u64 + 2)).read_line(&mut line).map_err(failed)?;
            line.trim_end_matches(['\r', '\n']).to_owned()
        }
        None => rpassword::prompt_password(prompt).map_err(|error| {
            Fault::usage(format!("the password cannot be asked for: {error}; give it with --password-file"))
        })?,
    };
    match password.len() {
        0 => Err(Fault::usage("the password is empty")),
        length if length > LONGEST_PASSWORD => {
            Err(Fault::usage(format!("the password is longer than {LONGEST_PASSWORD} bytes")))
        }
        _ => Ok(password),
    }
}
