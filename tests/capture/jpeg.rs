//! JPEG of every kind that cameras, capture cards and programs write, against reference values: a picture comes out as its
//! coefficients say, or it is refused.

use polyp_edge::capture::still;
use polyp_edge::fault::{Exit, exit_of};
use polyp_edge::frame::Frame;
use testing::jpeg::{Plan, difference, encode, scene};

const SAMPLINGS: [(&str, &[(usize, usize)]); 20] = [
    ("grey", &[(1, 1)]),
    ("grey, two by two", &[(2, 2)]),
    ("4:4:4", &[(1, 1), (1, 1), (1, 1)]),
    ("4:2:2", &[(2, 1), (1, 1), (1, 1)]),
    ("4:2:0", &[(2, 2), (1, 1), (1, 1)]),
    ("4:4:0", &[(1, 2), (1, 1), (1, 1)]),
    ("4:1:1", &[(4, 1), (1, 1), (1, 1)]),
    ("4:1:0", &[(4, 2), (1, 1), (1, 1)]),
    ("4:4:1", &[(1, 4), (1, 1), (1, 1)]),
    ("4:4:4 as two by one", &[(2, 1), (2, 1), (2, 1)]),
    ("4:4:4 as one by two", &[(1, 2), (1, 2), (1, 2)]),
    ("chroma of half the height", &[(2, 2), (2, 1), (2, 1)]),
    ("chroma of half the width", &[(2, 2), (1, 2), (1, 2)]),
    ("unlike chroma", &[(2, 1), (1, 1), (2, 1)]),
    ("unlike chroma in both ways", &[(2, 2), (1, 1), (2, 1)]),
    ("a third", &[(3, 1), (1, 1), (1, 1)]),
    ("luma coarser in width", &[(1, 1), (2, 1), (2, 1)]),
    ("luma coarser in both", &[(1, 1), (2, 2), (2, 2)]),
    ("luma coarser in one and finer in the other", &[(1, 2), (2, 1), (2, 1)]),
    ("two thirds", &[(3, 1), (2, 1), (1, 1)]),
];

const SIZES: [(usize, usize); 9] =
    [(1, 1), (8, 8), (16, 16), (17, 9), (3, 80), (33, 17), (97, 61), (129, 65), (160, 128)];

fn decode(bytes: &[u8]) -> Result<Frame, String> {
    let mut frame = Frame::black(1, 1);
    match still::decode("x.jpg", bytes, still::MAX_PIXELS, &mut frame) {
        Ok(()) => Ok(frame),
        Err(error) => {
            let message = format!("{error:#}");
            assert!(exit_of(&error) == Exit::Data && !message.contains('\n'), "{message}");
            assert!(message.starts_with("x.jpg is a "), "{message}");
            Err(message)
        }
    }
}

/// Where the compressed data of the first scan begins and that of the last ends.
fn scans(bytes: &[u8]) -> std::ops::Range<usize> {
    let start = bytes.windows(2).position(|pair| pair == [0xFF, 0xDA]).unwrap();
    start + 2 + bytes[start + 3] as usize..bytes.len() - 2
}

#[test]
fn every_kind_is_shown_as_its_coefficients_say() {
    let mut shown = 0;
    for (name, sampling) in SAMPLINGS {
        for (width, height) in SIZES {
            let rgb = scene(width, height);
            for (interleaved, progressive) in [(true, false), (false, false), (true, true), (false, true)] {
                for restart in [0, 1, 3] {
                    let plan =
                        Plan { interleaved, progressive, restart, ..Plan::new(width, height, sampling) };
                    let encoded = encode(&plan, &rgb);
                    let case = format!("{name}, {plan:?}");
                    if name == "two thirds" {
                        let refused = decode(&encoded.bytes).unwrap_err();
                        assert!(refused.contains("chroma subsampling is unusual"), "{case}: {refused}");
                        continue;
                    }
                    let frame = decode(&encoded.bytes).unwrap_or_else(|error| panic!("{case}: {error}"));
                    assert_eq!((frame.width_px(), frame.height_px()), (width, height), "{case}");
                    let (largest, mean) = difference(frame.pixels(), &encoded.reference());
                    // Decoders blend chroma samples where the reference repeats them.
                    let shared = sampling.iter().any(|factors| *factors != sampling[0]);
                    let (most, most_mean) = if shared { (14, 2.5) } else { (2, 0.5) };
                    assert!(largest <= most && mean <= most_mean, "{case}: off by {largest}, {mean:.2}");
                    shown += 1;
                }
            }
        }
    }
    assert_eq!(shown, 19 * 9 * 4 * 3);
}

#[test]
fn a_picture_without_huffman_tables_gets_the_standards() {
    for sampling in [&SAMPLINGS[0], &SAMPLINGS[3], &SAMPLINGS[4]] {
        for (interleaved, restart) in [(true, 0), (false, 0), (true, 4)] {
            let plan = Plan { interleaved, restart, ..Plan::new(97, 61, sampling.1) };
            let rgb = scene(97, 61);
            let expected = decode(&encode(&plan, &rgb).bytes).unwrap();
            for avi1 in [false, true] {
                let bare = encode(&Plan { tables: false, avi1, ..plan.clone() }, &rgb);
                assert!(!bare.bytes.windows(2).any(|pair| pair == [0xFF, 0xC4]));
                assert_eq!(decode(&bare.bytes).unwrap(), expected, "{plan:?}");
            }
        }
    }
    // The standard's tables are not enough for a progressive picture.
    let plan = Plan { tables: false, progressive: true, ..Plan::new(97, 61, SAMPLINGS[4].1) };
    let refused = decode(&encode(&plan, &scene(97, 61)).bytes).unwrap_err();
    assert!(refused.contains("a Huffman table is missing"), "{refused}");
}

#[test]
fn up_to_three_bytes_before_a_restart_marker_do_no_harm() {
    let paddings: [&[u8]; 10] = [
        &[0],
        &[0, 0],
        &[0, 0, 0],
        &[0xFF],
        &[0xFF, 0xFF, 0xFF],
        &[0xFF, 0],
        &[0xFF, 0, 0xFF, 0, 0xFF, 0],
        &[0, 0xFF],
        &[0x55, 0xAA],
        &[0x7F, 0xFF, 0, 0],
    ];
    let rgb = scene(97, 61);
    for (_, sampling) in [SAMPLINGS[0], SAMPLINGS[2], SAMPLINGS[3], SAMPLINGS[16]] {
        for (interleaved, progressive) in [(true, false), (false, false), (true, true)] {
            for restart in [1, 3, 10] {
                let plan = Plan { interleaved, progressive, restart, ..Plan::new(97, 61, sampling) };
                let expected = decode(&encode(&plan, &rgb).bytes).unwrap();
                let camera = interleaved && !progressive || sampling.len() == 1;
                let blank = |padding: &[u8]| padding.iter().all(|byte| matches!(byte, 0 | 0xFF));
                // Cameras alone put bytes of any value there.
                for padding in paddings.into_iter().filter(|padding| camera && !progressive || blank(padding))
                {
                    let padded = encode(&Plan { padding: padding.to_vec(), ..plan.clone() }, &rgb);
                    assert_eq!(decode(&padded.bytes).as_ref(), Ok(&expected), "{padding:?} {plan:?}");
                }
                let padded = encode(&Plan { padding: vec![0; 4], ..plan.clone() }, &rgb);
                let refused = decode(&padded.bytes).unwrap_err();
                assert!(refused.contains("continues after its last pixel"), "{refused}");
            }
        }
    }
}

/// One picture of each way to lay out its data.
fn layouts() -> Vec<(Plan, Vec<u8>)> {
    let mut layouts = Vec::new();
    for sampling in [SAMPLINGS[0].1, SAMPLINGS[2].1, SAMPLINGS[4].1, SAMPLINGS[16].1] {
        for (interleaved, progressive) in [(true, false), (false, false), (true, true), (false, true)] {
            for restart in [0, 5] {
                let plan = Plan { interleaved, progressive, restart, ..Plan::new(120, 88, sampling) };
                let bytes = encode(&plan, &scene(120, 88)).bytes;
                layouts.push((plan, bytes));
            }
        }
    }
    layouts
}

#[test]
fn a_picture_that_was_cut_is_refused_wherever_it_was_cut() {
    for (plan, bytes) in layouts() {
        let scans = scans(&bytes);
        for cut in scans.clone().step_by(3).chain(scans.end - 3..scans.end) {
            assert!(decode(&bytes[..cut]).is_err(), "{cut} of {}: {plan:?}", bytes.len());
            let ended = [&bytes[..cut], &[0xFF, 0xD9]].concat();
            // The last bytes may hold no code at all.
            match decode(&ended) {
                Err(_) => {}
                Ok(frame) => {
                    assert!(cut + 2 >= scans.end, "{cut} of {}: {plan:?}", bytes.len());
                    assert_eq!(Ok(frame), decode(&bytes));
                }
            }
        }
    }
}

#[test]
fn a_scan_that_lost_its_restart_markers_order_is_refused() {
    for (plan, bytes) in layouts().into_iter().filter(|(plan, _)| plan.restart > 0) {
        let scans = scans(&bytes);
        let marker = |at: &usize| bytes[*at] == 0xFF && (0xD0..=0xD7).contains(&bytes[*at + 1]);
        let markers: Vec<usize> = scans.filter(marker).collect();
        for pair in markers.windows(2).step_by(3) {
            let lost = [&bytes[..pair[0]], &bytes[pair[1]..]].concat();
            assert!(decode(&lost).is_err(), "{plan:?}");
        }
    }
}

/// Overwrites a stretch of the scans in each of many places; gives how many were refused, and how many were shown
/// although a pixel differs by more than a few steps: bits that only refine a value may have any value.
fn overwritten(bytes: &[u8], length: usize, value: impl Fn(usize) -> u8) -> (usize, usize) {
    let (whole, scans) = (decode(bytes).unwrap(), scans(bytes));
    let (mut refused, mut wrong) = (0, 0);
    for start in (scans.start..scans.end - length).step_by(5) {
        let mut hurt = bytes.to_vec();
        (start..start + length).for_each(|at| hurt[at] = value(at));
        match decode(&hurt) {
            Err(_) => refused += 1,
            Ok(frame) => wrong += usize::from(difference(frame.pixels(), whole.pixels()).0 > 12),
        }
    }
    (refused, wrong)
}

#[test]
fn a_stretch_of_other_bytes_is_noticed() {
    type Fill = fn(usize) -> u8;
    let fills: [(&str, Fill); 4] = [
        ("zeros", |_| 0),
        ("ones", |_| 0xFF),
        ("one byte", |_| 0x55),
        ("noise", |at| (at.wrapping_mul(at).wrapping_mul(2_654_435_761) >> 7) as u8),
    ];
    for (name, fill) in fills {
        let (mut all, mut passed) = (0, 0);
        for (plan, bytes) in layouts() {
            let (refused, wrong) = overwritten(&bytes, 64, fill);
            assert!(refused > 50 && wrong * 40 <= refused, "{name}: {wrong} passed of {refused}: {plan:?}");
            (all, passed) = (all + refused + wrong, passed + wrong);
        }
        // JPEG has no checksum: once in a while the rest reads as well as before.
        assert!(passed * 500 <= all, "{name}: {passed} of {all} passed");
    }
}
