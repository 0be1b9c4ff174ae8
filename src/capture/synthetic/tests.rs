use super::*;

#[test]
fn pictures_depend_on_seed_and_number_alone() {
    let colon = Colon::new(160, 120, 3);
    let (frame, mask) = colon.render(40);
    let mut canvas = Canvas::default();
    let (mut other_frame, mut other_mask) = (Frame::black(1, 1), Mask::default());
    for number in [7, 90_000, 40] {
        colon.render_into(number, &mut canvas, &mut other_frame, &mut other_mask);
    }
    assert_eq!(frame, other_frame);
    assert_eq!(mask, other_mask);
    assert_eq!(Colon::new(160, 120, 3).render(40).0, frame);
    assert_ne!(Colon::new(160, 120, 4).render(40).0, frame);
    assert_ne!(colon.render(41).0, frame);
}
