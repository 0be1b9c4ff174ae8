//! Connected components on the logit grid, and which of them stay.

/// At most this many regions are reported, the largest first; what lies beyond is dropped from the mask too.
pub const MAX_REGIONS: usize = 32;

/// A component that stays.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    pub label: u32,
    pub cells: usize,
    pub peak: u8,
    /// The component's first cell in reading order.
    pub first_cell: usize,
}

/// `[H, W]` labels: 0 where no region is, else the region's number. Only regions that stay are labelled.
#[derive(Debug, Default)]
pub struct Labels {
    cells: Vec<u32>,
    stack: Vec<usize>,
    kept: Vec<Piece>,
}

impl Labels {
    pub fn cells(&self) -> &[u32] {
        &self.cells
    }

    /// Largest first.
    pub fn kept(&self) -> &[Piece] {
        &self.kept
    }

    /// `threshold` and `min_peak` are in quantised units; `width` divides `logits.len()`.
    pub fn find(&mut self, logits: &[u8], width: usize, threshold: f32, min_peak: f32, min_cells: f32) {
        let height = logits.len() / width;
        self.cells.clear();
        self.cells.resize(logits.len(), 0);
        self.kept.clear();
        let reaches = |index: usize| f32::from(logits[index]) >= threshold;
        let mut label = 0;
        for first_cell in 0..logits.len() {
            if self.cells[first_cell] != 0 || !reaches(first_cell) {
                continue;
            }
            label += 1;
            let mut piece = Piece { label, cells: 0, peak: 0, first_cell };
            self.cells[first_cell] = label;
            self.stack.push(first_cell);
            while let Some(index) = self.stack.pop() {
                piece.cells += 1;
                piece.peak = piece.peak.max(logits[index]);
                let (x, y) = (index % width, index / width);
                for near_y in y.saturating_sub(1)..=(y + 1).min(height - 1) {
                    for near_x in x.saturating_sub(1)..=(x + 1).min(width - 1) {
                        let near = near_y * width + near_x;
                        if self.cells[near] == 0 && reaches(near) {
                            self.cells[near] = label;
                            self.stack.push(near);
                        }
                    }
                }
            }
            if piece.cells as f32 >= min_cells && f32::from(piece.peak) >= min_peak {
                self.kept.push(piece);
            }
        }
        // Ties keep reading order, so that the outcome does not depend on the sort.
        self.kept.sort_unstable_by_key(|piece| (usize::MAX - piece.cells, piece.first_cell));
        self.kept.truncate(MAX_REGIONS);
        for cell in &mut self.cells {
            if *cell != 0 && !self.kept.iter().any(|piece| piece.label == *cell) {
                *cell = 0;
            }
        }
    }
}
