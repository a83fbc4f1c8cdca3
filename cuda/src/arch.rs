//! Architectures that device code is compiled for.

use std::fmt;

/// A real architecture as the compiler names it: `sm_80`, or `sm_90a` with the instructions of that one generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arch {
    capability: (i32, i32),
    /// With the suffix `a`: all instructions of this compute capability, for it alone.
    specific: bool,
}

impl Arch {
    /// The architectures whose cubins are built in: Hopper, and the oldest that the kernels run on.
    pub const BUILT_IN: [Arch; 2] = [Arch { capability: (8, 0), specific: false }, Arch { capability: (9, 0), specific: true }];

    /// The one to compile for where a device of this compute capability is at hand.
    pub(crate) fn of_device(capability: (i32, i32)) -> Arch {
        Arch { capability, specific: capability == (9, 0) }
    }

    pub(crate) fn parse(name: &str) -> Option<Arch> {
        let number = name.strip_prefix("sm_")?;
        let (number, specific) = number.strip_suffix('a').map_or((number, false), |number| (number, true));
        let number: i32 = number.parse().ok()?;
        Some(Arch { capability: (number / 10, number % 10), specific })
    }

    /// Whether a cubin of this architecture runs on a device: one of the same major version that is not older.
    pub(crate) fn runs_on(self, capability: (i32, i32)) -> bool {
        if self.specific {
            self.capability == capability
        } else {
            self.capability.0 == capability.0 && self.capability.1 <= capability.1
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor) = self.capability;
        write!(f, "sm_{major}{minor}{}", if self.specific { "a" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_the_round_trip() {
        for (name, arch) in [
            ("sm_80", Arch { capability: (8, 0), specific: false }),
            ("sm_90a", Arch { capability: (9, 0), specific: true }),
            ("sm_120", Arch { capability: (12, 0), specific: false }),
        ] {
            assert_eq!(Arch::parse(name), Some(arch));
            assert_eq!(arch.to_string(), name);
        }
        for name in ["compute_80", "sm_", "sm_x", "80"] {
            assert_eq!(Arch::parse(name), None, "{name}");
        }
    }

    #[test]
    fn a_cubin_runs_on_its_own_generation_only() {
        let [generic, hopper] = Arch::BUILT_IN;
        for (capability, generic_runs, hopper_runs) in
            [((7, 5), false, false), ((8, 0), true, false), ((8, 9), true, false), ((9, 0), false, true), ((10, 0), false, false)]
        {
            assert_eq!((generic.runs_on(capability), hopper.runs_on(capability)), (generic_runs, hopper_runs), "{capability:?}");
        }
        assert!(!Arch::of_device((8, 9)).runs_on((8, 6)));
        assert_eq!(Arch::of_device((9, 0)), hopper);
        assert_eq!(Arch::of_device((10, 0)).to_string(), "sm_100");
    }
}
