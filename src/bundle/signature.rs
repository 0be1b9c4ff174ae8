//! Signatures of manifests, in minisign's format: Ed25519 over a BLAKE2b-512 digest of the file, and a second one over the
//! first and its trusted comment. `minisign -Vm manifest.toml -x manifest.toml.sig -p KEY.pub` checks the same.

use std::fmt;
use std::fs::File;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use anyhow::Result;
use minisign::{KeyPair, PublicKey, PublicKeyBox, SecretKeyBox, SignatureBox};

use super::folder::Folder;
use crate::fault::{Exit, Fault};
use crate::panics;

/// The largest file of a key or a signature, in bytes.
pub const LARGEST: u64 = 4096;
/// The most keys that a folder may hold.
const MOST_KEYS: usize = 64;
/// What a public key's file name ends with.
const EXTENSION: &str = ".pub";

/// The key that the shipped bundles are signed with. Everybody has its secret half: it proves nothing but that a file is
/// whole.
const DEVELOPMENT: &str = include_str!("../../keys/development.pub");

/// Eight bytes that tell keys apart, chosen at random when a key is made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 8]);

impl KeyId {
    fn of(number: &[u8]) -> KeyId {
        let mut id = [0; 8];
        for (to, from) in id.iter_mut().zip(number) {
            *to = *from;
        }
        KeyId(id)
    }
}

/// As minisign prints it: 16 hexadecimal digits.
impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016X}", u64::from_le_bytes(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A public key.
#[derive(Clone, Debug)]
struct Key {
    id: KeyId,
    public: PublicKey,
    is_development: bool,
}

impl Key {
    /// `None` if the text is not a public key as minisign writes it.
    fn parse(text: &str) -> Option<Key> {
        let public = PublicKeyBox::from_string(text).ok()?.into_public_key().ok()?;
        // minisign does not look at the algorithm.
        public.to_bytes().starts_with(b"Ed").then(|| Key {
            id: KeyId::of(public.keynum()),
            public,
            is_development: false,
        })
    }

    fn development() -> Option<Key> {
        Key::parse(DEVELOPMENT).map(|key| Key { is_development: true, ..key })
    }
}

/// Public keys whose signatures are accepted.
#[derive(Clone, Debug, Default)]
pub struct Keys(Vec<Key>);

/// Who signed a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// The key.
    pub key: KeyId,
    /// It is the development key, whose secret half everybody has.
    pub is_development: bool,
    /// What the signer wrote beside the signature, which covers it.
    pub comment: String,
}

impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_development {
            write!(f, "the development key {}, which everybody has", self.key)
        } else {
            write!(f, "the key {}", self.key)
        }
    }
}

impl Keys {
    /// The public keys (`*.pub`) in a folder; none if there is no such folder. The development key is never taken from one.
    ///
    /// # Errors
    /// 78 if one is not a public key, or if there are too many; 74 if one cannot be read.
    pub fn read(folder: &Path) -> Result<Keys> {
        let mut keys = Keys::default();
        if !folder.try_exists().map_err(|error| {
            Fault::io(format!("cannot read the folder of trusted keys {}: {error}", folder.display()))
        })? {
            return Ok(keys);
        }
        // By the key itself: its eight bytes of a name can be any.
        let development = Key::development().map(|key| key.public);
        for name in names(folder)? {
            let path = folder.join(&name);
            let wrong = |what: &str| Fault::configuration(format!("{}: {what}", path.display()));
            let file = Folder::open(folder)?.file(&name)?;
            let Some(file) = file else { continue };
            let text = String::from_utf8(file.read(LARGEST)?).ok();
            let key = text.as_deref().and_then(|text| panics::caught(|| Key::parse(text)).flatten());
            let key = key.ok_or_else(|| {
                wrong("it is not a public key as minisign or polyp-edge bundle keygen writes it")
            })?;
            if development.as_ref() == Some(&key.public) {
                return Err(wrong(
                    "it is the development key, whose secret half everybody has; remove it from the trusted keys",
                ));
            }
            keys.0.push(key);
        }
        Ok(keys)
    }

    /// These, and the development key.
    #[must_use]
    pub fn with_development(mut self) -> Keys {
        self.0.extend(Key::development());
        self
    }

    /// The keys' names.
    pub fn ids(&self) -> impl Iterator<Item = KeyId> {
        self.0.iter().map(|key| key.id)
    }

    /// Who signed these bytes.
    ///
    /// # Errors
    /// 76 if none of the keys did, or if the signature is not one.
    pub fn verify(&self, signed: &[u8], signature: &[u8]) -> Result<Signer> {
        let Some(signature) = parse(signature) else {
            return Err(Fault::new(Exit::Signature, "the signature is not one that minisign writes"));
        };
        let id = KeyId::of(signature.keynum());
        let with_this_id: Vec<&Key> = self.0.iter().filter(|key| key.id == id).collect();
        if with_this_id.is_empty() {
            let known: Vec<String> = self.ids().map(|id| id.to_string()).collect();
            let known = match known.as_slice() {
                [] => "no key is trusted; put its public half into the folder that trust.keys of the profile names".into(),
                known => format!("trusted are {}", known.join(", ")),
            };
            let what = match Key::development() {
                Some(key) if key.id == id => {
                    "it is signed with the development key, which proves nothing and which this profile does not accept"
                        .into()
                }
                _ => format!("it is signed with the key {id}, which is not trusted here: {known}"),
            };
            return Err(Fault::new(Exit::Signature, what));
        }
        // Anybody may choose a key's eight bytes: two keys may have the same.
        let signer = with_this_id.into_iter().find(|key| {
            let holds = || minisign::verify(&key.public, &signature, Cursor::new(signed), true, false, false);
            panics::caught(holds).is_some_and(|outcome| outcome.is_ok())
        });
        match (signer, signature.trusted_comment()) {
            (Some(key), Ok(comment)) => Ok(Signer {
                key: key.id,
                is_development: key.is_development,
                comment: comment.replace(char::is_control, " "),
            }),
            _ => Err(Fault::new(
                Exit::Signature,
                format!(
                    "the signature with the key {id} does not fit it: it was changed after it was signed"
                ),
            )),
        }
    }
}

/// The names of the public keys in a folder, sorted.
fn names(folder: &Path) -> Result<Vec<String>> {
    let failed = |error: std::io::Error| {
        Fault::io(format!("cannot read the folder of trusted keys {}: {error}", folder.display()))
    };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let Some(name) = name.to_str().filter(|name| name.ends_with(EXTENSION)) else { continue };
        if names.len() == MOST_KEYS {
            return Err(Fault::configuration(format!(
                "{}: it holds more than {MOST_KEYS} public keys",
                folder.display()
            )));
        }
        names.push(name.to_owned());
    }
    names.sort();
    Ok(names)
}

/// `None` if it is not exactly what minisign writes: two comments, and two signatures of their full length.
fn parse(signature: &[u8]) -> Option<SignatureBox> {
    let text = std::str::from_utf8(signature).ok()?;
    let lines: Vec<&str> = text.trim_end().lines().collect();
    let &[_, signature, _, global] = lines.as_slice() else { return None };
    // Base64 of 2 + 8 + 64 and of 64 bytes: the library reads both as far as it needs them, without looking at their lengths.
    let is_whole = |line: &str, length, padding: &str| {
        line.len() == length
            && line.ends_with(padding)
            && line.bytes().filter(|&byte| byte == b'=').count() == padding.len()
    };
    if !is_whole(signature, 100, "=") || !is_whole(global, 88, "==") {
        return None;
    }
    let parsed = panics::caught(|| SignatureBox::from_string(text).ok()).flatten()?;
    parsed.is_prehashed().then_some(parsed)
}

/// A secret key as a file has it, protected by a password.
#[derive(Debug)]
pub struct SecretKey {
    path: PathBuf,
    text: String,
}

/// A secret key that can sign.
pub struct SigningKey(minisign::SecretKey);

impl SecretKey {
    /// Reads a file that `keygen` or minisign wrote.
    ///
    /// # Errors
    /// 74 if it cannot be read.
    pub fn read(path: &Path) -> Result<SecretKey> {
        let failed =
            |error: std::io::Error| Fault::io(format!("cannot read the key {}: {error}", path.display()));
        let mut text = String::new();
        File::open(path).and_then(|file| file.take(LARGEST).read_to_string(&mut text)).map_err(failed)?;
        Ok(SecretKey { path: path.to_owned(), text })
    }

    /// # Errors
    /// 2 if the password is another one, or if it is no secret key that a password protects.
    pub fn unlock(&self, password: &str) -> Result<SigningKey> {
        let text = self.text.clone();
        let unlocked = panics::caught(|| SecretKeyBox::from(text).into_secret_key(Some(password.to_owned())));
        match unlocked {
            Some(Ok(key)) => Ok(SigningKey(key)),
            Some(Err(error)) => Err(Fault::usage(format!("the key {}: {error}", self.path.display()))),
            None => Err(Fault::usage(format!("the key {}: it is not a secret key", self.path.display()))),
        }
    }
}

impl SigningKey {
    /// A new key, in memory alone.
    ///
    /// # Errors
    /// 1 if the system gives no random numbers.
    pub fn new() -> Result<SigningKey> {
        let made = KeyPair::generate_unencrypted_keypair();
        made.map(|pair| SigningKey(pair.sk)).map_err(|error| cannot("make a key", &error))
    }

    /// The key's name.
    pub fn id(&self) -> KeyId {
        KeyId::of(self.0.keynum())
    }

    /// The public half, as a file has it.
    ///
    /// # Errors
    /// 1 if the key is damaged.
    pub fn public(&self) -> Result<String> {
        let public = PublicKey::from_secret_key(&self.0).and_then(|key| key.to_box());
        public.map(PublicKeyBox::into_string).map_err(|error| cannot("give the public key", &error))
    }

    /// Signs some bytes. The comment, one line, is covered, too.
    ///
    /// # Errors
    /// 1 if the system gives no random numbers.
    pub fn sign(&self, bytes: &[u8], comment: &str) -> Result<String> {
        let about = "signature of a polyp-edge bundle";
        let made = minisign::sign(None, &self.0, Cursor::new(bytes), Some(comment), Some(about));
        made.map(SignatureBox::into_string).map_err(|error| cannot("sign", &error))
    }
}

/// Makes a key that a password protects: its name, and both halves as files have them, the public one first.
///
/// # Errors
/// 1 if the system gives no random numbers, or no memory to make the password hard to guess.
pub fn new_key(password: &str) -> Result<(KeyId, String, String)> {
    let pair = KeyPair::generate_encrypted_keypair(Some(password.to_owned()));
    let pair = pair.map_err(|error| cannot("make a key", &error))?;
    let id = KeyId::of(pair.pk.keynum());
    let public = pair.pk.to_box().map_err(|error| cannot("make a key", &error))?;
    let secret = pair.sk.to_box(Some(&format!("polyp-edge secret key {id}")));
    let secret = secret.map_err(|error| cannot("make a key", &error))?;
    Ok((id, public.into_string(), secret.into_string()))
}

fn cannot(what: &str, error: &minisign::PError) -> anyhow::Error {
    Fault::new(Exit::Assertion, format!("cannot {what}: {error}"))
}
