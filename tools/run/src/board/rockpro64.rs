//! Pine64 RockPro64 (RK3399: four Cortex-A53 and two Cortex-A72, GICv3, TF-A): known by its tree alone. QEMU has no such machine.

use super::{Board, How, Tree};

pub(super) struct RockPro64;

impl Board for RockPro64 {
    fn names(&self) -> &'static [&'static str] {
        &["rockpro64"]
    }

    fn about(&self) -> &'static str {
        "Pine64 RockPro64, known by its tree alone"
    }

    fn how(&self) -> How {
        How::Tree(Tree { path: "rockchip/rk3399-rockpro64.dtb", suite: None })
    }
}
