//! The tests of this package are images.

fn main() {
    reveille_build::image();
}
