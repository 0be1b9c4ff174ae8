//! `scripts/data-sets import` on made-up copies of the data sets: what it brings in is what `polyp-host` reads.

use std::path::{Path, PathBuf};
use std::process::Command;

use polyp_host::data::lists::read_list;

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    /// `None`, with a line that says so, where there is no python3.
    fn new() -> Option<Bench> {
        if Command::new("python3").arg("--version").output().is_err() {
            eprintln!("skipped: no python3");
            return None;
        }
        Some(Bench { folder: tempfile::tempdir().unwrap() })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn sample(&self, image: &str, mask: &str, mask_width: u32) {
        for name in [image, mask] {
            std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        }
        image::RgbImage::from_pixel(8, 6, image::Rgb([120, 60, 50])).save(self.path(image)).unwrap();
        image::GrayImage::from_pixel(mask_width, 6, image::Luma([255])).save(self.path(mask)).unwrap();
    }

    fn import(&self, name: &str, folder: &str) -> (Option<i32>, String) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/data-sets");
        let output = Command::new("python3")
            .arg(script)
            .args(["import", name])
            .arg(self.path(folder))
            .arg("--data")
            .arg(self.path("data"))
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }

    fn fail(&self, name: &str, folder: &str, code: i32, what: &[&str]) {
        let (found, said) = self.import(name, folder);
        assert_eq!(found, Some(code), "{said}");
        assert!(said.lines().count() == 1 && what.iter().all(|what| said.contains(what)), "{said}");
    }

    fn names(&self, list: &str) -> Vec<String> {
        let samples = read_list(Path::new(list), &self.path("data")).unwrap();
        for sample in &samples {
            let (width, height) = sample.read_size().unwrap();
            sample.read_image().unwrap();
            assert_eq!(sample.read_mask(width, height).unwrap().len(), width * height);
        }
        samples.into_iter().map(|sample| sample.name).collect()
    }
}

#[test]
fn the_fields_own_folder_keeps_its_split() {
    let Some(bench) = Bench::new() else { return };
    for (images, masks, stems) in [
        ("TestDataset/Kvasir/images", "TestDataset/Kvasir/masks", &["cju1", "cju2"][..]),
        ("TestDataset/CVC-ClinicDB/images", "TestDataset/CVC-ClinicDB/masks", &["7"]),
        ("TestDataset/ETIS-LaribPolypDB/images", "TestDataset/ETIS-LaribPolypDB/masks", &["7", "8"]),
        ("TrainDataset/image", "TrainDataset/mask", &["1", "2", "cju3", "ck4"]),
    ] {
        for stem in stems {
            bench.sample(&format!("field/{images}/{stem}.png"), &format!("field/{masks}/{stem}.png"), 8);
        }
    }
    for (name, folder) in
        [("kvasir-seg", "field"), ("cvc-clinicdb", "field"), ("etis-larib", "field/TestDataset")]
    {
        assert_eq!(bench.import(name, folder), (Some(0), String::new()));
    }
    assert_eq!(bench.names("test-kvasir"), ["kvasir-seg/cju1", "kvasir-seg/cju2"]);
    assert_eq!(bench.names("train-kvasir-seg"), ["kvasir-seg/cju3", "kvasir-seg/ck4"]);
    assert_eq!(bench.names("test-clinicdb"), ["cvc-clinicdb/7"]);
    assert_eq!(bench.names("train-cvc-clinicdb"), ["cvc-clinicdb/1", "cvc-clinicdb/2"]);
    assert_eq!(bench.names("unseen-etis"), ["etis-larib/7", "etis-larib/8"]);
    bench.fail("kvasir-seg", "field", 2, &["exists already"]);
    bench.fail("cvc-300", "field", 74, &["contains no CVC-300"]);
}

#[test]
fn publishers_folders_are_understood() {
    let Some(bench) = Bench::new() else { return };
    bench.sample("clinic/Original/1.png", "clinic/Ground Truth/1.png", 8);
    assert_eq!(bench.import("cvc-clinicdb", "clinic"), (Some(0), String::new()));
    assert_eq!(bench.names("cvc-clinicdb"), ["cvc-clinicdb/1"]);
    bench.sample("gen/data_C1/images_C1/a.jpg", "gen/data_C1/masks_C1/a_mask.png", 8);
    bench.sample("gen/data_C3/images_C3/c.jpg", "gen/data_C3/masks_C3/c_mask.png", 8);
    assert_eq!(bench.import("polypgen", "gen"), (Some(0), String::new()));
    assert_eq!(bench.names("unseen-polypgen-c3"), ["polypgen/c"]);
    for part in ["Train", "Test"] {
        bench.sample(&format!("child/CP-CHILD-A/{part}/Non-Polyp/5.jpg"), "nowhere/mask.png", 8);
    }
    assert_eq!(bench.import("cp-child-negative", "child"), (Some(0), String::new()));
    assert_eq!(bench.names("negative-test"), ["cp-child-negative/test_0_5"]);
}

#[test]
fn what_is_wrong_is_named_and_nothing_is_written() {
    let Some(bench) = Bench::new() else { return };
    for n in 0..8 {
        let width = if n < 7 { 9 } else { 8 };
        bench.sample(&format!("colon/images/{n}.png"), &format!("colon/masks/{n}.png"), width);
    }
    bench.fail(
        "cvc-colondb",
        "colon",
        65,
        &["7 of 8 samples", "0.png has 9 × 6 pixels, but its image has 8 × 6", "and 2 more"],
    );
    std::fs::remove_file(bench.path("colon/masks/2.png")).unwrap();
    std::fs::remove_file(bench.path("colon/images/3.png")).unwrap();
    bench.fail("cvc-colondb", "colon", 74, &["without a mask: 1 (", "images/2.png", "masks/3.png"]);
    bench.fail("cvc-colondb", "nowhere", 74, &["no folder"]);
    std::fs::create_dir(bench.path("empty")).unwrap();
    bench.fail("cvc-colondb", "empty", 74, &["contains no folder of images"]);
    assert!(!bench.path("data").exists());
    std::fs::create_dir_all(bench.path("data/splits")).unwrap();
    std::fs::write(bench.path("data/splits/unseen-colondb.txt"), "mine\n").unwrap();
    bench.sample("good/images/1.png", "good/masks/1.png", 8);
    bench.fail("cvc-colondb", "good", 2, &["unseen-colondb.txt: exists already"]);
    assert!(!bench.path("data/cvc-colondb").exists());
}
