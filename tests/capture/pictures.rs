//! A camera's pictures: formats, buffers, leases.

use std::os::fd::AsFd;
use std::time::Duration;

use polyp_edge::capture::live::{Camera, Event, Why};
use polyp_edge::capture::v4l2::V4l2;
use polyp_edge::capture::v4l2::camera::*;
use polyp_edge::capture::v4l2::kernel::*;
use polyp_edge::frame::{Frame, PixelFormat};
use testing::jpeg::{Plan, encode, scene};
use testing::v4l2::*;
use testing::viewer::{self, *};

fn run(model: Model, formats: &[PixelFormat], until: Duration) -> (Machine, V4l2<Machine>, Viewer) {
    let machine = Machine::new(model);
    let mut camera = V4l2::with(machine.clone(), wanted(formats));
    let mut viewer = Viewer::new(&machine);
    viewer.watch(&mut camera, until);
    (machine, camera, viewer)
}

fn fourcc(name: &[u8; 4]) -> FourCc {
    FourCc::new(name)
}

#[test]
fn every_format_comes_byte_for_byte() {
    for (name, format) in [
        (b"YUYV", PixelFormat::Yuyv),
        (b"UYVY", PixelFormat::Uyvy),
        (b"RGB3", PixelFormat::Rgb24),
        (b"BGR3", PixelFormat::Bgr24),
        (b"NV12", PixelFormat::Nv12),
        (b"NM12", PixelFormat::Nv12),
    ] {
        for buffers in [BufferType::Single, BufferType::Multi] {
            if name == b"NM12" && buffers == BufferType::Single {
                continue;
            }
            for (padding, tail, data_offset) in [(0, 0, 0), (5, 13, 0), (16, 4096, 64)] {
                let formats = vec![fourcc(b"GREY"), fourcc(name)];
                let model = Model { buffers, formats, padding, tail, data_offset, ..Model::default() };
                let (machine, camera, viewer) = run(model, &[format], ms(1000));
                assert!((48..=50).contains(&viewer.pictures.len()), "{name:?}: {}", viewer.pictures.len());
                let lease = viewer.lease().unwrap();
                let view = lease.view();
                assert_eq!((view.format(), view.width_px(), view.height_px()), (format, 16, 8));
                let direct = name != b"NM12" && (buffers == BufferType::Single || data_offset == 0);
                assert_eq!(lease.dma_buf().is_some(), direct, "{name:?}");
                assert_eq!(camera.counts().pictures, viewer.pictures.len() as u64);
                assert_eq!((camera.counts().damaged, camera.counts().missed), (0, 0));
                assert!(viewer.absences.is_empty());
                assert_eq!(machine.format().fourcc, fourcc(name));
                viewer.finish(camera);
            }
        }
    }
}

/// A grey picture, its brightness eight times its number.
fn jpeg(tick: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let level = (8 * (tick % 31)) as u8 + 4;
    let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 95);
    image::DynamicImage::ImageRgb8(image::RgbImage::from_pixel(16, 8, image::Rgb([level; 3])))
        .write_with_encoder(encoder)
        .unwrap();
    bytes
}

fn compressed(jpeg: fn(u64) -> Vec<u8>) -> Model {
    Model { formats: vec![fourcc(b"MJPG")], jpeg: Some(jpeg), ..Model::default() }
}

#[test]
fn compressed_pictures_are_decoded_and_their_buffers_given_back() {
    let padded = |tick| [jpeg(tick), vec![0; 100]].concat();
    for encode in [jpeg as fn(u64) -> Vec<u8>, padded] {
        let (machine, camera, viewer) = run(compressed(encode), &[PixelFormat::Mjpeg], ms(1000));
        assert!(viewer.pictures.len() >= 48);
        for (_, level) in &viewer.pictures[..20] {
            assert!(*level <= 31);
        }
        let levels: Vec<u64> = viewer.pictures.iter().map(|picture| picture.1).collect();
        assert!(levels.windows(2).all(|pair| (pair[0] + 1) % 31 == pair[1]), "{levels:?}");
        assert_eq!(machine.taken_out(), 0);
        viewer.finish(camera);
    }
}

/// What cameras send that ordinary encoders do not write: bytes before restart markers, no Huffman tables, one scan for each
/// colour. Grey as [`jpeg`] has it.
fn odd_but_whole(tick: u64) -> Vec<u8> {
    let plan = Plan::new(16, 8, &[(2, 1), (1, 1), (1, 1)]);
    let plan = match tick % 4 {
        0 => Plan { restart: 1, padding: vec![0; 2], interleaved: false, ..plan },
        1 => Plan { tables: false, ..plan },
        2 => Plan { tables: false, avi1: true, ..plan },
        _ => Plan { interleaved: false, ..plan },
    };
    encode(&plan, &[(8 * (tick % 31)) as u8 + 4; 3 * 16 * 8]).bytes
}

#[test]
fn pictures_as_cameras_send_them_are_decoded() {
    let (_, camera, viewer) = run(compressed(odd_but_whole), &[PixelFormat::Mjpeg], ms(1000));
    assert!(viewer.pictures.len() >= 48, "{}", viewer.pictures.len());
    let levels: Vec<u64> = viewer.pictures.iter().map(|picture| picture.1).collect();
    assert!(levels.windows(2).all(|pair| (pair[0] + 1) % 31 == pair[1]), "{levels:?}");
    assert_eq!(camera.counts().damaged, 0);
    viewer.finish(camera);
}

#[test]
fn damaged_compressed_pictures_are_passed_over() {
    fn every_third_is_cut(tick: u64) -> Vec<u8> {
        let mut bytes = jpeg(tick);
        match tick % 6 {
            0 => bytes.truncate(bytes.len() / 2),
            3 => bytes.drain(..2).for_each(drop),
            _ => {}
        }
        bytes
    }
    let (_, camera, viewer) = run(compressed(every_third_is_cut), &[PixelFormat::Mjpeg], ms(1200));
    assert!((38..=41).contains(&viewer.pictures.len()), "{}", viewer.pictures.len());
    assert!((18..=21).contains(&camera.counts().damaged), "{:?}", camera.counts());
    assert!(viewer.absences.is_empty());
    viewer.finish(camera);

    fn every_third_is_overwritten(tick: u64) -> Vec<u8> {
        let plan = Plan { progressive: tick.is_multiple_of(2), ..Plan::new(16, 8, &[(1, 1); 3]) };
        let mut bytes = encode(&plan, &scene(16, 8)).bytes;
        let scan = bytes.windows(2).position(|pair| pair == [0xFF, 0xDA]).unwrap() + 14;
        if tick.is_multiple_of(3) {
            let end = bytes.len() - 4;
            bytes[scan + 4..end].fill(0);
        }
        bytes
    }
    let (_, camera, viewer) = run(compressed(every_third_is_overwritten), &[PixelFormat::Mjpeg], ms(1200));
    assert!((38..=41).contains(&viewer.pictures.len()), "{}", viewer.pictures.len());
    assert!((18..=21).contains(&camera.counts().damaged), "{:?}", camera.counts());
    viewer.finish(camera);

    fn of_another_size(tick: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        let encoder = image::codecs::jpeg::JpegEncoder::new(&mut bytes);
        let picture = image::RgbImage::from_pixel(32, 8 + 8 * (tick % 2) as u32, image::Rgb([9; 3]));
        image::DynamicImage::ImageRgb8(picture).write_with_encoder(encoder).unwrap();
        bytes
    }
    let (_, camera, viewer) = run(compressed(of_another_size), &[PixelFormat::Mjpeg], ms(3000));
    assert!(viewer.pictures.is_empty() && viewer.told(Why::Failing), "{:?}", viewer.absences);
    viewer.finish(camera);
}

#[test]
fn an_odd_buffer_is_passed_over_or_taken_for_what_it_is() {
    for quirk in QUIRKS {
        for buffers in [BufferType::Single, BufferType::Multi] {
            let machine = Machine::new(Model { buffers, ..Model::default() });
            let mut camera = camera(&machine);
            let mut viewer = Viewer::new(&machine);
            viewer.watch(&mut camera, ms(500));
            let before = camera.counts();
            machine.act(Act::Quirk(quirk, 1));
            viewer.watch(&mut camera, ms(1000));
            let counts = camera.counts();
            let passed = (counts.damaged - before.damaged, counts.stale - before.stale);
            let restarts = counts.restarts - before.restarts;
            let expected = match quirk {
                Quirk::Duplicate | Quirk::Misordered | Quirk::Stale => ((0, 1), 0),
                Quirk::Leap | Quirk::Ahead => ((0, 0), 0),
                Quirk::NoSuchIndex | Quirk::WrongIndex => ((0, 0), 1),
                _ => ((1, 0), 0),
            };
            assert_eq!((passed, restarts), expected, "{quirk:?} {buffers:?}");
            assert!(viewer.pictures.len() >= 45, "{quirk:?}: {}", viewer.pictures.len());
            assert_eq!(viewer.absences, [], "{quirk:?}");
            viewer.finish(camera);
        }
    }
}

#[test]
fn nothing_but_odd_buffers_is_reported_and_over_when_they_are() {
    for quirk in QUIRKS {
        let machine = Machine::new(Model::default());
        let mut camera = camera(&machine);
        let mut viewer = Viewer::new(&machine);
        machine.at(ms(500), Act::Quirk(quirk, 1000));
        machine.at(ms(5000), Act::Mend);
        viewer.watch(&mut camera, ms(8000));
        let harmless = [Quirk::Leap, Quirk::Ahead].contains(&quirk);
        assert_eq!(viewer.told(Why::Failing), !harmless, "{quirk:?}: {:?}", viewer.absences);
        let back = viewer.picture_after(ms(5000)).unwrap();
        assert!(back <= ms(5000) + RECOVERS_WITHIN, "{quirk:?}: {back:?}");
        viewer.finish(camera);
    }
}

#[test]
fn the_newest_picture_is_shown_and_older_ones_are_counted() {
    let machine = Machine::new(Model::default());
    let mut camera = camera(&machine);
    let mut frame = Frame::black(1, 1);
    let mut last = 0;
    for _ in 0..20 {
        if let Event::Lent(lease, _) = camera.next(PATIENCE, &mut frame) {
            last = picture(&lease.view()).unwrap();
        }
        // Slower than the camera: each time three pictures are waiting.
        machine.clone().sleep(ms(60));
    }
    assert!(last >= 55, "{last}");
    let counts = camera.counts();
    assert!(counts.stale >= 36, "{counts:?}");
    assert_eq!(counts.missed, 0);
    Viewer::new(&machine).finish(camera);
}

#[test]
fn gaps_are_counted() {
    let machine = Machine::new(Model::default());
    let mut camera = camera(&machine);
    let mut frame = Frame::black(1, 1);
    for _ in 0..5 {
        assert!(matches!(camera.next(PATIENCE, &mut frame), Event::Lent(..)));
        // All five buffers are filled, and then some pictures find none.
        machine.clone().sleep(ms(200));
    }
    assert!((15..=30).contains(&camera.counts().missed), "{:?}", camera.counts());
    Viewer::new(&machine).finish(camera);
}

#[test]
fn whoever_holds_all_pictures_stops_the_camera_without_breaking_it() {
    let (machine, mut camera, mut viewer) = run(Model::default(), &[PixelFormat::Yuyv], ms(500));
    viewer.hold = 5;
    viewer.watch(&mut camera, ms(5000));
    assert_eq!(machine.taken_out(), 5);
    assert_eq!(viewer.absences, []);
    assert_eq!(camera.counts().restarts, 0);
    let before = machine.elapsed();
    viewer.drop_down_to(2);
    viewer.hold = 2;
    viewer.longest_silence = Duration::ZERO;
    let count = viewer.pictures.len();
    viewer.watch(&mut camera, before + ms(200));
    assert!(viewer.pictures.len() >= count + 8, "{}", viewer.pictures.len() - count);
    viewer.longest_silence = Duration::ZERO;
    viewer.finish(camera);
}

#[test]
fn leases_outlive_the_camera_and_free_the_device_all_the_same() {
    let (machine, camera, mut viewer) = run(Model::default(), &[PixelFormat::Yuyv], ms(500));
    drop(camera);
    assert_eq!(machine.left().0, 0);
    // Somebody else takes the device while the old pictures are still looked at.
    let mut second = viewer::camera(&machine);
    let mut next = Viewer::new(&machine);
    next.watch(&mut second, ms(1000));
    assert!(next.pictures.len() > 20);
    viewer.drop_down_to(0);
    next.finish(second);
}

#[test]
fn an_exported_buffer_has_the_pictures_bytes() {
    let (_, camera, viewer) = run(Model::default(), &[PixelFormat::Yuyv], ms(300));
    let lease = viewer.lease().unwrap();
    let file = std::fs::File::from(lease.dma_buf().unwrap().as_fd().try_clone_to_owned().unwrap());
    let mut bytes = vec![0; 16 * 8 * 2];
    std::os::unix::fs::FileExt::read_exact_at(&file, &mut bytes, 0).unwrap();
    assert_eq!(bytes, lease.view().planes()[0].bytes[..bytes.len()]);
    viewer.finish(camera);
}

#[test]
fn what_is_not_as_asked_is_taken_if_it_can_be_used_and_else_named() {
    type Odd = (fn(&mut Format), Option<&'static str>);
    let odd: [Odd; 8] = [
        (|format| format.colorspace = 4711, None),
        (|format| format.field = 4, None),
        (|format| format.field = 7, Some("separate fields")),
        (|format| format.plane[0].stride = 3, Some("rows of 3 bytes")),
        (|format| format.plane[0].size = 5, Some("buffer of 5 bytes is too small for 16×8")),
        (|format| format.planes = 9, Some("in 9 memory planes")),
        (|format| format.width = 32, Some("asked for 16×8 YUYV, the driver gives 32×8 YUYV")),
        (|format| format.fourcc = FourCc::new(b"GREY"), Some("the driver gives 16×8 GREY")),
    ];
    for (alter, words) in odd {
        let (_, camera, viewer) = run(Model { alter, ..Model::default() }, &[PixelFormat::Yuyv], ms(1500));
        match words {
            None => assert!(viewer.pictures.len() > 50 && viewer.absences.is_empty()),
            Some(words) => {
                assert_eq!(viewer.absences.len(), 1);
                let Told(_, why, detail) = &viewer.absences[0];
                assert!(*why == Why::Unsuitable && detail.contains(words), "{detail}");
            }
        }
        viewer.finish(camera);
    }
    let model = Model { sizes: vec![Sizes::One((640, 480))], ..Model::default() };
    let (_, camera, viewer) = run(model, &[PixelFormat::Yuyv], ms(500));
    assert!(viewer.absences[0].2.contains("it has YUYV 640×480"), "{:?}", viewer.absences);
    viewer.finish(camera);
}

#[test]
fn fewer_buffers_than_asked_for_still_make_a_stream() {
    for most_buffers in [1, 2, 3] {
        let model = Model { most_buffers, ..Model::default() };
        let machine = Machine::new(model);
        let mut camera = camera(&machine);
        let mut viewer = Viewer::new(&machine);
        viewer.hold = 1;
        viewer.watch(&mut camera, ms(1000));
        match most_buffers {
            1 => assert!(viewer.told(Why::Failing) && viewer.absences[0].2.contains("1 buffers")),
            _ => assert!(viewer.pictures.len() >= 45, "{}", viewer.pictures.len()),
        }
        viewer.finish(camera);
    }
}
