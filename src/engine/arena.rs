//! Where tensors lie in one block of memory: those that live at the same time do not overlap.

/// A tensor's size, and the steps in which it is used.
#[derive(Clone, Copy, Debug)]
pub struct Lifetime {
    pub bytes: usize,
    pub first: usize,
    /// Included.
    pub last: usize,
}

/// Tensors begin on cache lines.
const ALIGNMENT: usize = 64;

/// Each tensor's first byte, and the size of the whole: large ones first, each as low as it fits.
pub fn plan(lifetimes: &[Lifetime]) -> (Vec<usize>, usize) {
    let mut order: Vec<usize> = (0..lifetimes.len()).collect();
    order.sort_by_key(|&index| (std::cmp::Reverse(lifetimes[index].bytes), index));
    let mut places = vec![0; lifetimes.len()];
    let mut placed: Vec<usize> = vec![];
    let mut total = 0;
    for index in order {
        let tensor = lifetimes[index];
        let bytes = tensor.bytes.next_multiple_of(ALIGNMENT);
        let mut start = 0;
        // `placed` is in order of their starts.
        for &other in &placed {
            let neighbour = lifetimes[other];
            let meets = tensor.first <= neighbour.last && neighbour.first <= tensor.last;
            if !meets {
                continue;
            }
            if start + bytes <= places[other] {
                break;
            }
            start = start.max(places[other] + neighbour.bytes.next_multiple_of(ALIGNMENT));
        }
        places[index] = start;
        total = total.max(start + bytes);
        let at = placed.partition_point(|&other| places[other] <= start);
        placed.insert(at, index);
    }
    (places, total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn tensors_that_live_together_do_not_overlap(
            tensors in prop::collection::vec((1usize..1000, 0usize..20, 0usize..6), 1..40),
        ) {
            let lifetimes: Vec<Lifetime> = tensors
                .into_iter()
                .map(|(bytes, first, steps)| Lifetime { bytes, first, last: first + steps })
                .collect();
            let (places, total) = plan(&lifetimes);
            for (a, &place_a) in lifetimes.iter().zip(&places) {
                prop_assert!(place_a.is_multiple_of(ALIGNMENT) && place_a + a.bytes <= total);
            }
            for i in 0..places.len() {
                for j in 0..i {
                    let (a, b) = (lifetimes[i], lifetimes[j]);
                    let together = a.first <= b.last && b.first <= a.last;
                    let apart = places[i] + a.bytes <= places[j] || places[j] + b.bytes <= places[i];
                    prop_assert!(!together || apart);
                }
            }
            let most = (0..30).map(|step| {
                let alive = lifetimes.iter().filter(|tensor| (tensor.first..=tensor.last).contains(&step));
                alive.map(|tensor| tensor.bytes).sum::<usize>()
            });
            prop_assert!(total >= most.max().unwrap_or(0));
        }
    }

    #[test]
    fn memory_is_used_again() {
        let step = |bytes, first| Lifetime { bytes, first, last: first + 1 };
        let (_, total) = plan(&[step(1000, 0), step(1000, 1), step(1000, 2), step(1000, 3)]);
        assert_eq!(total, 2048);
    }
}
