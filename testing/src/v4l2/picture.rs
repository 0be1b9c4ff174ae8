//! What the pictures are made of: each that the driver takes has bytes of its own.

use polyp_edge::frame::View;

/// Byte `at` of plane `plane` of picture `tick`.
pub fn byte(tick: u64, plane: usize, at: usize) -> u8 {
    let mixed = (tick.wrapping_mul(0x9E37_79B9) ^ (at as u64).wrapping_mul(0x85EB_CA6B) ^ plane as u64) >> 3;
    (mixed % 251) as u8
}

/// Which picture a view shows: every byte of it must be that picture's.
///
/// The first eight bytes are its number.
pub fn picture(view: &View<'_>) -> Result<u64, String> {
    let planes = view.planes();
    let head = planes[0].bytes.get(..8).and_then(|head| head.try_into().ok()).ok_or("too short")?;
    let tick = u64::from_le_bytes(head);
    let height = view.height_px();
    let nv12 = view.format() == polyp_edge::frame::PixelFormat::Nv12;
    let mut checked = 0;
    for (plane, rows) in [(0, height), (1, if nv12 { height / 2 } else { 0 })] {
        let stride = planes[plane].stride.0;
        let row = view.format().row_bytes(view.width_px()).ok_or("no rows")?;
        // Where the second plane lies behind the first in the same memory, it goes on there.
        let first = planes[0].bytes.as_ptr() as usize + planes[0].stride.0 * height;
        let joined = plane == 1 && planes[1].bytes.as_ptr() as usize == first;
        let (memory, base) = if joined { (0, planes[0].stride.0 * height) } else { (plane, 0) };
        for y in 0..rows {
            for x in 0..row {
                let at = y * stride + x;
                if memory == 0 && base + at < 8 {
                    continue;
                }
                let found = planes[plane].bytes.get(at).copied();
                if found != Some(byte(tick, memory, base + at)) {
                    return Err(format!("picture {tick}, plane {plane}, byte {at}: {found:?}"));
                }
                checked += 1;
            }
        }
    }
    if checked == 0 { Err("nothing to see".into()) } else { Ok(tick) }
}
