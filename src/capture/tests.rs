use super::*;
use crate::fault::{Exit, exit_of};

#[test]
fn the_rendered_endoscope_is_opened_by_name() {
    let mut source = open("synthetic:seed=9,size=96x64,fps=50,frames=3").unwrap();
    let colon = synthetic::Colon::new(96, 64, 9);
    for number in 0..3 {
        let frame = source.next().unwrap().unwrap();
        let (picture, mask) = colon.render(number);
        assert_eq!(frame.pixels(), picture.pixels());
        assert_eq!(source.truth(), Some(&mask));
        assert_eq!(source.name().to_str().unwrap(), format!("frame-{number:06}"));
        assert_eq!((frame.number.0, frame.timestamp.0.as_millis()), (number, 20 * number as u128));
    }
    assert!(source.next().unwrap().is_none());
    assert!(open("synthetic").unwrap().next().unwrap().is_some());
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    for settings in
        ["seed", "seed=x", "size=640", "size=9999999x4", "size=0x0", "fps=0", "fps=nan", "colour=red"]
    {
        let Err(error) = open(&format!("synthetic:{settings}")) else { panic!("{settings} was taken") };
        assert_eq!(exit_of(&error), Exit::Usage);
        assert!(error.to_string().contains(settings), "{error}");
    }
}

#[test]
fn a_path_that_only_resembles_the_endoscope_is_a_path() {
    let Err(error) = open("synthetically-missing") else { panic!("there is no such file") };
    assert_eq!(exit_of(&error), Exit::Io);
}
