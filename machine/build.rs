//! This library is a part of images.

fn main() {
    reveille_build::library();
}
