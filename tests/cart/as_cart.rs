//! `replay --as-cart`, `--results` and `--coco`: what a cart would have shown, and results as others' tools read them.

use std::path::Path;

use serde_json::Value;
use testing::bundle::write;
use testing::cart::{Workplace, put_board};
use testing::folder::files;
use testing::picture::write_picture;

use crate::PROGRAM;
use crate::errors::assert_fault;

/// A bright disc in frames 0 to 7 and none in 8 to 15, through a gate of two in three frames.
fn recording(at: &Path) {
    write(&at.join("model"));
    put_board(at, "[gate]\nappear = 2\nwindow = 3\nhold_frames = 1\nsteady_percent = 40\n");
    std::fs::create_dir(at.join("in")).unwrap();
    for frame in 0..16 {
        let radius = if frame < 8 { 30.0 } else { 0.0 };
        let path = at.join(format!("in/{frame:02}.png"));
        write_picture(&path, 200, 160, (90.0 + 2.0 * frame as f32, 80.0), radius);
    }
}

fn as_cart(at: &Path, out: &str, more: &[&str]) -> Value {
    let arguments = ["replay", "in", "--as-cart", "--board", "boards/test.toml", "--out", out, "--json"];
    let output = PROGRAM.run(at, &[&arguments, more].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The head, and the lines of all frames.
fn results(at: &Path) -> (Value, Vec<Value>) {
    let text = std::fs::read_to_string(at).unwrap();
    let mut lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    (lines.next().unwrap(), lines.collect())
}

fn count(list: &Value) -> usize {
    list.as_array().map_or(0, Vec::len)
}

#[test]
fn a_recording_is_shown_as_on_a_cart() {
    let folder = Workplace::shared();
    let at = folder.path();
    recording(at);
    let summary = as_cart(at, "out", &["--results", "--overlay"]);
    assert_eq!((&summary["frames"], &summary["fates"]["shown"]), (&16.into(), &16.into()), "{summary}");
    assert_eq!(summary["regions"], 1, "one region, however long it stays: {summary}");
    let (head, lines) = results(&at.join("out/results.jsonl"));
    assert_eq!(
        (&head["schema"], &head["model"], &head["board"]),
        (&1.into(), &"bright".into(), &"test".into())
    );
    // The profile's camera's rate, for images have none.
    assert_eq!((&head["rate_hz"], &head["inference_ms"]), (&25.0.into(), &15.0.into()));
    let (mut drawn, mut found) = (Vec::new(), Vec::new());
    for (number, line) in lines.iter().enumerate() {
        assert_eq!((&line["frame"], &line["name"]), (&number.into(), &format!("{number:02}").into()));
        assert_eq!(line["time_s"], 0.04 * number as f64, "{line}");
        if number > 0 {
            // The result of the frame before, as old as the time between two frames.
            assert_eq!(
                (&line["result"]["frame"], &line["result"]["age_s"]),
                (&(number - 1).into(), &0.04.into())
            );
        }
        drawn.push(count(&line["regions"]));
        found.push(count(&line["result"]["regions"]));
    }
    // Found in frames 0 to 7; drawn once it was found twice, and held over one frame.
    assert_eq!(found, [0, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(drawn, [0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(lines[1]["result"]["regions"][0]["shown"], false);
    assert_eq!(lines[2]["result"]["regions"][0]["shown"], true);
    for line in &lines[2..10] {
        let region = &line["regions"][0];
        assert_eq!(region["track"], 1);
        let side = |index: usize| region["box"][index].as_f64().unwrap();
        assert!((40.0..80.0).contains(&(side(2) - side(0))), "{region}");
        for point in region["outline"].as_array().unwrap() {
            let (x, y) = (point[0].as_f64().unwrap(), point[1].as_f64().unwrap());
            let is_inside = x >= side(0) && x <= side(2) && y >= side(1) && y <= side(3);
            assert!(is_inside, "{point} {region}");
        }
    }
    assert_eq!(files(&at.join("out")).len(), 17, "sixteen pictures and the results");

    // Again, with other threads: the same bytes.
    as_cart(at, "again", &["--results", "--overlay", "--threads", "2"]);
    for name in files(&at.join("out")) {
        let read = |out: &str| std::fs::read(at.join(out).join(&name)).unwrap();
        assert!(read("out") == read("again"), "{name:?}");
    }
}

#[test]
fn results_that_are_too_old_are_not_drawn() {
    let folder = Workplace::shared();
    let at = folder.path();
    recording(at);
    let summary = as_cart(at, "out", &["--results", "--inference-ms", "130"]);
    assert_eq!(summary["frames_with_regions"], 0, "{summary}");
    assert!(summary["fates"]["skipped"].as_u64().unwrap() > 8, "inference sees one frame in four: {summary}");
    let (_, lines) = results(&at.join("out/results.jsonl"));
    assert!(lines.iter().all(|line| count(&line["regions"]) == 0));
    // Four times as slow, each result is drawn on two frames.
    let summary = as_cart(at, "slow", &["--results", "--inference-ms", "60"]);
    assert!(summary["frames_with_regions"].as_u64().unwrap() > 0, "{summary}");
    let (_, lines) = results(&at.join("slow/results.jsonl"));
    let newest: Vec<_> = lines.iter().filter_map(|line| line["result"]["frame"].as_u64()).collect();
    assert!(newest.windows(2).any(|pair| pair[0] == pair[1]) && newest.is_sorted(), "{newest:?}");
}

#[test]
fn what_is_found_in_each_frame_is_told_as_json_and_as_coco() {
    let folder = Workplace::shared();
    let at = folder.path();
    recording(at);
    let output = PROGRAM.run(
        at,
        &["replay", "in", "--model", "model", "--out", "out", "--results", "--coco", "data/coco.json"],
    );
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(files(&at.join("out")), [Path::new("results.jsonl")], "pictures were not asked for");
    let (head, lines) = results(&at.join("out/results.jsonl"));
    assert!(head.get("rate_hz").is_none() && head.get("board").is_none(), "{head}");
    let found: Vec<_> = lines.iter().map(|line| count(&line["regions"])).collect();
    assert_eq!(found, [1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    let coco: Value = serde_json::from_slice(&std::fs::read(at.join("data/coco.json")).unwrap()).unwrap();
    assert_eq!((count(&coco["images"]), count(&coco["annotations"])), (16, 8));
    assert_eq!(coco["categories"], serde_json::json!([{"id": 1, "name": "polyp"}]));
    for (index, annotation) in coco["annotations"].as_array().unwrap().iter().enumerate() {
        let region = &lines[index]["regions"][0];
        let image = &coco["images"][index];
        assert_eq!((&annotation["image_id"], &image["file_name"]), (&image["id"], &lines[index]["name"]));
        assert_eq!((&image["width"], &image["height"]), (&200.into(), &160.into()));
        let number = |value: &Value| value.as_f64().unwrap();
        assert_eq!(annotation["bbox"][0], region["box"][0]);
        let right = number(&annotation["bbox"][0]) + number(&annotation["bbox"][2]);
        assert!((right - number(&region["box"][2])).abs() < 0.011);
        assert_eq!((&annotation["area"], &annotation["score"]), (&region["area_px"], &region["peak"]));
        let polygon: Vec<_> = region["outline"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|point| point.as_array().unwrap())
            .collect();
        assert_eq!(annotation["segmentation"][0].as_array().unwrap().iter().collect::<Vec<_>>(), polygon);
    }
}

#[test]
fn wrong_combinations_are_refused_in_one_line() {
    let folder = Workplace::shared();
    let at = folder.path();
    recording(at);
    let replay = |more: &[&str]| PROGRAM.run(at, &[&["replay", "in", "--out", "out"], more].concat());
    let board = ["--board", "boards/test.toml"];
    assert_fault(&replay(&[]), 2, "--model");
    assert_fault(&replay(&["--model", "model", "--as-cart"]), 2, "--board");
    assert_fault(&replay(&[&board[..], &["--as-cart", "--masks"]].concat()), 2, "--masks");
    assert_fault(&replay(&[&board[..], &["--rate", "25"]].concat()), 2, "--as-cart");
    assert_fault(&replay(&[&board[..], &["--as-cart", "--rate", "0"]].concat()), 2, "between 0.1 and 240");
    assert_fault(&replay(&["--board", "nothing.toml"]), 74, "nothing.toml");
    std::fs::write(at.join("coco.json"), "mine").unwrap();
    assert_fault(&replay(&["--model", "model", "--coco", "coco.json"]), 2, "coco.json");
    assert_eq!(std::fs::read(at.join("coco.json")).unwrap(), b"mine");
    // A damaged frame is left out, and told of.
    std::fs::write(at.join("in/03.png"), b"no picture").unwrap();
    let damaged = replay(&[&board[..], &["--as-cart", "--results"]].concat());
    let told = String::from_utf8_lossy(&damaged.stderr).into_owned();
    assert!(damaged.status.code() == Some(65) && told.contains("1 of 16 frames"), "{told}");
    assert_eq!(results(&at.join("out/results.jsonl")).1.len(), 15);
}
