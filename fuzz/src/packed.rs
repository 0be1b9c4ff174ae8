//! Packed bundles, keys and signatures out of bytes.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use polyp_edge::bundle::Bundle;
use polyp_edge::bundle::signature::{Keys, SigningKey};
use polyp_edge::fault::{Exit, exit_of};

use crate::bundles;
use crate::oracle::refusal;
use crate::seeds::Seeds;

const SIGNED: &[u8] = b"format_version = 1\n";

/// One file for the whole process, written anew for each input.
fn file(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| bundles::folder().keep()).join(name)
}

/// A packed bundle is refused, or packing it again gives one that is the same.
pub fn load(bytes: &[u8]) {
    let path = file("bundle.polyp");
    fs::write(&path, bytes).expect("files can be written");
    let bundle = match Bundle::open(&path) {
        Ok(bundle) => bundle,
        Err(error) => return refusal(&error, &[Exit::Data]),
    };
    let again = file("again.polyp");
    bundle.pack(&mut fs::File::create(&again).expect("files can be made")).expect("it was just read");
    let same = Bundle::open(&again).expect("what was packed opens");
    assert_eq!((&same.digest, same.model()), (&bundle.digest, bundle.model()));
}

/// Bytes are no signature of anybody's but the seed's, and a public key or none.
pub fn verify(bytes: &[u8]) {
    static KEY: OnceLock<(Keys, String)> = OnceLock::new();
    let (keys, seed) = KEY.get_or_init(|| {
        let key = SigningKey::new().expect("there are random numbers");
        let folder = bundles::folder();
        fs::write(folder.path().join("a.pub"), key.public().expect("it has a public half"))
            .expect("files can be written");
        let keys = Keys::read(folder.path()).expect("it is a key");
        (keys, key.sign(SIGNED, "a word").expect("it signs"))
    });
    // The first line is nobody's word, and neither is what is white at the end.
    let body =
        |bytes: &[u8]| bytes.split(|&byte| byte == b'\n').skip(1).map(<[u8]>::to_vec).collect::<Vec<_>>();
    match keys.verify(SIGNED, bytes) {
        Ok(_) => assert_eq!(body(bytes)[..3], body(seed.as_bytes())[..3]),
        Err(error) => refusal(&error, &[Exit::Signature]),
    }
    let path = file("keys");
    fs::create_dir_all(&path).expect("folders can be made");
    fs::write(path.join("a.pub"), bytes).expect("files can be written");
    if let Err(error) = Keys::read(&path) {
        // Longer than a key may be.
        refusal(&error, &[Exit::Configuration, Exit::Data]);
        assert!(bytes.len() > 4096 || exit_of(&error) == Exit::Configuration);
    }
}

/// # Errors
/// If the tests' own bundle cannot be packed.
pub fn seeds() -> anyhow::Result<Seeds> {
    let folder = bundles::folder();
    let (model, packed) = (folder.path().join("model"), folder.path().join("model.polyp"));
    testing::bundle::write(&model);
    let pack = || -> anyhow::Result<Vec<u8>> {
        Bundle::open(&model)?.pack(&mut fs::File::create(&packed)?)?;
        Ok(fs::read(&packed)?)
    };
    let signed = pack()?;
    fs::remove_file(model.join("manifest.toml.sig"))?;
    Ok(vec![("signed".into(), signed), ("unsigned".into(), pack()?)])
}

/// # Errors
/// If there are no random numbers.
pub fn seeds_of_signatures() -> anyhow::Result<Seeds> {
    let key = SigningKey::new()?;
    let signature = key.sign(SIGNED, "a word")?;
    Ok(vec![("signature".into(), signature.into_bytes()), ("key".into(), key.public()?.into_bytes())])
}
