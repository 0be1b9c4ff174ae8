//! What surrounds the endoscope's picture: its shape, the black border, the processor's text.

use font8x8::UnicodeFonts;

use super::dice::Dice;
use crate::frame::Frame;

#[derive(Clone, Copy, Debug)]
enum Shape {
    /// A rectangle whose corners are cut off by this many half heights.
    Octagon(f32),
    /// A circle of this radius in half heights, cut by the rectangle.
    Round(f32),
}

/// The picture's opening: for each row the pixels `x0..x1` that show the scene.
pub struct Border {
    spans: Vec<(usize, usize)>,
    pub centre: [f32; 2],
    /// From the centre to the opening's farthest point.
    pub reach_px: f32,
    background: [u8; 3],
    text: Option<Text>,
}

struct Text {
    at: [usize; 2],
    scale: usize,
    day: [u32; 3],
    start_s: u32,
    settings: [u32; 3],
}

impl Border {
    pub fn new(width: usize, height: usize, seed: u64) -> Self {
        let mut dice = Dice::new(seed, 6);
        let (w, h) = (width as f32, height as f32);
        let aside = dice.chance(0.45);
        let half_height = 0.5 * h * dice.range(0.93, 1.0);
        let half_width = if aside {
            (0.5 * w).min(half_height * dice.range(1.05, 1.25)) * 0.985
        } else {
            0.5 * w * dice.range(0.93, 1.0)
        };
        let shape = match dice.unit() {
            x if x < 0.6 => Shape::Octagon(dice.range(0.25, 0.62)),
            x if x < 0.85 => Shape::Round(dice.range(1.08, 1.3)),
            _ => Shape::Octagon(dice.range(0.03, 0.15)),
        };
        let centre_x = if aside { w - half_width - 0.01 * w } else { 0.5 * w };
        let centre = [centre_x, 0.5 * h];
        let mut reach_px = 0.0f32;
        let spans = (0..height)
            .map(|y| {
                let down = (y as f32 + 0.5 - centre[1]).abs();
                let side = match shape {
                    Shape::Octagon(cut) => {
                        half_width
                            - (down - (1.0 - cut) * half_height).max(0.0) * half_width / half_height.max(1.0)
                    }
                    Shape::Round(radius) => {
                        let radius = radius * half_height;
                        half_width.min((radius * radius - down * down).max(0.0).sqrt())
                    }
                };
                if down > half_height || side < 1.0 {
                    return (0, 0);
                }
                reach_px = reach_px.max(side.hypot(down));
                let x0 = (centre_x - side).max(0.0) as usize;
                let x1 = ((centre_x + side).max(0.0) as usize).min(width);
                (x0.min(x1), x1)
            })
            .collect();
        let text = dice.chance(0.7).then(|| Text {
            at: [4 + width / 160, height / 12],
            scale: (height / 470).max(1),
            day: [
                dice.range(1.0, 29.0) as u32,
                dice.range(1.0, 13.0) as u32,
                dice.range(2012.0, 2026.0) as u32,
            ],
            start_s: dice.range(28_000.0, 61_000.0) as u32,
            settings: [dice.range(1.0, 4.0) as u32, dice.range(1.0, 8.0) as u32, dice.range(1.0, 3.0) as u32],
        });
        let background = match dice.unit() {
            x if x < 0.6 => [0; 3],
            x if x < 0.8 => [dice.range(4.0, 14.0) as u8; 3],
            _ => [dice.range(4.0, 10.0) as u8, dice.range(8.0, 15.0) as u8, dice.range(8.0, 14.0) as u8],
        };
        Border { spans, centre, reach_px: reach_px.max(1.0), background, text }
    }

    /// The scene's pixels in row `y`: from the first to one after the last.
    pub fn span(&self, y: usize) -> (usize, usize) {
        self.spans.get(y).copied().unwrap_or((0, 0))
    }

    /// Paints the whole frame in the background's colour.
    pub fn fill(&self, frame: &mut Frame) {
        for y in 0..frame.height_px() {
            for pixel in frame.row_mut(y).chunks_exact_mut(3) {
                pixel.copy_from_slice(&self.background);
            }
        }
    }

    /// Writes the processor's text as it stands `second` seconds after the start.
    pub fn write(&self, second: u32, frame: &mut Frame) {
        let Some(text) = &self.text else { return };
        let [day, month, year] = text.day;
        let clock = text.start_s.wrapping_add(second);
        let (hours, minutes, seconds) = (clock / 3600 % 24, clock / 60 % 60, clock % 60);
        let [structure, colour, zoom] = text.settings;
        let lines = [
            "ID:".to_owned(),
            "Name:".to_owned(),
            String::new(),
            "Sex:  Age:".to_owned(),
            "D.O.B.:".to_owned(),
            format!("{day:02}/{month:02}/{year}"),
            format!("{hours:02}:{minutes:02}:{seconds:02}"),
            String::new(),
            format!("SCV:{colour}"),
            format!("Eh:A{structure} Cm:{zoom}"),
        ];
        for (index, line) in lines.iter().enumerate() {
            let y = text.at[1] + index * 12 * text.scale;
            for (column, letter) in line.chars().enumerate() {
                self.letter(letter, text.at[0] + column * 8 * text.scale, y, text.scale, frame);
            }
        }
    }

    fn letter(&self, letter: char, x: usize, y: usize, scale: usize, frame: &mut Frame) {
        let Some(rows) = font8x8::BASIC_FONTS.get(letter) else { return };
        for (dy, bits) in rows.iter().enumerate() {
            for repeat in 0..scale {
                let y = y + dy * scale + repeat;
                let (x0, x1) = self.span(y);
                let row = frame.row_mut(y);
                for dx in (0..8 * scale).filter(|dx| bits >> (dx / scale) & 1 == 1) {
                    // Text stays beside the scene, as on a processor's screen.
                    let x = x + dx;
                    if x >= x0 && x < x1 {
                        continue;
                    }
                    if let Some(pixel) = row.get_mut(3 * x..3 * x + 3) {
                        pixel.fill(215);
                    }
                }
            }
        }
    }
}
