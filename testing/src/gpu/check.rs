//! Which commits the card takes.

use polyp_edge::call::CallResult;
use polyp_edge::display::kms::gpu::{PlaneKind, Request};

use super::{CRTCS, Settings, State, errno};

impl State {
    /// The settings after a request, and whether it concerns a CRTC; an error where it names what does not exist.
    pub(super) fn changed(&self, request: &Request) -> CallResult<(Settings, bool)> {
        let mut next = self.committed.clone();
        let mut any_crtc = false;
        assert_eq!(request.counts.iter().sum::<u32>() as usize, request.properties.len());
        assert_eq!(request.values.len(), request.properties.len());
        assert_eq!(request.objects.len(), request.counts.len());
        for (object, property, value) in request.iter() {
            let names = self.names(object);
            let name = names.into_iter().find(|name| Self::property_id(name) == property);
            let name = name.ok_or(errno("commit", libc::ENOENT))?;
            let exists = match name {
                "FB_ID" => value == 0 || self.framebuffers.contains_key(&(value as u32)),
                "CRTC_ID" => value == 0 || CRTCS.contains(&(value as u32)),
                "MODE_ID" => value == 0 || self.blobs.contains_key(&(value as u32)),
                "GAMMA_LUT" => value == 0,
                "ACTIVE" => value <= 1,
                "alpha" => value <= 0xFFFF,
                "zpos" => value <= 9,
                "rotation" => value == 1,
                "pixel blend mode" | "COLOR_ENCODING" | "COLOR_RANGE" => {
                    Self::choices(name).iter().any(|(choice, _)| *choice == value)
                }
                _ => true,
            };
            if !exists || self.is_immutable(object, name) {
                return Err(errno("commit", libc::EINVAL));
            }
            any_crtc |= CRTCS.contains(&object) || name == "CRTC_ID" && value != 0;
            any_crtc |= CRTCS.contains(&(self.get(&self.committed, object, "CRTC_ID") as u32));
            next.insert((object, name), value);
        }
        Ok((next, any_crtc))
    }

    /// Whether the new settings need a modeset; an error if the hardware cannot.
    #[expect(clippy::too_many_lines, reason = "one rule of the kernel after another")]
    pub(super) fn check(&self, next: &Settings) -> CallResult<bool> {
        let invalid = || errno("commit", libc::EINVAL);
        let mut needs_modeset = false;
        for crtc in CRTCS {
            let connectors =
                [21, 22].iter().filter(|&&id| self.get(next, id, "CRTC_ID") == u64::from(crtc)).count();
            let mode = self.get(next, crtc, "MODE_ID") as u32;
            let active = self.get(next, crtc, "ACTIVE") == 1;
            if (mode != 0) != (connectors > 0) || active && mode == 0 || crtc != CRTCS[0] && connectors > 0 {
                return Err(invalid());
            }
            let mode_of = |id: u32| self.blobs.get(&id).or(self.modes.get(&id)).copied();
            if let Some(mode) = mode_of(mode)
                && mode.width() * mode.height() > self.can.most_px
            {
                return Err(invalid());
            }
            for name in ["ACTIVE", "MODE_ID"] {
                needs_modeset |= self.get(next, crtc, name) != self.get(&self.committed, crtc, name);
            }
        }
        for id in [21, 22] {
            needs_modeset |= self.get(next, id, "CRTC_ID") != self.get(&self.committed, id, "CRTC_ID");
        }
        for plane in self.planes() {
            let get = |name| self.get(next, plane.id, name);
            let (framebuffer, crtc) = (get("FB_ID") as u32, get("CRTC_ID") as u32);
            if (framebuffer == 0) != (crtc == 0) {
                return Err(invalid());
            }
            if framebuffer == 0 {
                continue;
            }
            let fb = self.framebuffers.get(&framebuffer).ok_or_else(invalid)?;
            let mode = self.get(next, crtc, "MODE_ID") as u32;
            let mode = self.blobs.get(&mode).or(self.modes.get(&mode)).ok_or_else(invalid)?;
            let source = [get("SRC_X"), get("SRC_Y"), get("SRC_W"), get("SRC_H")];
            let target = [get("CRTC_X"), get("CRTC_Y"), get("CRTC_W"), get("CRTC_H")];
            if crtc != CRTCS[0]
                || !plane.formats.contains(&fb.spec.format)
                || self.get(next, crtc, "ACTIVE") != 1
            {
                return Err(invalid());
            }
            if source[0] + source[2] > u64::from(fb.spec.width) << 16
                || source[1] + source[3] > u64::from(fb.spec.height) << 16
            {
                return Err(errno("commit", libc::ENOSPC));
            }
            let is_scaled = (source[2], source[3]) != (target[2] << 16, target[3] << 16);
            if is_scaled && !self.can.scales || target[2] == 0 || target[3] == 0 {
                return Err(errno("commit", libc::ERANGE));
            }
            let whole = [0, 0, mode.width() as u64, mode.height() as u64];
            if target[0] + target[2] > whole[2] || target[1] + target[3] > whole[3] {
                return Err(invalid());
            }
            if plane.kind == PlaneKind::Primary && target != whole && !self.can.windows {
                return Err(invalid());
            }
        }
        Ok(needs_modeset)
    }
}
