//! The model card: what a model is, what it was made from, what it reaches, where it ends.

use std::fmt::Write as _;

use polyp_edge::bundle::manifest::Manifest;

/// Data set, source and terms, by the name in the lists.
const DATA_SETS: [(&str, &str); 7] = [
    (
        "kvasir-seg",
        "Kvasir-SEG (Simula), 1,000 polyp images with masks; research and education, commercial use by permission",
    ),
    ("cvc-clinicdb", "CVC-ClinicDB (CVC, Barcelona), 612 frames of colonoscopy videos with masks; research"),
    ("cvc-colondb", "CVC-ColonDB (CVC, Barcelona), 380 frames with masks; research"),
    ("polypgen", "PolypGen, polyp frames of several centres with masks; CC BY 4.0 as far as known"),
    ("cp-child-negative", "CP-CHILD, colonoscopy frames without a polyp; CC BY 4.0 as far as known"),
    (
        "gastrovision-polyp",
        "GastroVision, frames of colon polyps without masks, outlined by networks; CC BY 4.0 as far as known",
    ),
    (
        "gastrovision-normal",
        "GastroVision, frames of two hospitals without a polyp; CC BY 4.0 as far as known",
    ),
];

/// Markdown. `remarks` are paragraphs of their own; `failures` is a picture in the bundle.
#[expect(clippy::too_many_lines, reason = "the text of the card, from top to bottom")]
pub fn render(manifest: &Manifest, remarks: &[String], failures: Option<&str>) -> String {
    let mut card = format!(
        "# {} {}\n\n**Not a medical device.** For research and development. It must not be used to diagnose, to decide \
         on a treatment, or in place of a trained person's eyes.\n\n",
        manifest.name, manifest.model_version
    );
    let [_, _, height, width] = manifest.input.shape;
    let [_, _, rows, columns] = manifest.output.shape;
    let _ = writeln!(
        card,
        "Segments polyps on colonoscopy frames. Input {width} × {height} RGB, raw 8-bit pixels; output a logit for each \
         of {columns} × {rows} cells. int8 throughout: activations u8 with one scale a tensor, weights s8 with one scale \
         an output channel.\n"
    );
    let decision = manifest.decision;
    let _ = writeln!(
        card,
        "A pixel counts as polyp if its probability is at least {}. A region is dropped if it is smaller than a share of {} of \
         the field of view, or if its probability reaches {} nowhere. It is shown once it was found in {} of the last {} \
         frames.\n",
        decision.threshold,
        decision.min_region_share,
        decision.min_peak,
        manifest.gate.appear,
        manifest.gate.window
    );
    for remark in remarks {
        let _ = writeln!(card, "{remark}\n");
    }
    let provenance = &manifest.provenance;
    card.push_str("## Made from\n\n");
    for data in &provenance.data {
        let known = DATA_SETS.iter().find(|(name, _)| data.split([':', ' ']).next() == Some(name));
        match known {
            Some((_, what)) => writeln!(card, "- `{data}`: {what}."),
            None => writeln!(card, "- {data}"),
        }
        .ok();
    }
    if provenance.data.is_empty() {
        card.push_str("- Not stated.\n");
    }
    let seeds: Vec<String> = provenance.seeds.iter().map(u64::to_string).collect();
    let _ = writeln!(
        card,
        "\nNo image of these sets is part of this bundle; its golden frames are rendered. Seeds: {}. Commit: {}.\n",
        if seeds.is_empty() { "none".into() } else { seeds.join(", ") },
        provenance.commit
    );
    card.push_str("## Scores\n\n");
    card.push_str(&scores(manifest));
    card.push_str(
        "\nDice and IoU are means over the images of a list, of the masks that the cart's engine makes at the image's own \
         size. An image without a polyp on which nothing is marked counts as 1. `at half` uses a probability of 0.5 and no rules \
         for size and peak; `field's mDice` is the mean over 256 thresholds of maps stretched to 0…1, as papers print it. \
         `dice of polyps` leaves out polyp-free frames; `missed` is the share of frames with a polyp in which none of it was \
         found; `false alarms` is the share of polyp-free frames with any region. Small polyps cover less than 2 % of the image, \
         large ones more than 10 %.\n\n",
    );
    if let Some(failures) = failures {
        let _ = writeln!(
            card,
            "## Failures\n\nThe worst frames of a rendered patient, lowest Dice first: the frame, and beside it the true edge in \
             green and this model's in red. `polyp-host evaluate --failures FOLDER` draws the worst real frames of a list; those \
             are research data and not part of this bundle.\n\n![The worst rendered frames]({failures})\n"
        );
    }
    card.push_str(
        "## Limits\n\n\
         - Trained on still images that were chosen because they show a polyp well; flat, small or partly hidden polyps, \
         blur, residue and inflammation are rarer there than in an examination.\n\
         - The data comes from few hospitals and few makers of endoscopes, mostly from adults and under white light. Frames of \
         other hospitals score lower; the lists named `unseen` show by how much.\n\
         - ClinicDB's training and test lists contain frames of the same videos, so its score is too high.\n\
         - Polyp-free frames for training come from few sources: expect more false alarms on others, as the lists with polyp-free \
         frames of other hospitals show.\n\
         - A missed polyp cannot be distinguished from a frame without a polyp.\n",
    );
    card
}

fn scores(manifest: &Manifest) -> String {
    let scores = &manifest.provenance.scores;
    let mut measures: Vec<&str> =
        scores.values().flat_map(|of_list| of_list.keys().map(String::as_str)).collect();
    measures.sort_unstable();
    measures.dedup();
    if measures.is_empty() {
        return "Not measured.\n".into();
    }
    let mut table = format!("| list | {} |\n|---|{}\n", measures.join(" | "), "---|".repeat(measures.len()));
    for (list, of_list) in scores {
        let cells = measures.iter().map(|&measure| match of_list.get(measure) {
            Some(value) if measure == "frames" => format!("{value}"),
            Some(value) => format!("{value:.3}"),
            None => "–".into(),
        });
        let _ = writeln!(table, "| {list} | {} |", cells.collect::<Vec<_>>().join(" | "));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_names_data_scores_and_what_it_is_not() {
        let manifest: Manifest = toml::from_str(
            r#"
            format_version = 1
            name = "first"
            model_version = "1.0.0"
            rollback_index = 1
            model = "model.onnx"
            field_of_view = "find"
            files = {}
            [input]
            name = "input"
            shape = [1, 3, 224, 224]
            scale = 0.0078125
            zero_point = 127
            [output]
            name = "logits"
            shape = [1, 1, 56, 56]
            scale = 0.06
            zero_point = 128
            [decision]
            threshold = 0.5
            min_region_share = 0.002
            min_peak = 0.75
            [gate]
            appear = 3
            window = 5
            [provenance]
            data = ["kvasir-seg: 900 frames"]
            seeds = [7]
            commit = "abc"
            [provenance.scores.test-kvasir]
            dice = 0.8762
            frames = 100.0
            "#,
        )
        .unwrap();
        let card = render(&manifest, &["A remark.".into()], Some("failures.jpg"));
        assert!(!render(&manifest, &[], None).contains("Failures"));
        for part in [
            "(failures.jpg)",
            "## Limits",
            "Not a medical device",
            "Simula",
            "| test-kvasir | 0.876 | 100 |",
            "A remark.",
            "Seeds: 7",
            "3 of the last 5",
        ] {
            assert!(card.contains(part), "{part} is not in\n{card}");
        }
    }
}
