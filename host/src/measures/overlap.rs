//! Overlap of masks, and counts over a list.
//!
//! Masks are `[H, W] u8`, polyp where not 0. An image's Dice is 2·|A ∩ B| / (|A| + |B|), its IoU |A ∩ B| / |A ∪ B|. Where
//! truth and prediction are both empty, both are 1: saying nothing about nothing is right. A list's figure is the mean
//! over its images.

/// Pixel counts of one image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overlap {
    /// Polyp pixels of the truth.
    pub truth_px: usize,
    /// Polyp pixels of the prediction.
    pub predicted_px: usize,
    /// Pixels that are polyp in both.
    pub both_px: usize,
}

impl Overlap {
    /// Counts two masks of one size; what a longer one has more is ignored.
    pub fn of(truth: &[u8], predicted: &[u8]) -> Overlap {
        let mut overlap = Overlap::default();
        for (&truth, &predicted) in truth.iter().zip(predicted) {
            overlap.truth_px += usize::from(truth != 0);
            overlap.predicted_px += usize::from(predicted != 0);
            overlap.both_px += usize::from(truth != 0 && predicted != 0);
        }
        overlap
    }

    /// 2·|A ∩ B| / (|A| + |B|); 1 where both masks are empty.
    pub fn dice(self) -> f64 {
        match self.truth_px + self.predicted_px {
            0 => 1.0,
            sum => 2.0 * self.both_px as f64 / sum as f64,
        }
    }

    /// |A ∩ B| / |A ∪ B|; 1 where both masks are empty.
    pub fn iou(self) -> f64 {
        match self.truth_px + self.predicted_px - self.both_px {
            0 => 1.0,
            union => self.both_px as f64 / union as f64,
        }
    }
}

/// Polyps by the share of the picture that they take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Under 2 %.
    Small,
    /// From 2 % to 10 %.
    Medium,
    /// Over 10 %.
    Large,
}

impl Size {
    /// Every size, the smallest first.
    pub const ALL: [Size; 3] = [Size::Small, Size::Medium, Size::Large];

    /// The name in tables and reports.
    pub fn word(self) -> &'static str {
        match self {
            Size::Small => "small",
            Size::Medium => "medium",
            Size::Large => "large",
        }
    }
}

/// What one frame came to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FrameScore {
    /// All of the picture.
    pub frame_px: usize,
    /// Of the mask that the cart would show.
    pub overlap: Overlap,
    /// Of the bare threshold 0.5, without rules for size and peak.
    pub at_half: Overlap,
    /// Regions that the cart would show.
    pub regions: usize,
}

impl FrameScore {
    /// `None` without a polyp.
    pub fn size(&self) -> Option<Size> {
        let share = self.overlap.truth_px as f64 / self.frame_px.max(1) as f64;
        match share {
            0.0 => None,
            share if share < 0.02 => Some(Size::Small),
            share if share <= 0.1 => Some(Size::Medium),
            _ => Some(Size::Large),
        }
    }
}

/// Mean Dice over frames with polyps of one size.
pub fn dice_of(scores: &[FrameScore], size: Size) -> Option<f64> {
    let dice: Vec<f64> =
        scores.iter().filter(|score| score.size() == Some(size)).map(|score| score.overlap.dice()).collect();
    (!dice.is_empty()).then(|| dice.iter().sum::<f64>() / dice.len() as f64)
}

/// Means over a list's frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Summary {
    /// How many frames the list has.
    pub frames: usize,
    /// Mean Dice of the cart's mask, by its decision rules.
    pub dice: f64,
    /// Mean IoU of the same mask.
    pub iou: f64,
    /// Mean Dice of the pixels of at least probability 0.5.
    pub dice_at_half: f64,
    /// Mean IoU of the same pixels.
    pub iou_at_half: f64,
    /// Frames whose truth is empty.
    pub polyp_free: usize,
    /// Of those, how many show any region.
    pub polyp_free_with_region: usize,
    /// Frames with a polyp of which no pixel was found.
    pub missed: usize,
    /// Mean Dice of the cart's mask over the frames with a polyp alone; 0 without any.
    pub dice_of_polyps: f64,
}

impl Summary {
    /// Sums up the scores of a list.
    pub fn of(scores: &[FrameScore]) -> Summary {
        let mean = |value: &dyn Fn(&FrameScore) -> f64| {
            scores.iter().map(value).sum::<f64>() / scores.len().max(1) as f64
        };
        let free = |score: &&FrameScore| score.overlap.truth_px == 0;
        let polyps: Vec<f64> = scores.iter().filter(|s| !free(s)).map(|s| s.overlap.dice()).collect();
        Summary {
            frames: scores.len(),
            dice: mean(&|score| score.overlap.dice()),
            iou: mean(&|score| score.overlap.iou()),
            dice_at_half: mean(&|score| score.at_half.dice()),
            iou_at_half: mean(&|score| score.at_half.iou()),
            polyp_free: scores.iter().filter(free).count(),
            polyp_free_with_region: scores.iter().filter(free).filter(|score| score.regions > 0).count(),
            missed: scores.iter().filter(|score| !free(score) && score.overlap.both_px == 0).count(),
            dice_of_polyps: polyps.iter().sum::<f64>() / polyps.len().max(1) as f64,
        }
    }

    /// Share of polyp-free frames with any region; `None` if the list has no such frame.
    pub fn false_alarm_share(&self) -> Option<f64> {
        (self.polyp_free > 0).then(|| self.polyp_free_with_region as f64 / self.polyp_free as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlap_by_hand() {
        let truth = [0, 255, 255, 255, 0, 0];
        let predicted = [0, 0, 255, 255, 255, 0];
        let overlap = Overlap::of(&truth, &predicted);
        assert_eq!(overlap, Overlap { truth_px: 3, predicted_px: 3, both_px: 2 });
        assert!((overlap.dice() - 4.0 / 6.0).abs() < 1e-12);
        assert!((overlap.iou() - 2.0 / 4.0).abs() < 1e-12);
    }

    #[test]
    fn empty_masks() {
        let nothing = Overlap::of(&[0; 4], &[0; 4]);
        assert_eq!((nothing.dice(), nothing.iou()), (1.0, 1.0));
        let false_alarm = Overlap::of(&[0; 4], &[0, 1, 0, 0]);
        assert_eq!((false_alarm.dice(), false_alarm.iou()), (0.0, 0.0));
        let miss = Overlap::of(&[1; 4], &[0; 4]);
        assert_eq!((miss.dice(), miss.iou()), (0.0, 0.0));
    }

    #[test]
    fn a_summary_by_hand() {
        let score = |truth_px, predicted_px, both_px, regions| {
            let overlap = Overlap { truth_px, predicted_px, both_px };
            FrameScore { frame_px: 100, overlap, at_half: overlap, regions }
        };
        let summary = Summary::of(&[
            score(4, 4, 4, 1),
            score(4, 4, 2, 1),
            score(4, 0, 0, 0),
            score(0, 0, 0, 0),
            score(0, 5, 0, 1),
        ]);
        assert_eq!(summary.frames, 5);
        assert!((summary.dice - (1.0 + 0.5 + 0.0 + 1.0 + 0.0) / 5.0).abs() < 1e-12);
        assert!((summary.iou - (1.0 + 2.0 / 6.0 + 0.0 + 1.0 + 0.0) / 5.0).abs() < 1e-12);
        assert_eq!((summary.polyp_free, summary.polyp_free_with_region, summary.missed), (2, 1, 1));
        assert_eq!(summary.false_alarm_share(), Some(0.5));
        assert!((summary.dice_of_polyps - 0.5).abs() < 1e-12);
        let sizes = [score(1, 1, 1, 1), score(10, 0, 0, 0), score(11, 11, 11, 1), score(0, 0, 0, 0)];
        assert_eq!(sizes.map(|s| s.size()), [Some(Size::Small), Some(Size::Medium), Some(Size::Large), None]);
        assert_eq!(dice_of(&sizes, Size::Medium), Some(0.0));
        assert_eq!(dice_of(&sizes[..1], Size::Large), None);
        assert_eq!(Summary::of(&[score(4, 4, 4, 1)]).false_alarm_share(), None);
    }
}
