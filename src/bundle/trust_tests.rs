use std::fs;

use super::signature::{Keys, SecretKey, SigningKey, new_key};
use super::tests::write_bundle;
use super::*;
use crate::fault::{Exit, exit_of};

/// A signed bundle, and what accepts it.
struct Signed {
    folder: tempfile::TempDir,
    key: SigningKey,
}

impl Signed {
    fn new() -> Signed {
        let folder = tempfile::tempdir().unwrap();
        write_bundle(&folder.path().join("bundle"));
        fs::create_dir(folder.path().join("keys")).unwrap();
        let signed = Signed { folder, key: SigningKey::new().unwrap() };
        signed.trust("ours", &signed.key);
        signed.sign(&signed.key);
        signed
    }

    fn bundle(&self) -> PathBuf {
        self.folder.path().join("bundle")
    }

    fn keys(&self) -> PathBuf {
        self.folder.path().join("keys")
    }

    fn trust(&self, name: &str, key: &SigningKey) {
        fs::write(self.keys().join(format!("{name}.pub")), key.public().unwrap()).unwrap();
    }

    fn sign(&self, key: &SigningKey) {
        let manifest = fs::read(self.bundle().join(MANIFEST)).unwrap();
        fs::write(self.bundle().join(SIGNATURE), key.sign(&manifest, "by a test").unwrap()).unwrap();
    }

    fn signature(&self) -> String {
        fs::read_to_string(self.bundle().join(SIGNATURE)).unwrap()
    }

    fn open(&self) -> anyhow::Result<Bundle> {
        self.open_as("polyp-edge", 0)
    }

    fn open_as(&self, compatible: &str, lowest_rollback_index: u64) -> anyhow::Result<Bundle> {
        let keys = Keys::read(&self.keys())?;
        let trust = Trust { keys, compatible: compatible.into(), lowest_rollback_index };
        Bundle::open_trusted(&self.bundle(), &trust)
    }

    #[track_caller]
    fn assert_refused(&self, part: &str) {
        let error = self.open().expect_err(part);
        assert_eq!(exit_of(&error), Exit::Signature, "{part}: {error:#}");
        let message = error.to_string();
        assert!(message.contains(part) && !message.contains('\n'), "{part}: {message}");
    }
}

#[test]
fn a_bundle_that_a_trusted_key_signed_is_opened() {
    let signed = Signed::new();
    let bundle = signed.open().unwrap();
    let signer = bundle.signer.unwrap();
    assert_eq!((signer.key, signer.comment.as_str()), (signed.key.id(), "by a test"));
    assert!(!signer.is_development);
    assert_eq!(bundle.digest, digest(&fs::read(signed.bundle().join(MANIFEST)).unwrap()));
    // Nobody asked.
    assert_eq!(Bundle::open(&signed.bundle()).unwrap().signer, None);
}

#[test]
fn a_bundle_that_nobody_signed_who_is_trusted_is_refused() {
    let signed = Signed::new();
    let other = SigningKey::new().unwrap();
    fs::remove_file(signed.bundle().join(SIGNATURE)).unwrap();
    signed.assert_refused("it is not signed");
    for junk in [&b""[..], b"\xff\xfe", b"signature", &[b'\n'; 4000]] {
        fs::write(signed.bundle().join(SIGNATURE), junk).unwrap();
        signed.assert_refused("the signature is not one that minisign writes");
    }
    signed.sign(&other);
    signed.assert_refused(&format!("signed with the key {}, which is not trusted here", other.id()));
    // The other's signature under the name of a key that is trusted.
    let named = |text: &str| {
        let line = text.lines().nth(1).unwrap().to_owned();
        (line[..14].to_owned(), line[14..].to_owned())
    };
    let theirs = signed.signature();
    signed.sign(&signed.key);
    let ours = signed.signature();
    // Ten bytes, algorithm and name, are 13 and a third letters: the 14th has bits of both.
    let forged = theirs.replace(&named(&theirs).0[..13], &named(&ours).0[..13]);
    fs::write(signed.bundle().join(SIGNATURE), forged).unwrap();
    assert_eq!(exit_of(&signed.open().unwrap_err()), Exit::Signature);
    fs::remove_file(signed.keys().join("ours.pub")).unwrap();
    signed.sign(&signed.key);
    signed.assert_refused("no key is trusted");
    fs::remove_dir(signed.keys()).unwrap();
    signed.assert_refused("no key is trusted");
}

/// Whatever is changed in a manifest or in its signature: the bundle is refused, and nothing of it is parsed before that.
#[test]
fn every_change_after_signing_is_noticed() {
    let signed = Signed::new();
    let (manifest, signature) = (fs::read(signed.bundle().join(MANIFEST)).unwrap(), signed.signature());
    for at in (0..manifest.len()).step_by(7) {
        let mut changed = manifest.clone();
        changed[at] ^= 4;
        fs::write(signed.bundle().join(MANIFEST), changed).unwrap();
        signed.assert_refused("it was changed after it was signed");
    }
    fs::write(signed.bundle().join(MANIFEST), b"not even a manifest").unwrap();
    signed.assert_refused("it was changed after it was signed");
    fs::write(signed.bundle().join(MANIFEST), manifest).unwrap();
    signed.open().unwrap();
    // The first line is nobody's word.
    for at in signature.find('\n').unwrap()..signature.trim_end().len() {
        for bit in [1, 2, 4, 0x10] {
            let mut changed = signature.clone().into_bytes();
            changed[at] ^= bit;
            fs::write(signed.bundle().join(SIGNATURE), &changed).unwrap();
            let outcome = signed.open();
            let refused = outcome.is_err_and(|error| exit_of(&error) == Exit::Signature);
            assert!(refused, "bit {bit} at {at}: {}", String::from_utf8_lossy(&changed));
        }
    }
    for length in 0..signature.trim_end().len() {
        fs::write(signed.bundle().join(SIGNATURE), &signature[..length]).unwrap();
        assert_eq!(exit_of(&signed.open().unwrap_err()), Exit::Signature, "{length} bytes");
    }
    let longer = format!("{signature}more\n");
    fs::write(signed.bundle().join(SIGNATURE), longer).unwrap();
    signed.assert_refused("not one that minisign writes");
}

#[test]
fn a_bundle_for_another_cart_or_an_older_one_is_refused() {
    let signed = Signed::new();
    let refused = |compatible: &str, lowest: u64| {
        let error = signed.open_as(compatible, lowest).unwrap_err();
        assert_eq!(exit_of(&error), Exit::Signature);
        error.to_string()
    };
    assert!(
        refused("st-mary", 0).contains("it is made for \"polyp-edge\", and this cart takes what is made for")
    );
    assert!(refused("polyp-edge", 4).contains("its rollback index is 3, lower than 4"));
    signed.open_as("polyp-edge", 3).unwrap();
}

#[test]
fn a_key_can_be_exchanged_for_another_one() {
    let signed = Signed::new();
    let next = SigningKey::new().unwrap();
    signed.trust("next", &next);
    signed.open().unwrap();
    signed.sign(&next);
    signed.open().unwrap();
    // Revoked: a key that is removed is refused.
    fs::remove_file(signed.keys().join("ours.pub")).unwrap();
    signed.open().unwrap();
    signed.sign(&signed.key);
    signed.assert_refused("which is not trusted here");
}

#[test]
fn what_is_no_key_is_said() {
    let signed = Signed::new();
    for text in ["", "ssh-ed25519 AAAA", "untrusted comment: x\nRWQ\n", "\u{0}\n\u{0}"] {
        fs::write(signed.keys().join("b.pub"), text).unwrap();
        let error = signed.open().unwrap_err();
        assert_eq!(exit_of(&error), Exit::Configuration, "{text:?}: {error}");
        assert!(error.to_string().contains("b.pub: it is not a public key"), "{error}");
    }
    fs::write(signed.keys().join("b.pub"), include_str!("../../keys/development.pub")).unwrap();
    let error = signed.open().unwrap_err();
    assert!(
        exit_of(&error) == Exit::Configuration && error.to_string().contains("development key"),
        "{error}"
    );
    // Under another name it is the same key.
    let renamed = include_str!("../../keys/development.pub").replacen("RWQc", "RWQd", 1);
    assert_ne!(renamed, include_str!("../../keys/development.pub"));
    fs::write(signed.keys().join("b.pub"), renamed).unwrap();
    assert_eq!(exit_of(&signed.open().unwrap_err()), Exit::Configuration);
    fs::remove_file(signed.keys().join("b.pub")).unwrap();
    // Other files may lie there.
    fs::write(signed.keys().join("README"), "keys").unwrap();
    signed.open().unwrap();
}

#[test]
fn the_development_key_is_accepted_only_where_it_is_asked_for() {
    let signed = Signed::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("keys");
    let key = SecretKey::read(&folder.join("development.key")).unwrap();
    assert!(key.unlock("wrong").is_err_and(|error| exit_of(&error) == Exit::Usage));
    let key = key.unlock("development").unwrap();
    signed.sign(&key);
    signed.assert_refused("it is signed with the development key, which proves nothing");
    let keys = Keys::read(&signed.keys()).unwrap().with_development();
    let trust = Trust { keys, compatible: "polyp-edge".into(), lowest_rollback_index: 0 };
    let signer = Bundle::open_trusted(&signed.bundle(), &trust).unwrap().signer.unwrap();
    assert!(signer.is_development && signer.key == key.id());
}

/// A signature that minisign made, from its verifier's documentation: <https://docs.rs/minisign-verify>.
#[test]
fn a_signature_by_minisign_itself_is_verified() {
    const PUBLIC: &str = "untrusted comment: minisign public key E7620F1842B4E81F\n\
                          RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\n";
    const SIGNATURE: &str = "untrusted comment: signature from minisign secret key\n\
                             RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=\n\
                             trusted comment: timestamp:1633700835\tfile:test\tprehashed\n\
                             wLMDjy9FLAuxZ3q4NlEvkgtyhrr0gtTu6KC4KBJdITbbOeAi1zBIYo0v4iTgt8jJpIidRJnp94ABQkJAgAooBQ==\n";
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.pub"), PUBLIC).unwrap();
    let keys = Keys::read(folder.path()).unwrap();
    let signer = keys.verify(b"test", SIGNATURE.as_bytes()).unwrap();
    assert_eq!(signer.key.to_string(), "E7620F1842B4E81F");
    assert_eq!(signer.comment, "timestamp:1633700835 file:test prehashed");
    assert!(keys.verify(b"tesu", SIGNATURE.as_bytes()).is_err());
}

#[test]
fn a_key_that_was_made_signs_with_its_password_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (id, public, secret) = new_key("a password").unwrap();
    fs::write(folder.path().join("a.pub"), public).unwrap();
    fs::write(folder.path().join("a.key"), secret).unwrap();
    let key = SecretKey::read(&folder.path().join("a.key")).unwrap();
    assert!(key.unlock("another").is_err_and(|error| error.to_string().contains("password")));
    let key = key.unlock("a password").unwrap();
    assert_eq!(key.id(), id);
    let signature = key.sign(b"bytes", "").unwrap();
    let keys = Keys::read(folder.path()).unwrap();
    assert_eq!(keys.verify(b"bytes", signature.as_bytes()).unwrap().key, id);
    let public = SecretKey::read(&folder.path().join("a.pub")).unwrap();
    assert!(public.unlock("a password").is_err_and(|error| exit_of(&error) == Exit::Usage));
}

mod packed {
    use std::io::Read;

    use super::*;

    fn packed(signed: &Signed) -> (PathBuf, Vec<u8>) {
        let path = signed.folder.path().join("bundle.polyp");
        let mut file = fs::File::create(&path).unwrap();
        Bundle::open(&signed.bundle()).unwrap().pack(&mut file).unwrap();
        (path.clone(), fs::read(path).unwrap())
    }

    fn open(signed: &Signed, path: &Path) -> anyhow::Result<Bundle> {
        let keys = Keys::read(&signed.keys())?;
        Bundle::open_trusted(path, &Trust { keys, compatible: "polyp-edge".into(), lowest_rollback_index: 0 })
    }

    #[test]
    fn a_packed_bundle_is_the_folder() {
        let signed = Signed::new();
        let (path, bytes) = packed(&signed);
        let (from_file, from_folder) = (open(&signed, &path).unwrap(), signed.open().unwrap());
        assert_eq!(from_file.manifest, from_folder.manifest);
        assert_eq!((&from_file.digest, &from_file.signer), (&from_folder.digest, &from_folder.signer));
        assert_eq!(from_file.model(), from_folder.model());
        assert_eq!(from_file.read("golden/a.png").unwrap(), from_folder.read("golden/a.png").unwrap());
        assert_eq!(from_file.golden_frames().unwrap()[0].mask, from_folder.golden_frames().unwrap()[0].mask);
        // From wherever it is packed, whenever.
        let again = signed.folder.path().join("again.polyp");
        from_file.pack(&mut fs::File::create(&again).unwrap()).unwrap();
        assert_eq!(fs::read(again).unwrap(), bytes);
        // Anybody's tar reads it.
        let mut tar = tar::Archive::new(bytes.as_slice());
        let names = tar.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            let name = entry.path().unwrap().to_str().unwrap().to_owned();
            assert_eq!(content, fs::read(signed.bundle().join(&name)).unwrap(), "{name}");
            name
        });
        let names: Vec<String> = names.collect();
        assert_eq!(
            names,
            [MANIFEST, SIGNATURE, "MODEL_CARD.md", "golden/a.png", "golden/b.png", "model.onnx"]
        );
    }

    #[test]
    fn a_packed_bundle_that_was_cut_or_changed_is_refused() {
        let signed = Signed::new();
        let (path, bytes) = packed(&signed);
        let refused = |bytes: &[u8], what: &str| {
            fs::write(&path, bytes).unwrap();
            let error = open(&signed, &path).expect_err(what);
            assert!([Exit::Data, Exit::Signature].contains(&exit_of(&error)), "{what}: {error:#}");
            assert!(!error.to_string().contains('\n'), "{what}: {error:#}");
        };
        for length in (0..bytes.len()).step_by(128) {
            refused(&bytes[..length], &format!("cut to {length} bytes"));
        }
        refused(&[&bytes[..], &[0; 512]].concat(), "an empty block more");
        refused(&[&bytes[..], &bytes[..512]].concat(), "a file behind the end");
        refused(&[&bytes[..], &bytes[..]].concat(), "an archive behind the end");
        // What is between files, and rights and owners that nobody looks at, may be anything.
        let whole = Bundle::open(&signed.bundle()).unwrap();
        let mut seen = 0;
        for at in (0..bytes.len()).step_by(3) {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            fs::write(&path, &changed).unwrap();
            match open(&signed, &path) {
                Ok(bundle) => {
                    assert_eq!((&bundle.digest, bundle.model()), (&whole.digest, whole.model()))
                }
                Err(error) => {
                    seen += 1;
                    assert!([Exit::Data, Exit::Signature].contains(&exit_of(&error)), "{at}: {error:#}");
                }
            }
        }
        assert!(seen > 100, "{seen}");
    }

    /// An archive of other entries than plain files in their order.
    #[test]
    fn a_packed_bundle_that_pack_would_not_write_is_refused() {
        let signed = Signed::new();
        let path = signed.folder.path().join("other.polyp");
        let manifest = fs::read(signed.bundle().join(MANIFEST)).unwrap();
        let refused = |part: &str, fill: &dyn Fn(&mut tar::Builder<Vec<u8>>)| {
            let mut tar = tar::Builder::new(Vec::new());
            fill(&mut tar);
            fs::write(&path, tar.into_inner().unwrap()).unwrap();
            let error = Bundle::open(&path).expect_err(part);
            assert_eq!(exit_of(&error), Exit::Data, "{part}: {error:#}");
            assert!(error.to_string().contains(part), "{part}: {error:#}");
        };
        let entry = |kind: tar::EntryType, size: usize| {
            let mut header = tar::Header::new_ustar();
            header.set_entry_type(kind);
            header.set_size(size as u64);
            header.set_mode(0o644);
            header
        };
        let put = |tar: &mut tar::Builder<Vec<u8>>, name: &str, bytes: &[u8]| {
            let mut header = entry(tar::EntryType::Regular, bytes.len());
            // The library would refuse some of these names.
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            tar.append(&header, bytes).unwrap();
        };
        refused("its files are not in order", &|tar| {
            put(tar, "model.onnx", b"not a network");
            put(tar, MANIFEST, &manifest);
        });
        refused("its files are not in order", &|tar| {
            put(tar, MANIFEST, &manifest);
            put(tar, MANIFEST, &manifest);
        });
        for name in ["../evil", "/etc/passwd", "a/../../b", "a//b", "a\nb"] {
            refused("leads outside", &|tar| {
                put(tar, MANIFEST, &manifest);
                put(tar, name, b"");
            });
        }
        for kind in [
            tar::EntryType::Symlink,
            tar::EntryType::Link,
            tar::EntryType::Directory,
            tar::EntryType::Fifo,
            tar::EntryType::GNUSparse,
            tar::EntryType::XHeader,
            tar::EntryType::GNULongName,
        ] {
            refused("something else than plain files", &|tar| {
                put(tar, MANIFEST, &manifest);
                let mut header = entry(kind, 0);
                header.as_old_mut().name[..4].copy_from_slice(b"link");
                header.set_cksum();
                tar.append(&header, &b""[..]).unwrap();
            });
        }
        fs::write(&path, vec![0; 1024]).unwrap();
        let error = Bundle::open(&path).unwrap_err();
        assert!(error.to_string().contains("there is no manifest.toml"), "{error:#}");
    }
}
