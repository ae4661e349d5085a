//! Raspberry Pi 5 (BCM2712: four Cortex-A76, GIC-400, TF-A in the EEPROM): known by its tree alone. QEMU has no such machine.

use super::{Board, How, Tree};
use crate::card::{Card, raspi as raspi_card};

pub(super) struct Raspi5;

impl Board for Raspi5 {
    fn names(&self) -> &'static [&'static str] {
        &["raspi5"]
    }

    fn about(&self) -> &'static str {
        "Raspberry Pi 5, known by its tree alone"
    }

    fn how(&self) -> How {
        How::Tree(Tree { path: "broadcom/bcm2712-rpi-5-b.dtb", suite: Some(raspi_card::RASPI5_SUITE) })
    }

    fn card(&self) -> Option<&dyn Card> {
        Some(&raspi_card::RASPI5_CARD)
    }
}
